"""Mirrored subscriptions, as answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.answers import Subscription
from ..domain.customers import CustomerRow
from ..domain.instants import Instant, to_datetime
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow, display_state, first_live
from ..ports.store import Transaction
from .core import Core


def _when(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def answer(core: Core, customer: CustomerRow, row: SubscriptionRow, now: Instant) -> Subscription:
    """A stored subscription as users see it."""
    grace = None if row.past_due_since is None else row.past_due_since + core.grace
    return Subscription(
        id=row.id,
        stripe_id=row.stripe_subscription_id,
        reference=customer.reference,
        plan=row.plan,
        status=row.status,
        display_state=display_state(row, now),
        interval=row.interval,
        seats=row.seats,
        period_start=_when(row.period_start),
        period_end=_when(row.period_end),
        trial_end=_when(row.trial_end),
        cancel_at=_when(row.cancel_at),
        grace_ends_at=_when(grace) if row.status == "past_due" else None,
        pending_change=None,
        trial_start=_when(row.trial_start),
        cancel_at_period_end=row.cancel_at_period_end,
        canceled_at=_when(row.canceled_at),
        ended_at=_when(row.ended_at),
        stripe_customer_id=customer.stripe_customer_id,
        price_id=row.price_id,
        group=row.group,
        duplicate=row.duplicate,
    )


def entitling(rows: Sequence[SubscriptionRow], group: str | None = None) -> SubscriptionRow | None:
    """The subscription that speaks for a customer: the live one, else the one that ended last."""
    live = first_live(rows, group)
    if live is not None:
        return live
    ended = [row for row in rows if group is None or row.group == group]
    return max(ended, key=lambda row: (row.ended_at or row.updated_at, row.id), default=None)


async def get(core: Core, reference: Ref, *, group: str = "default") -> Subscription | None:
    """The live subscription of a plan group, else the one that ended last, None where there never was one."""
    rows = await _rows(core, reference)
    if rows is None:
        return None
    customer, subscriptions = rows
    row = entitling(subscriptions, group)
    return None if row is None else answer(core, customer, row, core.now())


async def every(core: Core, reference: Ref) -> Sequence[Subscription]:
    """Every subscription that the reference has or had, oldest first."""
    rows = await _rows(core, reference)
    if rows is None:
        return ()
    customer, subscriptions = rows
    now = core.now()
    return tuple(answer(core, customer, row, now) for row in subscriptions)


async def _rows(core: Core, reference: Ref) -> tuple[CustomerRow, Sequence[SubscriptionRow]] | None:
    who = core.reference(reference)

    def read(tx: Transaction) -> tuple[CustomerRow, Sequence[SubscriptionRow]] | None:
        customer = tx.customers.get(who)
        return None if customer is None else (customer, tx.subscriptions.of_customer(customer.id))

    return await core.store.read(read)
