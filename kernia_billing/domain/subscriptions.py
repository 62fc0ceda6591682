"""Subscriptions as mirrored from Stripe: reading every shape that Stripe sends, and what a state gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen

from .instants import FOREVER, Instant
from .plans import BillingInterval
from .reading import Json, flag, id_of, instant, members, own_id, text, texts
from .shapes import (
    interval_of_price,
    items_of,
    owner_of,
    paid_through,
    period_of_item,
    period_of_subscription,
    price_of,
    quantity_of,
)

WhilePaused = Literal["deny", "allow"]
"""Whether a subscription whose collection is paused gives its plan."""
PauseBehavior = Literal["void", "keep_as_draft", "mark_uncollectible"]
"""What becomes of invoices while collection is paused (Stripe, "Pause payment collection")."""
CancelWhen = Literal["period_end", "now"]
"""When a subscription that is cancelled ends."""
CancelFeedback = Literal[
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
]
"""What a customer may say of why it leaves (Stripe, "Update a subscription", cancellation_details)."""
TERMINAL = frozenset({"canceled", "incomplete_expired"})
"""Statuses that a subscription never leaves (Stripe, "How subscriptions work")."""
_BEST_FIRST = ("active", "trialing", "past_due", "paused", "unpaid", "incomplete")


def is_live(status: str) -> bool:
    """Whether Stripe may still change or charge a subscription in this status: in one that is not known yet, too."""
    return status not in TERMINAL


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
    """What we read of Stripe's subscription object, whichever version rendered it.

    Items of one subscription may have different periods: `period_end` is the earliest end, which is the next renewal,
    `paid_through` is until when all of it is billed.
    """

    id: str
    customer_id: str
    status: str
    items: tuple[SubscriptionItem, ...]
    period_start: Instant | None
    period_end: Instant | None
    paid_through: Instant | None
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
    cancel_reason: str | None = None
    cancel_feedback: str | None = None
    resumes_at: Instant | None = None
    default_payment_method_id: str | None = None
    collection_method: str | None = None


@frozen
class SubscriptionRow:
    """A mirrored subscription. Unique by `stripe_subscription_id`; `plan` is None where no plan is mapped.

    One without a `stripe_subscription_id` ("") is a trial without Stripe, see `LocalTrial`; no such one is stored.
    """

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
    cancel_reason: str | None = None
    cancel_feedback: str | None = None
    resumes_at: Instant | None = None
    default_payment_method_id: str | None = None
    collection_method: str | None = None


def _item(item: Json, subscription: Json) -> SubscriptionItem:
    price = members(item.get("price")) or members(item.get("plan"))
    start, end = period_of_item(item, subscription)
    return SubscriptionItem(
        id=own_id(item, "items.id"),
        price_id=price_of(item) or "",
        lookup_key=text(price.get("lookup_key")),
        interval=interval_of_price(price)[0],
        quantity=quantity_of(item),
        period_start=start,
        period_end=end,
    )


def _unpaid_since(invoice: object) -> Instant | None:
    """When an expanded, unpaid invoice was finalized."""
    told = members(invoice)
    if told.get("status") not in ("open", "uncollectible"):
        return None
    return instant(members(told.get("status_transitions")).get("finalized_at"))


def read_subscription(subscription: Json) -> StripeSubscription:
    """Read Stripe's subscription object by its shape, not by its version.

    Raises:
        InvalidInput: it or one of its items has no id, or a time is beyond all time.
    """
    start, end = period_of_subscription(subscription)
    cancellation = members(subscription.get("cancellation_details"))
    pause = members(subscription.get("pause_collection"))
    return StripeSubscription(
        id=own_id(subscription),
        customer_id=owner_of(subscription) or "",
        status=text(subscription.get("status")) or "",
        items=tuple(_item(each, subscription) for each in items_of(subscription)),
        period_start=start,
        period_end=end,
        paid_through=paid_through(subscription),
        trial_start=instant(subscription.get("trial_start")),
        trial_end=instant(subscription.get("trial_end")),
        cancel_at_period_end=flag(subscription.get("cancel_at_period_end")),
        cancel_at=instant(subscription.get("cancel_at")),
        canceled_at=instant(subscription.get("canceled_at")),
        ended_at=instant(subscription.get("ended_at")),
        billing_cycle_anchor=instant(subscription.get("billing_cycle_anchor")),
        start_date=instant(subscription.get("start_date")) or instant(subscription.get("created")) or 0,
        pause_behavior=text(pause.get("behavior")),
        schedule_id=id_of(subscription.get("schedule")),
        unpaid_since=_unpaid_since(subscription.get("latest_invoice")),
        metadata=texts(subscription.get("metadata")),
        livemode=flag(subscription.get("livemode")),
        cancel_reason=text(cancellation.get("reason")),
        cancel_feedback=text(cancellation.get("feedback")),
        resumes_at=instant(pause.get("resumes_at")),
        default_payment_method_id=id_of(subscription.get("default_payment_method")),
        collection_method=text(subscription.get("collection_method")),
    )


def entitled_until(row: SubscriptionRow, grace: int, while_paused: WhilePaused) -> Instant:
    """Until when a subscription in this state gives its plan; an instant that is over means not at all.

    Active and trialing give it without end: time ends it only through Stripe. Past due gives it for `grace`
    microseconds from the first failed payment. Everything else, and every status not known yet, gives nothing. One
    whose collection is paused gives what its status gives where that is allowed, and nothing where it is not; the
    status "paused" never gives anything, because nobody has agreed to pay.
    """
    status, past_due_since = row.status, row.past_due_since
    if row.pause_behavior is not None and while_paused == "deny":
        return 0
    if status in ("active", "trialing"):
        return FOREVER
    if status == "past_due" and past_due_since is not None:
        return past_due_since + grace
    return 0


def paid_with(row: SubscriptionRow, customer_default: str | None) -> str | None:
    """The payment method that invoices of a subscription are charged to: its own, else its customer's; None for none.

    That is Stripe's order ("The Subscription object", default_payment_method). An invoice that is sent is charged to
    nothing.
    """
    if row.collection_method == "send_invoice":
        return None
    return row.default_payment_method_id or customer_default


def set_to_end(row: SubscriptionRow) -> Instant | None:
    """When a live subscription ends if nothing changes; None where it goes on."""
    if row.cancel_at is not None:
        return row.cancel_at
    return row.period_end if row.cancel_at_period_end else None


def first_live(rows: Sequence[SubscriptionRow], group: str | None = None) -> SubscriptionRow | None:
    """The subscription that counts: of a plan before of none, by its status, no duplicate before one, the oldest."""
    candidates = [row for row in rows if is_live(row.status) and (group is None or row.group == group)]
    candidates.sort(key=lambda row: (row.plan is None, _rank(row.status), row.duplicate, row.created_at, row.id))
    return candidates[0] if candidates else None


def _rank(status: str) -> int:
    """How good a status is, 0 the best; one that is not known yet comes last."""
    return _BEST_FIRST.index(status) if status in _BEST_FIRST else len(_BEST_FIRST)
