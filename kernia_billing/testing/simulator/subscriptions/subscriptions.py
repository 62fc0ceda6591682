"""Subscriptions and their items as state: making, showing, cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ..api import lists
from ..catalog import prices
from ..invoices import automatic_tax, discounts, invoices
from ..invoices.discounts import Wanted
from ..world.clock import add_interval, period_after
from ..world.errors import Json, invalid, not_modelled
from ..world.events import emit, updating
from ..world.rendering import filler, render

if TYPE_CHECKING:
    from ..world.world import World

ENDED = ("canceled", "incomplete_expired")
"""States that a subscription never leaves."""
_PAUSED = ("customer.subscription.updated", "customer.subscription.paused")

_NO_DETAILS: Json = {"comment": None, "feedback": None, "feedback_option": None, "reason": None}


@frozen
class Sale:
    """One price and how many of it; the quantity of a metered price is None."""

    price: Json
    quantity: int | None
    metadata: Json = field(factory=dict[str, Any])
    tax_rates: Sequence[Json] = ()
    discounts: Sequence[Wanted] = ()


@frozen
class Terms:
    """What a subscription starts with."""

    metadata: Json = field(factory=dict[str, Any])
    description: str | None = None
    trial_end: int | None = None
    missing_payment_method: str = "create_invoice"
    default_payment_method: str | None = None
    billing_mode: str = "flexible"
    proration_discounts: str = "included"
    anchor: int | None = None
    """When the first whole period begins; None for at once, or at the end of the trial."""
    collection_method: str = "charge_automatically"
    days_until_due: int | None = None
    save_default_payment_method: str = "off"
    default_tax_rates: Sequence[Json] = ()
    discounts: Sequence[Wanted] = ()
    automatic_tax: bool = False
    checkout_session: str | None = None
    """Where the discounts were redeemed."""


def within(at: str, name: str) -> str:
    """The name of a parameter within the map that is called `at`; the request itself has no name."""
    return f"{at}[{name}]" if at else name


def checked_sale(world: World, price_id: str, quantity: int | None, at: str) -> Sale:
    """A price that may be sold, with a quantity as its kind demands.

    Raises:
        ApiError: unknown or inactive price, a quantity on a metered one, none on a licensed one.
    """
    price = world.table("price").get(price_id, within(at, "price"))
    if not price["active"]:
        raise invalid(
            f"The price specified is inactive. This field only accepts active prices. `{price_id}`", within(at, "price")
        )
    if not world.table("product").get(price["product"])["active"]:
        raise invalid("The product of the price specified is inactive.", within(at, "price"))
    if prices.is_metered(price):
        if quantity is not None:
            raise invalid("Quantity should not be specified where usage_type is `metered`.", within(at, "quantity"))
    elif quantity is None:
        raise invalid("Quantity is required. Add `quantity` to the line item.", within(at, "quantity"))
    return Sale(price, quantity)


def common_terms(sales: Sequence[Sale], at: str) -> tuple[str, int, str]:
    """The billing interval, its count and the currency that all recurring prices share.

    Checkout demands one interval; `mixed_terms` is for subscriptions that are made directly.

    Raises:
        ApiError: they differ, or one price is there twice.
    """
    recurring = [sale.price for sale in sales if sale.price["type"] == "recurring"]
    intervals = {(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in recurring}
    currencies = {sale.price["currency"] for sale in sales}
    if len(intervals) != 1:
        raise invalid("Checkout does not support multiple prices with different billing intervals.", at)
    if len(currencies) != 1:
        raise invalid("You must use the same currency for all prices.", at)
    if len({price["id"] for price in recurring}) != len(recurring):
        raise invalid("You cannot add multiple subscription items with the same price.", at)
    (interval, count), currency = intervals.pop(), currencies.pop()
    return interval, count, currency


def mixed_terms(sales: Sequence[Sale], at: str, *, flexible: bool) -> str:
    """The currency that all prices share; their intervals may differ in flexible billing mode.

    Not modelled: intervals that are no multiples of each other.

    Raises:
        ApiError: currencies differ, intervals do not fit, or one price is there twice.
    """
    recurring = [sale.price for sale in sales if sale.price["type"] == "recurring"]
    intervals = {interval_of(price) for price in recurring}
    if len({sale.price["currency"] for sale in sales}) != 1:
        raise invalid("You must use the same currency for all prices.", at)
    if len({price["id"] for price in recurring}) != len(recurring):
        raise invalid("You cannot add multiple subscription items with the same price.", at)
    if len(intervals) > 1 and not flexible:
        raise invalid(
            "Currently, all prices on a subscription must have the same `recurring.interval` and "
            "`recurring.interval_count`, unless its billing mode is flexible.",
            at,
        )
    lengths = sorted(_length(*interval) for interval in intervals)
    if any(kind != lengths[0][0] or length % lengths[0][1] for kind, length in lengths):
        raise not_modelled("intervals that are no multiples of the shortest one", at)
    return str(sales[0].price["currency"])


def interval_of(price: Json) -> tuple[str, int]:
    """How often a recurring price bills: the interval and how many of it."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def period_from(price: Json, start: int) -> int:
    """When a period of a price that begins at that second ends."""
    return add_interval(start, *interval_of(price))


