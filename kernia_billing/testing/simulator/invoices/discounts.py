"""Discounts: coupons at work on a customer, a subscription, one of its items, or an invoice.

An invoice takes its subscription's discounts, or its customer's when the subscription has none, and each line those of
its subscription item (https://docs.stripe.com/billing/subscriptions/coupons).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..api import fields
from ..api.router import Call, Route
from ..catalog import coupons, promotion_codes
from ..customers import customers
from ..world.clock import add_months
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from ..world.rendering import filler, render

if TYPE_CHECKING:
    from ..world.world import World

PARAM = fields.clearable(
    fields.list_of(fields.fields(coupon=fields.text, discount=fields.text, promotion_code=fields.text), 20)
)
"""Reads `discounts`: entries name a coupon, a promotion code, or a discount that is kept; `''` takes all away."""
SESSION_PARAM = fields.list_of(fields.fields(coupon=fields.text, promotion_code=fields.text), 1)
"""Reads the `discounts` of a checkout session, of which there may be one."""


@frozen
class Wanted:
    """One entry of `discounts`, checked."""

    coupon: Json
    promotion_code: Json | None = None
    kept: str | None = None
    """The discount that is kept."""


def read(
    world: World,
    given: Sequence[Json] | str | None,
    param: str = "discounts",
    *,
    customer: str | None,
    currency: str | None,
    amount: int | None = None,
    has: Sequence[str] = (),
) -> list[Wanted]:
    """Check the entries of `discounts`. `has` are the discounts that may be kept; `amount` is what is bought for.

    Raises:
        ApiError: an entry names none or several, one cannot be used, or a coupon comes twice.
    """
    wanted: list[Wanted] = []
    for index, entry in enumerate(given or ()):
        at = f"{param}[{index}]"
        if not isinstance(entry, dict) or len(entry) != 1:
            raise invalid("Each discount names exactly one of `coupon`, `discount` and `promotion_code`.", at)
        wanted.append(_read_one(world, entry, at, customer=customer, currency=currency, amount=amount, has=has))
    if len({one.coupon["id"] for one in wanted}) != len(wanted):
        raise invalid("The same coupon cannot be applied twice.", param)
    return wanted


def grant(
    world: World,
    wanted: Sequence[Wanted],
    *,
    customer: str,
    subscription: str | None = None,
    subscription_item: str | None = None,
    invoice: str | None = None,
    invoice_item: str | None = None,
    checkout_session: str | None = None,
) -> list[str]:
    """Redeem what was wanted; answers the ids of the discounts, kept ones included. Emits each new one's creation."""
    holder = {
        "checkout_session": checkout_session,
        "customer": customer,
        "customer_account": None,
        "invoice": invoice,
        "invoice_item": invoice_item,
        "subscription": subscription,
        "subscription_item": subscription_item,
    }
    return [one.kept or _redeem(world, one, holder) for one in wanted]


def replace(world: World, holder: Json, ids: Sequence[str], *, own: str | None = None) -> None:
    """Give a subscription, item or invoice these discounts in place of those it has; those end that are its own.

    For an invoice `own` is its id: the discounts that it has from its subscription live on.
    """
    gone = [world.table("discount").get(id) for id in holder["discounts"] if id not in ids]
    holder["discounts"] = list(ids)
    for discount in gone:
        if discount["invoice"] == own and discount["subscription_item"] in (None, holder["id"]):
            _end(world, discount)


def give_customer(world: World, customer: Json, wanted: Wanted) -> str:
    """Give a customer a discount, as the Dashboard does; the one it had is switched."""
    former: str | None = customer["discount"]
    if former is not None:
        world.table("discount").get(former)["_ended"] = True
    with updating(world, customer, "customer.updated"):
        (id,) = grant(world, [wanted], customer=customer["id"])
        customer["discount"] = id
    if former is not None:
        before = world.render(world.table("discount").get(former))
        shown = world.render(world.table("discount").get(id))
        changed = {name: value for name, value in before.items() if shown[name] != value}
        emit(world, "customer.discount.updated", world.table("discount").get(id), changed)
    return id


def put_on(world: World, invoice: Json, *, inherit: bool = True) -> None:
    """Give a new invoice the customer's discount, if it may `inherit` one and has none, and its lines their items'."""
    own = world.table("customer").get(invoice["customer"]).get("discount")
    if inherit and own and not invoice["discounts"]:
        invoice["discounts"] = [own]
    items = world.table("subscription_item").rows
    for line in invoice["lines"]["data"]:
        details: Json = line["parent"]["subscription_item_details"] or {}
        if details.get("invoice_item") is None:
            line["discounts"] += items.get(details.get("subscription_item") or "", {}).get("discounts", [])


