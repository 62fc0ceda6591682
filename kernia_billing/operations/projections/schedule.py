"""Subscription schedules: what a subscription will be, and from when on."""

from __future__ import annotations

from attrs import evolve

from ...domain.instants import Instant
from ...domain.reading import instant, listed, members, own_id, text, texts
from ...domain.reports import Outcome
from ...domain.schedules import SchedulePhase, ScheduleRow
from ...domain.shapes import items_of_phase, price_of, quantity_of, subscription_of_schedule
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..core import Core
from .owners import owner
from .tickets import Fetched, Projection


def schedule_row(schedule: StripeObject, customer_id: str, now: Instant) -> ScheduleRow:
    """Read a Stripe subscription schedule.

    Raises:
        InvalidInput: it has no id, or a time is beyond all time.
    """
    current = members(schedule.get("current_phase"))
    return ScheduleRow(
        id=own_id(schedule),
        customer_id=customer_id,
        stripe_subscription_id=subscription_of_schedule(schedule),
        status=text(schedule.get("status")) or "",
        phase_start=instant(current.get("start_date")),
        phase_end=instant(current.get("end_date")),
        end_behavior=text(schedule.get("end_behavior")) or "release",
        phases=tuple(_phase(each) for each in listed(schedule.get("phases"))),
        created_at=instant(schedule.get("created")) or 0,
        deleted=False,
        updated_at=now,
    )


def _phase(phase: StripeObject) -> SchedulePhase:
    items = items_of_phase(phase)
    return SchedulePhase(
        start=instant(phase.get("start_date")) or 0,
        end=instant(phase.get("end_date")),
        price_ids=tuple(price_of(item) or "" for item in items),
        quantities=tuple(quantity_of(item) for item in items),
        plan=texts(phase.get("metadata")).get("plan"),
    )


def _write(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    now = core.now()
    if fetched.body is None:
        stored = tx.schedules.get(fetched.id)
        if stored is not None and not stored.deleted:
            tx.schedules.put(evolve(stored, deleted=True, updated_at=now))
        return "gone"
    customer = owner(tx, fetched.body)
    if customer is None:
        return "unmatched"
    tx.schedules.put(schedule_row(fetched.body, customer.id, now))
    return "applied"


def _rows(_core: Core, tx: Transaction, schedule: StripeObject) -> tuple[ScheduleRow, ScheduleRow] | None:
    stored = tx.schedules.get(own_id(schedule))
    customer = owner(tx, schedule)
    if stored is None or customer is None:
        return None
    return schedule_row(schedule, customer.id, stored.updated_at), stored


SCHEDULE = Projection("schedule", _write, _rows)
"""How subscription schedules come in."""