def _length(interval: str, count: int) -> tuple[str, int]:
    if interval in ("day", "week"):
        return "day", count * (1 if interval == "day" else 7)
    return "month", count * (1 if interval == "month" else 12)


def build(world: World, customer: Json, sales: Sequence[Sale], terms: Terms) -> Json:
    """Make a subscription of the recurring prices, active, or trialing until the end; emits its discounts only."""
    now = world.clock.seconds()
    trialing = terms.trial_end is not None
    anchor = terms.anchor or terms.trial_end or now
    subscription = _blank(world, customer, terms, sales[0].price["currency"], anchor)
    subscription |= {"status": "trialing" if trialing else "active", "trial_start": now if trialing else None}
    world.table("subscription").add(subscription)
    for sale in sales:
        if sale.price["type"] == "recurring":
            end = terms.trial_end or next_period(subscription, sale.price, now)[1]
            add_item(world, subscription, sale, (now, end))
    subscription["discounts"] = discounts.grant(
        world,
        terms.discounts,
        customer=customer["id"],
        subscription=subscription["id"],
        checkout_session=terms.checkout_session,
    )
    return subscription


def next_period(subscription: Json, price: Json, moment: int) -> tuple[int, int]:
    """The period of a price that holds the moment, by the anchor of the subscription."""
    return period_after(subscription["billing_cycle_anchor"], *interval_of(price), moment)


def add_item(world: World, subscription: Json, sale: Sale, period: tuple[int, int], *, id: str | None = None) -> Json:
    """Add an item for a price to a subscription; `id` where it is known before."""
    item: Json = {
        "id": id or world.ids.new("si", 14),
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": world.clock.seconds(),
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": dict(sale.metadata),
        "price": sale.price["id"],
        "quantity": sale.quantity,
        "subscription": subscription["id"],
        "tax_rates": list(sale.tax_rates),
    }
    world.table("subscription_item").add(item)
    item["discounts"] = discounts.grant(
        world,
        sale.discounts,
        customer=subscription["customer"],
        subscription=subscription["id"],
        subscription_item=item["id"],
    )
    subscription["_items"] = [*subscription["_items"], item["id"]]
    return item


def items_of(world: World, subscription: Json) -> list[Json]:
    """The stored items of a subscription, in their order."""
    return [world.table("subscription_item").get(id) for id in subscription["_items"]]


def period_of(world: World, subscription: Json) -> tuple[int, int]:
    """The period that ends first of those of the items; most subscriptions have but one."""
    first = min(items_of(world, subscription), key=lambda item: int(item["current_period_end"]))
    return first["current_period_start"], first["current_period_end"]


def last_end(world: World, subscription: Json) -> int:
    """When the last of the current periods of the items ends."""
    return max(int(item["current_period_end"]) for item in items_of(world, subscription))


def is_free(world: World, subscription: Json) -> bool:
    """Whether nothing that the subscription sells has a price."""
    items = items_of(world, subscription)
    priced = [(world.table("price").get(item["price"]), item["quantity"]) for item in items]
    return not any(prices.is_metered(price) or prices.cost(price, quantity or 0) for price, quantity in priced)


def live_of(world: World, customer: str) -> list[Json]:
    """A customer's subscriptions that have not ended, newest first."""
    rows = world.table("subscription")
    return [row for row in rows if row["customer"] == customer and row["status"] not in ENDED]


def can_pause(subscription: Json) -> bool:
    """Whether the whole subscription may be paused: flexible, charged by itself, on no trial, without a schedule."""
    return (
        subscription["billing_mode"]["type"] == "flexible"
        and subscription["collection_method"] == "charge_automatically"
        and subscription["schedule"] is None
        and subscription["status"] in ("active", "past_due", "unpaid")
    )