def spend(world: World, invoice: Json) -> None:
    """A discount that lasts for one invoice ends once a final invoice used it, as soon as that invoice is told of."""
    for row in invoice["total_discount_amounts"]:
        discount = world.table("discount").get(row["discount"])
        lasts = discount["invoice"] or discount["invoice_item"]
        if row["amount"] and discount["_coupon"]["duration"] == "once" and not lasts:
            discount["_ends"] = world.clock.seconds()
            world.agenda.add(world.clock.seconds(), expire, discount["id"])


def only_looked_at(world: World, invoice: Json) -> list[Json]:
    """Copies of the discounts of a previewed invoice, ended: they can be looked at, and nothing has them."""
    rows = world.table("discount").rows
    return [deepcopy(rows[row["discount"]]) | {"_ended": True} for row in invoice["total_discount_amounts"]]


def expire(world: World, id: str) -> None:
    """The time of a discount is over."""
    discount = world.table("discount").get(id)
    if not discount["_ended"] and discount["_ends"] is not None and discount["_ends"] <= world.clock.seconds():
        remove(world, discount)


def remove(world: World, discount: Json) -> None:
    """Take a discount off what it is on; emits `customer.discount.deleted` and the change of a subscription."""
    id = discount["id"]
    subscription = world.table("subscription").rows.get(discount["subscription"])
    customer = world.table("customer").get(discount["customer"])
    _end(world, discount)
    if subscription is not None:
        with updating(world, subscription, "customer.subscription.updated"):
            for holder in (subscription, *_items(world, subscription)):
                holder["discounts"] = [one for one in holder["discounts"] if one != id]
    elif customer.get("discount") == id:
        with updating(world, customer, "customer.updated"):
            customer["discount"] = None


def _read_one(
    world: World,
    entry: Json,
    at: str,
    *,
    customer: str | None,
    currency: str | None,
    amount: int | None,
    has: Sequence[str],
) -> Wanted:
    if "discount" in entry:
        discount = world.table("discount").get(entry["discount"], f"{at}[discount]")
        if discount["id"] not in has:
            raise invalid("This discount is not on the object and cannot be used again.", f"{at}[discount]")
        return Wanted(discount["_coupon"], kept=discount["id"])
    if "coupon" in entry:
        coupon = coupons.live(world, entry["coupon"], f"{at}[coupon]")
        coupons.usable(world, coupon, f"{at}[coupon]", currency)
        return Wanted(coupon)
    at = f"{at}[promotion_code]"
    code = world.table("promotion_code").get(entry["promotion_code"], at)
    promotion_codes.usable(world, code, at, customer=customer, currency=currency, amount=amount)
    return Wanted(promotion_codes.coupon_of(world, code), code)


def _redeem(world: World, wanted: Wanted, holder: Json) -> str:
    coupon, code, now = wanted.coupon, wanted.promotion_code, world.clock.seconds()
    months = coupon["duration_in_months"]
    end = add_months(now, months) if months else None
    discount: Json = {
        "id": world.ids.new("di"),
        "object": "discount",
        **holder,
        "end": end,
        "promotion_code": code["id"] if code else None,
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": now,
        "_coupon": deepcopy(coupon),
        "_ended": False,
        "_ends": end,
    }
    world.table("discount").add(discount)
    coupon["times_redeemed"] += 1
    if code:
        code["times_redeemed"] += 1
    if end is not None:
        world.agenda.add(end, expire, discount["id"])
    emit(world, "customer.discount.created", discount)
    return str(discount["id"])


def _end(world: World, discount: Json) -> None:
    if not discount["_ended"]:
        discount["_ended"] = True
        emit(world, "customer.discount.deleted", discount)


def _items(world: World, subscription: Json) -> list[Json]:
    return [world.table("subscription_item").get(id) for id in subscription["_items"]]


@filler("customer")
def _fill_customer(world: World, shown: Json) -> None:
    if shown.get("discount"):
        shown["discount"] = render(world, world.table("discount").get(shown["discount"]))


def _delete_of_customer(world: World, call: Call) -> Json:
    customer = customers.live(world, call.ids[0], "id", in_path=True)
    if customer["discount"] is None:
        raise invalid("This customer has no active discount.", None, "resource_missing")
    return _removed(world, [customer["discount"]])


def _delete_of_subscription(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    if not subscription["discounts"]:
        raise invalid("This subscription has no active discount.", None, "resource_missing")
    return _removed(world, subscription["discounts"])


def _removed(world: World, ids: Sequence[str]) -> Json:
    found = [world.table("discount").get(id) for id in ids]
    for discount in found:
        remove(world, discount)
    shown: dict[str, Any] = {**world.render(found[0]), "deleted": True}
    return shown


ROUTES = (
    Route("DELETE", "/v1/customers/{id}/discount", _delete_of_customer),
    Route("DELETE", "/v1/subscriptions/{id}/discount", _delete_of_subscription),
)
