"""Subscriptions and their items as state: making, showing, cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ..api import lists
from ..catalog import prices
from ..invoices import automatic_tax, discounts, invoices
from ..invoices.discounts import Wanted
from ..versions.plans import plan_of
from ..world.clock import period_after
from ..world.errors import Json
from ..world.events import emit, updating
from ..world.rendering import filler, render
from . import pending_intervals
from .selling import Sale, interval_of

if TYPE_CHECKING:
    from ..world.world import World

ENDED = ("canceled", "incomplete_expired")
"""States that a subscription never leaves."""
_PAUSED = ("customer.subscription.updated", "customer.subscription.paused")

_NO_DETAILS: Json = {"comment": None, "feedback": None, "feedback_option": None, "reason": None}


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
    pending_interval: Json | None = None
    """How often it is billed for what waits for an invoice, as it was given."""


def build(world: World, customer: Json, sales: Sequence[Sale], terms: Terms) -> Json:
    """Make a subscription of the recurring prices, active, or trialing until the end; emits its discounts only."""
    now = world.clock.seconds()
    trialing = terms.trial_end is not None
    anchor = terms.anchor or terms.trial_end or now
    subscription = _blank(world, customer, terms, sales[0].price["currency"], anchor)
    subscription |= {"status": "trialing" if trialing else "active", "trial_start": now if trialing else None}
    pending_intervals.write(subscription, terms.pending_interval, now)
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
    subscription |= {"_pending": None, "_resumes_at": None}


def cancel(
    world: World, subscription: Json, *, reason: str = "cancellation_requested", details: Json | None = None
) -> None:
    """End a subscription now and emit `customer.subscription.deleted`; its open invoices are not collected further.

    A change that waits for its invoice is forgotten: paying that makes nothing live again. Its schedule ends with it:
    aborted when the reason is a payment that failed.
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
        "_pending": None,
    }
    for invoice in invoices.of_subscription(world, subscription["id"], "draft", "open"):
        if not invoice.get("_final"):
            invoices.stop(invoice)
    emit(world, "customer.subscription.deleted", subscription)
    if schedule is not None and schedule["status"] in ("not_started", "active"):
        schedule |= {"status": "canceled", "canceled_at": now, "current_phase": None}
        kind = "aborted" if reason == "payment_failed" else "canceled"
        emit(world, f"subscription_schedule.{kind}", schedule)


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
        "_resumes_at": None,
    }
