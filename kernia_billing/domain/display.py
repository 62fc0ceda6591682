"""What people are told of a subscription: one word for its state, and the change of plan that is to come."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from .instants import Instant
from .plans import BillingInterval
from .schedules import SchedulePhase, ScheduleRow
from .subscriptions import SubscriptionRow

_FINAL = ("canceled", "incomplete_expired", "unpaid", "incomplete")
_DRIVING = ("active", "not_started")
_MAY_END = ("trialing", "active", "past_due")


@frozen
class PhasePlan:
    """The plan, interval and seats that a phase of a schedule sells."""

    plan: str
    interval: BillingInterval
    seats: int | None


@frozen
class Coming:
    """A change that a schedule brings at `at`; `lower` says that the plan then ranks below the present one."""

    plan: str
    interval: BillingInterval
    seats: int | None
    at: Instant
    lower: bool


def next_phase(schedule: ScheduleRow | None, now: Instant) -> SchedulePhase | None:
    """The phase that begins next, None where none does."""
    if schedule is None or schedule.deleted or schedule.status not in _DRIVING:
        return None
    return min((each for each in schedule.phases if each.start > now), key=lambda each: each.start, default=None)


def ends_with_schedule(schedule: ScheduleRow | None, now: Instant) -> bool:
    """Whether a schedule ends its subscription, and changes nothing before."""
    driving = schedule is not None and not schedule.deleted and schedule.status in _DRIVING
    return driving and schedule is not None and schedule.end_behavior == "cancel" and next_phase(schedule, now) is None


def coming_change(
    row: SubscriptionRow,
    schedule: ScheduleRow | None,
    now: Instant,
    sells: Callable[[SchedulePhase], PhasePlan | None],
    rank: Callable[[str], int | None],
) -> Coming | None:
    """The change of plan, interval or seats that the schedule of a subscription brings next, None where none does.

    `sells` says what a phase sells, None where that is no plan; `rank` where a plan stands, None where it is gone.
    """
    phase = next_phase(schedule, now)
    told = None if phase is None or schedule is None or row.schedule_id != schedule.id else sells(phase)
    if phase is None or told is None or (told.plan, told.interval, told.seats) == (row.plan, row.interval, row.seats):
        return None
    before = None if row.plan is None else rank(row.plan)
    after = rank(told.plan)
    lower = before is not None and after is not None and after < before
    return Coming(told.plan, told.interval, told.seats, phase.start, lower)


def display_state(
    row: SubscriptionRow, now: Instant, schedule: ScheduleRow | None = None, coming: Coming | None = None
) -> str:
    """One word for people, derived from the stored row, its mirrored schedule and the clock; never stored.

    The first that fits of: canceled, incomplete_expired, unpaid, incomplete, paused, cancel_pending, past_due,
    downgrading (a lower plan comes), changing (another change comes), trialing, active; a status that Stripe adds
    later is shown as it is.
    """
    if row.status in _FINAL:
        return row.status
    if row.status == "paused" or row.pause_behavior is not None:
        return "paused"
    if _is_ending(row, now, schedule):
        return "cancel_pending"
    if row.status in ("trialing", "active") and coming is not None:
        return "downgrading" if coming.lower else "changing"
    return row.status


def _is_ending(row: SubscriptionRow, now: Instant, schedule: ScheduleRow | None) -> bool:
    if row.cancel_at_period_end or (row.cancel_at is not None and row.cancel_at > now):
        return True
    return row.status in _MAY_END and ends_with_schedule(schedule, now)
