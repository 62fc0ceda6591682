"""Mirrored subscriptions, as answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.answers import PendingChange, Subscription
from ..domain.customers import CustomerRow
from ..domain.display import Coming, PhasePlan, coming_change, display_state
from ..domain.instants import Instant, to_datetime
from ..domain.references import Ref
from ..domain.schedules import SchedulePhase, ScheduleRow
from ..domain.subscriptions import SubscriptionRow, first_live
from ..ports.store import Transaction
from .core import Core
from .plans import sales_of


def _when(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def answer(core: Core, customer: CustomerRow, row: SubscriptionRow, now: Instant, tx: Transaction) -> Subscription:
    """A stored subscription as users see it, with what its schedule will change, as far as we heard of it."""
    schedule = None if row.schedule_id is None else tx.schedules.get(row.schedule_id)
    coming = _coming(core, tx, row, schedule, now)
    grace = None if row.past_due_since is None else row.past_due_since + core.grace
    return Subscription(
        id=row.id,
        stripe_id=row.stripe_subscription_id or None,
        reference=customer.reference,
        plan=row.plan,
        status=row.status,
        display_state=display_state(row, now, schedule, coming),
        interval=row.interval,
        seats=row.seats,
        period_start=_when(row.period_start),
        period_end=_when(row.period_end),
        trial_end=_when(row.trial_end),
        cancel_at=_when(row.cancel_at),
        grace_ends_at=_when(grace) if row.status == "past_due" else None,
        pending_change=None
        if coming is None
        else PendingChange(coming.plan, to_datetime(coming.at), coming.interval, coming.seats),
        trial_start=_when(row.trial_start),
        cancel_at_period_end=row.cancel_at_period_end,
        canceled_at=_when(row.canceled_at),
        ended_at=_when(row.ended_at),
        stripe_customer_id=customer.stripe_customer_id,
        price_id=row.price_id,
        group=row.group,
        duplicate=row.duplicate,
        cancel_reason=row.cancel_reason,
        cancel_feedback=row.cancel_feedback,
        schedule_id=row.schedule_id,
        resumes_at=_when(row.resumes_at),
    )


def _coming(
    core: Core, tx: Transaction, row: SubscriptionRow, schedule: ScheduleRow | None, now: Instant
) -> Coming | None:
    def rank(plan: str) -> int | None:
        return core.offer.rank(plan) if plan in core.offer.plans else None

    return coming_change(row, schedule, now, lambda phase: _sold_in(core, tx, phase), rank)


def _sold_in(core: Core, tx: Transaction, phase: SchedulePhase) -> PhasePlan | None:
    """What a phase sells; where several plans share a price, the one that we wrote into its metadata decides."""
    counts = dict(zip(phase.price_ids, phase.quantities, strict=True))
    for price_id in phase.price_ids:
        price = tx.catalog.price(price_id)
        sales = sales_of(core, tx, price_id, None if price is None else price.lookup_key)
        if sales:
            plan, interval = next((each for each in sales if each[0].key == phase.plan), sales[0])
            beside = plan.seat_price_id is not None and plan.seat_price_id != price_id
            count = counts.get(plan.seat_price_id or "", plan.min_seats) if beside else counts[price_id]
            return PhasePlan(plan.key, interval, count or 1)
    return None


def entitling(rows: Sequence[SubscriptionRow], group: str | None = None) -> SubscriptionRow | None:
    """The subscription that speaks for a customer: the live one, else the one that ended last."""
    live = first_live(rows, group)
    if live is not None:
        return live
    ended = [row for row in rows if group is None or row.group == group]
    return max(ended, key=lambda row: (row.ended_at or row.updated_at, row.id), default=None)


def all_of(tx: Transaction, customer_id: str, now: Instant) -> Sequence[SubscriptionRow]:
    """Every subscription that a customer has or had, trials without Stripe among them, oldest first."""
    trials = [each.as_row(now) for each in tx.trials.local(customer_id)]
    rows = tx.subscriptions.of_customer(customer_id)
    return sorted([*rows, *trials], key=lambda row: (row.created_at, row.id)) if trials else rows


async def get(core: Core, reference: Ref, *, group: str = "default") -> Subscription | None:
    """The live subscription of a plan group, else the one that ended last, None where there never was one."""
    who = core.reference(reference)

    def read(tx: Transaction) -> Subscription | None:
        customer, now = tx.customers.get(who), core.now()
        row = None if customer is None else entitling(all_of(tx, customer.id, now), group)
        return None if customer is None or row is None else answer(core, customer, row, now, tx)

    return await core.store.read(read)


async def every(core: Core, reference: Ref) -> Sequence[Subscription]:
    """Every subscription that the reference has or had, oldest first."""
    who = core.reference(reference)

    def read(tx: Transaction) -> Sequence[Subscription]:
        customer = tx.customers.get(who)
        if customer is None:
            return ()
        now = core.now()
        return tuple(answer(core, customer, row, now, tx) for row in all_of(tx, customer.id, now))

    return await core.store.read(read)