def pause(world: World, subscription: Json, why: str) -> None:
    """Stop service and billing; emits `customer.subscription.updated` and `customer.subscription.paused`."""
    with world.events.in_order(_PAUSED):
        with updating(world, subscription, "customer.subscription.updated"):
            mark_paused(world, subscription, why)
        emit(world, "customer.subscription.paused", subscription)


def mark_paused(world: World, subscription: Json, why: str) -> None:
    """Write down that a subscription is paused, and why; to be told by the caller."""
    paused = {"subscription": {"type": why}, "transitioned_at": world.clock.seconds(), "type": "subscription"}
    subscription |= {"status": "paused", "status_details": {"paused": paused}, "pending_update": None}


def cancel(
    world: World, subscription: Json, *, reason: str = "cancellation_requested", details: Json | None = None
) -> None:
    """End a subscription now and emit `customer.subscription.deleted`; its open invoices are not collected further.

    Its schedule ends with it: aborted when the reason is a payment that failed.
    """
    now = world.clock.seconds()
    schedule = world.table("subscription_schedule").rows.get(subscription["schedule"] or "")
    subscription |= {
        "status": "canceled",
        "ended_at": now,
        "canceled_at": subscription["canceled_at"] or now,
        "cancellation_details": {**subscription["cancellation_details"], **(details or {}), "reason": reason},
        "pending_setup_intent": None,
        "pending_update": None,
        "status_details": None,
    }
    for invoice in invoices.of_subscription(world, subscription["id"], "draft", "open"):
        if not invoice.get("_final"):
            invoices.stop(invoice)
    emit(world, "customer.subscription.deleted", subscription)
    if schedule is not None and schedule["status"] in ("not_started", "active"):
        schedule |= {"status": "canceled", "canceled_at": now, "current_phase": None}
        kind = "aborted" if reason == "payment_failed" else "canceled"
        emit(world, f"subscription_schedule.{kind}", schedule)


def plan_of(price: Json) -> Json:
    """The plan that Stripe still shows beside the price of a subscription item."""
    recurring = price["recurring"]
    same = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    return {name: price[name] for name in same} | {
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "meter": recurring["meter"],
        "tiers_mode": price["tiers_mode"],
        "transform_usage": price["transform_quantity"],
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }


@filler("subscription_item")
def _fill_item(world: World, shown: Json) -> None:
    if shown.get("deleted"):
        return
    price = world.table("price").get(shown["price"])
    shown["price"], shown["plan"] = render(world, price), plan_of(price)
    if shown["quantity"] is None:
        del shown["quantity"]


@filler("subscription")
def _fill_subscription(world: World, shown: Json) -> None:
    items = [render(world, item) for item in items_of(world, shown)]
    shown["items"] = lists.embedded(items, f"/v1/subscription_items?subscription={shown['id']}")
    waiting: Json = shown["pending_update"] or {}
    if waiting.get("subscription_items"):
        waiting["subscription_items"] = [render(world, item) for item in waiting["subscription_items"]]


def billing_mode(type: str, proration_discounts: str, now: int) -> Json:
    """The billing mode of a subscription or schedule; flexible since `now`."""
    if type == "classic":
        return {"flexible": None, "type": "classic"}
    return {"flexible": {"proration_discounts": proration_discounts}, "type": "flexible", "updated_at": now}


def _blank(world: World, customer: Json, terms: Terms, currency: str, anchor: int) -> Json:
    now = world.clock.seconds()
    return {
        "id": world.ids.new("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": automatic_tax.of_subscription(enabled=terms.automatic_tax),
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": billing_mode(terms.billing_mode, terms.proration_discounts, now),
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": dict(_NO_DETAILS),
        "collection_method": terms.collection_method,
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": terms.days_until_due,
        "default_payment_method": terms.default_payment_method,
        "default_source": None,
        "default_tax_rates": list(terms.default_tax_rates),
        "description": terms.description,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": None,
        "latest_invoice": None,
        "livemode": False,
        "metadata": dict(terms.metadata),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": terms.save_default_payment_method,
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "active",
        "status_details": None,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": terms.trial_end,
        "trial_settings": {
            "end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": terms.missing_payment_method}
        },
        "trial_start": None,
        "_items": list[str](),
        "_pending": None,
        "_first_period_free": False,
    }
