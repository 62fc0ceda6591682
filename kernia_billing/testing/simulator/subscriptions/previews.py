"""Previews: the invoice that would come of a change, a new subscription, a pause, a cancellation, or of waiting.

Everything is rehearsed, with the same code that does it in earnest. Not modelled: `preview_mode=recurring`, changes of
a schedule, customers that do not exist yet, and inline prices. Source: Stripe, `POST /v1/invoices/create_preview`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..catalog import prices
from ..customers import customers
from ..invoices import discounts, invoice_items, invoices, proration
from ..world.errors import ApiError, Json, invalid, not_modelled
from ..world.rehearsal import rehearsal
from . import (
    changes,
    cycle,
    deductions,
    ending,
    item_changes,
    pausing,
    renewals,
    selling,
    starting,
    subscriptions,
    transitions,
)
from .subscriptions import Terms

if TYPE_CHECKING:
    from ..world.world import World

_MOST = 99_999_999
_DETAILS = fields.fields(
    billing_cycle_anchor=changes.ANCHOR,
    billing_mode=starting.BILLING_MODE,
    cancel_at=fields.clearable(changes.CANCEL_AT),
    cancel_at_period_end=fields.boolean,
    cancel_now=fields.boolean,
    items=item_changes.ITEMS,
    pause=fields.fields(required=(), **pausing.PAUSE_PARAMS),
    proration_behavior=changes.PRORATION,
    proration_date=fields.timestamp,
    resume_at=fields.one_of("now", "now"),
    trial_end=changes.moment_or("now"),
)
_EXCLUSIVE = ("cancel_at", "cancel_at_period_end", "cancel_now", "pause", "resume_at")
_ITEM = fields.fields(
    amount=fields.integer(-_MOST, _MOST),
    currency=fields.currency,
    description=fields.text,
    discountable=fields.boolean,
    metadata=fields.metadata,
    price=fields.text,
    quantity=fields.integer(0, 999_999),
)


def _preview(world: World, call: Call) -> Json:
    params = call.params
    details: Json = params.get("subscription_details", {})
    if len({*_EXCLUSIVE} & set(details)) > 1:
        raise invalid("Only one kind of end, pause or resumption can be previewed.", "subscription_details")
    if params.get("preview_mode") == "recurring":
        raise not_modelled("preview_mode=recurring", "preview_mode")
    subscription = _subscription(world, params)
    customer = _customer(world, params, subscription)
    with rehearsal(world):
        shown = _rehearsed(world, customer, subscription, params, details)
        redeemed = discounts.only_looked_at(world, shown)
    for discount in redeemed:
        world.table("discount").rows.setdefault(discount["id"], discount)
    return shown


def _rehearsed(world: World, customer: Json, subscription: Json | None, params: Json, details: Json) -> Json:
    if subscription is None:
        return _of_new(world, customer, params, details)
    owner, currency, has = customer["id"], subscription["currency"], deductions.ancestors(world, subscription)
    deductions.apply(world, deductions.plan(world, params, customer=owner, currency=currency, has=has), subscription)
    _forget_own_discount(customer, params)
    for index, given in enumerate(params.get("invoice_items", ())):
        _wait(world, customer, subscription, given, f"invoice_items[{index}]")
    return _of_existing(world, subscription, details)


def _forget_own_discount(customer: Json, params: Json) -> None:
    """Discounts that are named, also that there be none, take the place of what would be inherited."""
    if "discounts" in params:
        customer["discount"] = None


def _subscription(world: World, params: Json) -> Json | None:
    if "schedule" in params:
        if "subscription" in params or "subscription_details" in params:
            raise invalid("`schedule` cannot be set with `subscription` or `subscription_details`.", "schedule")
        schedule = world.table("subscription_schedule").get(params["schedule"], "schedule")
        if schedule["status"] != "active":
            raise not_modelled("previews of a schedule that is not active", "schedule")
        return world.table("subscription").get(schedule["subscription"])
    if "subscription" not in params:
        return None
    return world.table("subscription").get(params["subscription"], "subscription")


def _customer(world: World, params: Json, subscription: Json | None) -> Json:
    if subscription is None and "customer" not in params:
        raise invalid("You must provide one of these parameters: customer, subscription, schedule.", "customer")
    customer = customers.live(world, params.get("customer") or (subscription or {}).get("customer", ""))
    if subscription is not None and subscription["customer"] != customer["id"]:
        raise invalid("The subscription belongs to another customer.", "subscription")
    return customer


def _of_new(world: World, customer: Json, params: Json, details: Json) -> Json:
    """The first invoice of a subscription that would be made, or of what waits for the customer."""
    sales = starting.read_sales(world, customer, details.get("items", []), "subscription_details[items]")
    if "invoice_items" in params:
        raise not_modelled("invoice_items in the preview of a new subscription", "invoice_items")
    unknown = set(details) - {"items", "billing_mode", "trial_end", "proration_behavior"}
    if unknown:
        name = f"subscription_details[{min(unknown)}]"
        raise invalid(f"`{name}` needs a subscription.", name)
    mode = details.get("billing_mode", {}).get("type", "flexible")
    currency = selling.mixed_terms(sales, "subscription_details[items]", flexible=mode == "flexible")
    customers.settle_currency(customer, currency, "currency")
    trial_end = details.get("trial_end")
    wanted = discounts.read(world, params.get("discounts"), customer=customer["id"], currency=currency)
    _forget_own_discount(customer, params)
    terms = Terms(trial_end=None if trial_end == "now" else trial_end, billing_mode=mode, discounts=wanted)
    subscription = subscriptions.build(world, customer, sales, terms)
    lines = cycle.first_lines(world, subscription, sales)
    waiting = invoice_items.pending(world, subscription)
    shown = renewals.as_preview(invoices.draft(world, subscription, "upcoming", lines, pending=waiting))
    shown["parent"] = None
    return shown | {"_subscription": None}


def _of_existing(world: World, subscription: Json, details: Json) -> Json:
    now = world.clock.seconds()
    if subscription["status"] in subscriptions.ENDED:
        raise _none(subscription)
    if "pause" in details:
        return _shown(subscription, pausing.bill_checked_pause(world, subscription, details["pause"]), now)
    if "resume_at" in details:
        pausing.check_resumable(world, subscription, by_success=False)
        return _shown(subscription, pausing.resume(world, subscription, details), now)
    if details.get("cancel_now"):
        if details.get("proration_behavior", "create_prorations") != "none":
            at = details.get("proration_date", now)
            for item in subscriptions.items_of(world, subscription):
                proration.credit(world, subscription, proration.held(item), at)
        return _shown(subscription, ending.bill_now(world, subscription), now)
    changes.check_editable(subscription, details)
    move = changes.read_move(world, subscription, details)
    ending.set_end(world, subscription, details)
    made = transitions.perform(world, subscription, move) if move else None
    shown = renewals.as_preview(made) if made is not None else renewals.foresee(world, subscription)
    if shown is None:
        raise _none(subscription)
    if move is not None:
        shown["parent"]["subscription_details"]["subscription_proration_date"] = move.at
    return shown


def _shown(subscription: Json, invoice: Json | None, at: int) -> Json:
    if invoice is None:
        raise _none(subscription)
    shown = renewals.as_preview(invoice)
    shown["parent"]["subscription_details"]["subscription_proration_date"] = at
    return shown


def _none(subscription: Json) -> ApiError:
    """There is no invoice to preview."""
    message = f"No upcoming invoices for customer: {subscription['customer']}"
    return ApiError(message, status=404, code="invoice_upcoming_none")


def _wait(world: World, customer: Json, subscription: Json, given: Json, at: str) -> None:
    """Let an invoice item of the preview wait with the real ones."""
    if ("price" in given) == ("amount" in given):
        raise invalid("Give exactly one of `amount` and `price`.", f"{at}[amount]")
    price: Json | None = None
    amount, quantity = given.get("amount", 0), given.get("quantity", 1)
    if "price" in given:
        price = world.table("price").get(given["price"], f"{at}[price]")
        if price["type"] != "one_time":
            raise invalid("This field only accepts prices with `type=one_time`.", f"{at}[price]")
        amount = prices.cost(price, quantity)
    currency = price["currency"] if price else given.get("currency", subscription["currency"])
    if currency != subscription["currency"]:
        raise invalid("The item has another currency than the subscription.", f"{at}[currency]")
    item = invoice_items.new(
        world,
        customer["id"],
        currency,
        amount,
        description=given.get("description"),
        price=price,
        quantity=quantity,
        subscription=subscription["id"],
        metadata=fields.merge_metadata({}, given.get("metadata")),
        discountable=given.get("discountable", True),
    )
    invoice_items.keep(world, item)


ROUTES = (
    Route(
        "POST",
        "/v1/invoices/create_preview",
        _preview,
        {
            "customer": fields.text,
            "discounts": discounts.PARAM,
            "invoice_items": fields.list_of(_ITEM, 250),
            "preview_mode": fields.one_of("next", "recurring"),
            "schedule": fields.text,
            "subscription": fields.text,
            "subscription_details": _DETAILS,
        },
    ),
)
