"""Subscriptions as mirrored from Stripe: reading every shape that Stripe sends, and what a state gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from .instants import FOREVER, Instant, from_seconds
from .plans import BillingInterval

LIVE = frozenset({"trialing", "active", "past_due", "unpaid", "paused", "incomplete"})
"""Statuses in which Stripe may still change or charge the subscription."""
TERMINAL = frozenset({"canceled", "incomplete_expired"})
"""Statuses that a subscription never leaves (Stripe, "How subscriptions work")."""


@frozen
class SubscriptionItem:
    """One item of a subscription. `quantity` is None for a metered price, for which Stripe sends none."""

    id: str
    price_id: str
    lookup_key: str | None
    interval: str | None
    quantity: int | None
    period_start: Instant | None
    period_end: Instant | None


@frozen
class StripeSubscription:
    """What we read of Stripe's subscription object, whichever version rendered it."""

    id: str
    customer_id: str
    status: str
    items: tuple[SubscriptionItem, ...]
    period_start: Instant | None
    period_end: Instant | None
    trial_start: Instant | None
    trial_end: Instant | None
    cancel_at_period_end: bool
    cancel_at: Instant | None
    canceled_at: Instant | None
    ended_at: Instant | None
    billing_cycle_anchor: Instant | None
    start_date: Instant
    pause_behavior: str | None
    schedule_id: str | None
    unpaid_since: Instant | None
    metadata: Mapping[str, str]
    livemode: bool


@frozen
class SubscriptionRow:
    """A mirrored subscription. Unique by `stripe_subscription_id`; `plan` is None where no plan is mapped."""

    id: str
    customer_id: str
    stripe_subscription_id: str
    group: str
    plan: str | None
    plan_version_id: str | None
    status: str
    interval: BillingInterval | None
    price_id: str | None
    item_id: str | None
    seats: int | None
    period_start: Instant | None
    period_end: Instant | None
    trial_start: Instant | None
    trial_end: Instant | None
    cancel_at_period_end: bool
    cancel_at: Instant | None
    canceled_at: Instant | None
    ended_at: Instant | None
    billing_cycle_anchor: Instant | None
    past_due_since: Instant | None
    pause_behavior: str | None
    schedule_id: str | None
    duplicate: bool
    created_at: Instant
    updated_at: Instant


def id_of(value: Any) -> str | None:
    """The id of something that Stripe sends as an id or, expanded, as an object."""
    if isinstance(value, str):
        return value or None
    inner = _map(value).get("id")
    return inner if isinstance(inner, str) else None


def _map(value: Any) -> Mapping[str, Any]:
    """A JSON object, empty where there is something else."""
    found: Mapping[str, Any] = value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
    return found


def subscription_of_invoice(invoice: Mapping[str, Any]) -> str | None:
    """The subscription that an invoice bills: under `parent` since 2025-03-31, before that at the top."""
    details = _map(_map(invoice.get("parent")).get("subscription_details"))
    return id_of(details.get("subscription")) or id_of(invoice.get("subscription"))


def _instant(value: Any) -> Instant | None:
    return from_seconds(value) if type(value) is int else None


def _item(item: Mapping[str, Any]) -> SubscriptionItem:
    price = _map(item.get("price") or item.get("plan"))
    recurring = _map(price.get("recurring"))
    quantity = item.get("quantity")
    return SubscriptionItem(
        id=item["id"],
        price_id=id_of(item.get("price")) or id_of(item.get("plan")) or "",
        lookup_key=price.get("lookup_key"),
        interval=recurring.get("interval") or price.get("interval"),
        quantity=quantity if type(quantity) is int else None,
        period_start=_instant(item.get("current_period_start")),
        period_end=_instant(item.get("current_period_end")),
    )


def _unpaid_since(invoice: Any) -> Instant | None:
    """When an expanded, unpaid invoice was finalized."""
    told = _map(invoice)
    if told.get("status") not in ("open", "uncollectible"):
        return None
    return _instant(_map(told.get("status_transitions")).get("finalized_at"))


