"""The word that people see: the whole table of states, against the table as it is written down."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from attrs import evolve

from kernia_billing.domain.display import Coming, PhasePlan, coming_change, display_state, next_phase
from kernia_billing.domain.schedules import SchedulePhase, ScheduleRow
from kernia_billing.domain.subscriptions import SubscriptionRow

NOW = 1_000
STATUSES = ("incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused")
PRECEDENCE = (
    *("canceled", "incomplete_expired", "unpaid", "incomplete", "paused"),
    *("cancel_pending", "past_due", "downgrading", "changing", "trialing", "active"),
)
ROW = SubscriptionRow(
    id="sub",
    customer_id="cus",
    stripe_subscription_id="sub_1",
    group="default",
    plan="pro",
    plan_version_id=None,
    status="active",
    interval="month",
    price_id="price_pro",
    item_id="si_1",
    seats=2,
    period_start=0,
    period_end=2_000,
    trial_start=None,
    trial_end=None,
    cancel_at_period_end=False,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    billing_cycle_anchor=0,
    past_due_since=None,
    pause_behavior=None,
    schedule_id="sched",
    duplicate=False,
    created_at=0,
    updated_at=0,
)
NOTHING = SchedulePhase(0, 2_000, ("price_pro",), (2,))
SCHEDULE = ScheduleRow("sched", "cus", "sub_1", "active", 0, 2_000, "release", (NOTHING,), 0, False, 0)
RANKS = {"free": 0, "pro": 1, "team": 2}
CHANGES: dict[str, SchedulePhase] = {
    "lower": SchedulePhase(2_000, 3_000, ("price_free",), (2,), "free"),
    "higher": SchedulePhase(2_000, 3_000, ("price_team",), (2,), "team"),
    "seats": SchedulePhase(2_000, 3_000, ("price_pro",), (1,), "pro"),
    "same": SchedulePhase(2_000, 3_000, ("price_pro",), (2,), "pro"),
    "unknown": SchedulePhase(2_000, 3_000, ("price_of_others",), (2,)),
    "past": SchedulePhase(500, 900, ("price_free",), (2,), "free"),
}


def sells(phase: SchedulePhase) -> PhasePlan | None:
    """What the phases above sell."""
    return None if phase.plan is None else PhasePlan(phase.plan, "month", phase.quantities[0])


def coming(row: SubscriptionRow, schedule: ScheduleRow | None) -> Coming | None:
    """The change that comes, as the ranks above have it."""
    return coming_change(row, schedule, NOW, sells, RANKS.get)


def wanted(row: SubscriptionRow, change: str | None, *, ends: bool) -> str:
    """What the table says, row by row: everything that holds, and of that the first by precedence."""
    holds = {row.status}
    live = row.status in ("trialing", "active")
    if row.status == "paused" or row.pause_behavior is not None:
        holds.add("paused")
    future = row.cancel_at is not None and row.cancel_at > NOW
    by_schedule = ends and change in (None, "past")
    if (row.cancel_at_period_end or future or by_schedule) and (live or row.status == "past_due"):
        holds.add("cancel_pending")
    if live and change == "lower":
        holds.add("downgrading")
    if live and change in ("higher", "seats"):
        holds.add("changing")
    return min(holds, key=PRECEDENCE.index)


COMBINATIONS = list(
    product(STATUSES, (False, True), (None, 500, 1_500), (None, "void"), (None, *CHANGES), (False, True))
)


@pytest.mark.parametrize("status", STATUSES)
def test_every_combination_is_shown_as_the_table_has_it(status: str) -> None:
    """Eight statuses, cancellations, pauses, scheduled changes and endings: every combination of them."""
    seen: set[str] = set()
    for each, ending, cancel_at, paused, change, ends in COMBINATIONS:
        if each != status:
            continue
        row = evolve(ROW, status=status, cancel_at_period_end=ending, cancel_at=cancel_at, pause_behavior=paused)
        phases = (NOTHING,) if change is None else (NOTHING, CHANGES[change])
        schedule = evolve(SCHEDULE, phases=phases, end_behavior="cancel" if ends else "release")
        shown = display_state(row, NOW, schedule, coming(row, schedule))
        assert shown == wanted(row, change, ends=ends), (status, ending, cancel_at, paused, change, ends)
        seen.add(shown)
    assert status in seen
    assert len(seen) > 1 or status in ("canceled", "incomplete_expired", "unpaid", "incomplete", "paused")


@pytest.mark.parametrize(
    "gone",
    [
        {"deleted": True},
        {"status": "released"},
        {"status": "completed"},
        {"status": "canceled"},
        {"id": "another"},
    ],
)
def test_a_schedule_that_drives_nothing_changes_nothing(gone: dict[str, Any]) -> None:
    """A schedule that was released, ended, deleted, or that the subscription does not follow is no pending change."""
    schedule = evolve(SCHEDULE, phases=(NOTHING, CHANGES["lower"]), **gone)
    assert coming(ROW, schedule) is None
    assert coming(ROW, None) is None


def test_the_phase_that_begins_first_counts() -> None:
    """Of several phases to come the next one is told, until it has begun."""
    later = SchedulePhase(3_000, 4_000, ("price_team",), (2,), "team")
    lower = CHANGES["lower"]
    schedule = evolve(SCHEDULE, phases=(later, NOTHING, lower))
    assert next_phase(schedule, NOW) == lower
    assert next_phase(schedule, 2_000) == later
    assert next_phase(schedule, 3_000) is None
    assert coming(ROW, schedule) == Coming("free", "month", 2, 2_000, lower=True)


def test_a_status_that_is_not_known_yet_is_shown_as_it_is() -> None:
    """What Stripe adds later is not called by another name."""
    assert display_state(evolve(ROW, status="dormant"), NOW) == "dormant"


def test_a_plan_that_is_gone_ranks_nowhere() -> None:
    """Where nobody knows how the plans rank, it is a change and no downgrade."""
    row = evolve(ROW, plan="gone")
    found = coming(row, evolve(SCHEDULE, phases=(CHANGES["lower"],)))
    assert found is not None
    assert found.lower is False
    assert display_state(row, NOW, SCHEDULE, found) == "changing"
