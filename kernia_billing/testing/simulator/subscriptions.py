"""Subscriptions and their items as state: making, showing, cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from . import invoices, lists, prices
from .clock import period_after
from .errors import Json, invalid
from .events import emit
from .rendering import filler, render

if TYPE_CHECKING:
    from .world import World

ENDED = ("canceled", "incomplete_expired")
"""States that a subscription never leaves."""

_NO_DETAILS: Json = {"comment": None, "feedback": None, "feedback_option": None, "reason": None}


@frozen
class Sale:
    """One price and how many of it; the quantity of a metered price is None."""

    price: Json
    quantity: int | None
    metadata: Json = field(factory=dict[str, Any])


@frozen
class Terms:
    """What a subscription starts with."""

    metadata: Json = field(factory=dict[str, Any])
    description: str | None = None
    trial_end: int | None = None
    missing_payment_method: str = "create_invoice"
    default_payment_method: str | None = None
    billing_mode: str = "flexible"


def checked_sale(world: World, price_id: str, quantity: int | None, at: str) -> Sale:
    """A price that may be sold, with a quantity as its kind demands.

    Raises:
        ApiError: unknown or inactive price, a quantity on a metered one, none on a licensed one.
    """
    price = world.table("price").get(price_id, f"{at}[price]")
    if not price["active"]:
        raise invalid(
            f"The price specified is inactive. This field only accepts active prices. `{price_id}`", f"{at}[price]"
        )
    if not world.table("product").get(price["product"])["active"]:
        raise invalid("The product of the price specified is inactive.", f"{at}[price]")
    if prices.is_metered(price):
        if quantity is not None:
            raise invalid("Quantity should not be specified where usage_type is `metered`.", f"{at}[quantity]")
    elif quantity is None:
        raise invalid("Quantity is required. Add `quantity` to the line item.", f"{at}[quantity]")
    return Sale(price, quantity)


def common_terms(sales: Sequence[Sale], at: str) -> tuple[str, int, str]:
    """The billing interval, its count and the currency that all recurring prices share.

    Checkout demands one interval; subscriptions made directly could mix them in Stripe, which is not modelled.

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


def build(world: World, customer: Json, sales: Sequence[Sale], terms: Terms) -> Json:
    """Make a subscription of the recurring prices, without emitting anything: active, or trialing until the end."""
    now = world.clock.seconds()
    interval, count, currency = common_terms(sales, "items")
    trialing = terms.trial_end is not None
    anchor = terms.trial_end if terms.trial_end is not None else now
    period = (now, anchor) if trialing else period_after(anchor, interval, count, now)
    subscription = _blank(world, customer, terms, currency, anchor)
    subscription |= {"status": "trialing" if trialing else "active", "trial_start": now if trialing else None}
    world.table("subscription").add(subscription)
    for sale in sales:
        if sale.price["type"] == "recurring":
            add_item(world, subscription, sale, period)
    return subscription


def add_item(world: World, subscription: Json, sale: Sale, period: tuple[int, int]) -> Json:
    """Add an item for a price to a subscription."""
    item: Json = {
        "id": world.ids.new("si", 14),
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
        "tax_rates": [],
    }
    world.table("subscription_item").add(item)
    subscription["_items"] = [*subscription["_items"], item["id"]]
    return item


def items_of(world: World, subscription: Json) -> list[Json]:
    """The stored items of a subscription, in their order."""
    return [world.table("subscription_item").get(id) for id in subscription["_items"]]


def period_of(world: World, subscription: Json) -> tuple[int, int]:
    """The current period; all items of a simulated subscription share it."""
    first = items_of(world, subscription)[0]
    return first["current_period_start"], first["current_period_end"]


def live_of(world: World, customer: str) -> list[Json]:
    """A customer's subscriptions that have not ended, newest first."""
    rows = world.table("subscription")
    return [row for row in rows if row["customer"] == customer and row["status"] not in ENDED]


def cancel(
    world: World, subscription: Json, *, reason: str = "cancellation_requested", details: Json | None = None
) -> None:
    """End a subscription now and emit `customer.subscription.deleted`; its open invoices are not collected further."""
    now = world.clock.seconds()
    subscription |= {
        "status": "canceled",
        "ended_at": now,
        "canceled_at": subscription["canceled_at"] or now,
        "cancellation_details": {**subscription["cancellation_details"], **(details or {}), "reason": reason},
        "pending_setup_intent": None,
    }
    for invoice in invoices.of_subscription(world, subscription["id"], "draft", "open"):
        invoice |= {"auto_advance": False, "next_payment_attempt": None, "automatically_finalizes_at": None}
    emit(world, "customer.subscription.deleted", subscription)


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
        "transform_usage": None,
        "trial_period_days": recurring["trial_period_days"],
        "usage_type": recurring["usage_type"],
    }


@filler("subscription_item")
def _fill_item(world: World, shown: Json) -> None:
    price = world.table("price").get(shown["price"])
    shown["price"], shown["plan"] = render(world, price), plan_of(price)
    if shown["quantity"] is None:
        del shown["quantity"]


@filler("subscription")
def _fill_subscription(world: World, shown: Json) -> None:
    items = [render(world, item) for item in items_of(world, shown)]
    shown["items"] = lists.embedded(items, f"/v1/subscription_items?subscription={shown['id']}")


def _blank(world: World, customer: Json, terms: Terms, currency: str, anchor: int) -> Json:
    now = world.clock.seconds()
    flexible = {"flexible": {"proration_discounts": "included"}, "type": "flexible", "updated_at": now}
    return {
        "id": world.ids.new("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": None,
        "billing_mode": flexible if terms.billing_mode == "flexible" else {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": dict(_NO_DETAILS),
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": terms.default_payment_method,
        "default_source": None,
        "default_tax_rates": [],
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
            "save_default_payment_method": "off",
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
    }