def read_subscription(subscription: Mapping[str, Any]) -> StripeSubscription:
    """Read Stripe's subscription object by its shape, not by its version.

    Periods stand on the items since 2025-03-31 and at the top before; an item without one takes the subscription's.
    Over several items the start is the earliest and the end the earliest: the next renewal.
    """
    listed: Sequence[Mapping[str, Any]] = _map(subscription.get("items")).get("data") or ()
    items = tuple(_item(each) for each in listed)
    starts = [item.period_start for item in items if item.period_start is not None]
    ends = [item.period_end for item in items if item.period_end is not None]
    pause = _map(subscription.get("pause_collection"))
    return StripeSubscription(
        id=subscription["id"],
        customer_id=id_of(subscription.get("customer")) or "",
        status=str(subscription.get("status", "")),
        items=items,
        period_start=min(starts) if starts else _instant(subscription.get("current_period_start")),
        period_end=min(ends) if ends else _instant(subscription.get("current_period_end")),
        trial_start=_instant(subscription.get("trial_start")),
        trial_end=_instant(subscription.get("trial_end")),
        cancel_at_period_end=subscription.get("cancel_at_period_end") is True,
        cancel_at=_instant(subscription.get("cancel_at")),
        canceled_at=_instant(subscription.get("canceled_at")),
        ended_at=_instant(subscription.get("ended_at")),
        billing_cycle_anchor=_instant(subscription.get("billing_cycle_anchor")),
        start_date=_instant(subscription.get("start_date")) or _instant(subscription.get("created")) or 0,
        pause_behavior=pause.get("behavior"),
        schedule_id=id_of(subscription.get("schedule")),
        unpaid_since=_unpaid_since(subscription.get("latest_invoice")),
        metadata={key: str(value) for key, value in _map(subscription.get("metadata")).items()},
        livemode=subscription.get("livemode") is True,
    )


def entitled_until(status: str, past_due_since: Instant | None, grace: int, now: Instant) -> Instant:
    """Until when a subscription in this state gives its plan; an instant that is not after `now` means not at all.

    Active and trialing give it without end: time ends it only through Stripe. Past due gives it for `grace`
    microseconds from the first failed payment. Everything else, and every status not known yet, gives nothing.
    """
    if status in ("active", "trialing"):
        return FOREVER
    if status == "past_due" and past_due_since is not None:
        return past_due_since + grace
    return 0


DisplayState = Literal[
    "canceled",
    "incomplete_expired",
    "unpaid",
    "incomplete",
    "paused",
    "cancel_pending",
    "past_due",
    "trialing",
    "active",
]


def display_state(row: SubscriptionRow, now: Instant) -> str:
    """One word for people, derived from the stored row and the clock, never stored.

    The first that fits of: canceled, incomplete_expired, unpaid, incomplete, paused, cancel_pending, past_due,
    trialing, active; a status that Stripe adds later is shown as it is.
    """
    if row.status in ("canceled", "incomplete_expired", "unpaid", "incomplete"):
        return row.status
    if row.status == "paused" or row.pause_behavior is not None:
        return "paused"
    if row.cancel_at_period_end or (row.cancel_at is not None and row.cancel_at > now):
        return "cancel_pending"
    return row.status


def first_live(rows: Sequence[SubscriptionRow], group: str | None = None) -> SubscriptionRow | None:
    """The subscription that counts: live before ended, not a duplicate before a duplicate, then the oldest."""
    candidates = [row for row in rows if row.status in LIVE and (group is None or row.group == group)]
    candidates.sort(key=lambda row: (_rank(row.status), row.duplicate, row.created_at, row.id))
    return candidates[0] if candidates else None


def _rank(status: str) -> int:
    return ("active", "trialing", "past_due", "paused", "unpaid", "incomplete").index(status)
