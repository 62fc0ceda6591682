"""What moves along when a plan or a number of seats takes another's place."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.plan_change import Change, Part, Running, change, policy_for, remaining_part, resize
from kernia_billing.domain.plans import FeatureKind, PlanChangePolicy
from kernia_billing.domain.rollover import DebtMode

HALF = Part(15, 30)
policies = st.sampled_from(get_args(PlanChangePolicy))
debts = st.sampled_from(get_args(DebtMode))


@pytest.mark.parametrize(
    ("policy", "debt", "expected"),
    [
        ("reset", "forgive", Change(100)),
        ("carry_usage", "forgive", Change(100, used=100, forgiven=200)),
        ("carry_usage", "carry", Change(100, used=100, debt=200)),
        ("carry_remaining", "forgive", Change(100, leftover=200)),
        ("prorate", "forgive", Change(50, leftover=200)),
    ],
)
def test_a_smaller_plan(policy: PlanChangePolicy, debt: DebtMode, expected: Change) -> None:
    """500 of which 300 are used become 100, in the middle of the period."""
    assert expected == change(policy, Running(500, 300), 100, HALF, debt=debt)


def test_the_examples_of_a_larger_plan() -> None:
    """100 of which 80 are used become 500: what was left comes on top where the policy says so."""
    assert Change(500, leftover=20) == change("carry_remaining", Running(100, 80), 500, HALF)
    assert Change(250, leftover=20) == change("prorate", Running(100, 80), 500, HALF)


def test_proration_rounds_up_to_a_whole_unit() -> None:
    """A third of ten is four units; at the very end nothing is left of the period."""
    assert 4 == Part(1, 3).of(10)
    assert 0 == Part(0, 3).of(10)
    assert [Part(30, 30), Part(10, 30), Part(0, 30)] == [remaining_part(now, 100, 130) for now in (90, 120, 140)]


def test_no_cap_on_either_side() -> None:
    """What was used without a cap counts in a plan with one; nothing remains of what never ran out."""
    assert Change(100, used=70) == change("carry_usage", Running(None, 70), 100, HALF)
    assert Change(None, used=70) == change("carry_usage", Running(100, 70), None, HALF)
    assert Change(100) == change("carry_remaining", Running(None, 70), 100, HALF)
    assert Change(None, leftover=30) == change("prorate", Running(100, 70), None, HALF)


def test_holds_move_along_with_usage_only() -> None:
    """Carried usage takes held units with it, and the new amount makes room; elsewhere they stay where they are."""
    assert Change(500, used=80, held=10) == change("carry_usage", Running(100, 80, 10), 500, HALF)
    assert Change(110, used=100, held=10, forgiven=200) == change("carry_usage", Running(500, 300, 10), 100, HALF)
    assert Change(500, leftover=10) == change("carry_remaining", Running(100, 80, 10), 500, HALF)


def test_what_counts_things_that_exist_always_carries() -> None:
    """Seats and projects do not vanish with a plan."""
    carries: list[FeatureKind] = ["boolean", "quantity", "seat"]
    follows: list[FeatureKind] = ["metered", "credit"]

    assert {"carry_usage"} == {policy_for(kind, policy) for kind in carries for policy in get_args(PlanChangePolicy)}
    assert all(policy == policy_for(kind, policy) for kind in follows for policy in get_args(PlanChangePolicy))


def test_the_examples_of_seats() -> None:
    """Five seats of 100, 400 used: three leave an excess of 100, seven leave 300, or half of the increase."""
    five = Running(500, 400)

    assert Change(400, used=400, forgiven=100) == resize(five, 300)
    assert Change(400, used=400, debt=100) == resize(five, 300, debt="carry")
    assert Change(700, used=400) == resize(five, 700)
    assert Change(600, used=400) == resize(five, 700, part=HALF)
    assert Change(400, used=400, forgiven=100) == resize(five, 300, part=HALF)
    assert Change(None, used=400) == resize(five, None, part=HALF)


@given(
    policies,
    debts,
    st.one_of(st.none(), st.integers(0, 500)),
    st.integers(0, 500),
    st.integers(0, 100),
    st.one_of(st.none(), st.integers(0, 500)),
    st.integers(0, 30),
)
def test_every_change_fits_and_adds_up(
    policy: PlanChangePolicy,
    debt: DebtMode,
    amount: int | None,
    used: int,
    held: int,
    new_amount: int | None,
    left: int,
) -> None:
    """The new bucket never overflows (I1); used, owed and forgiven are what was used; nobody gains by holding."""
    old = Running(None if amount is None else amount + used + held, used, held)
    found = change(policy, old, new_amount, Part(left, 30), debt=debt)

    assert found.amount is None or found.used + found.held <= found.amount
    assert min(found.used, found.held, found.leftover, found.debt, found.forgiven) >= 0
    assert found.leftover <= (amount or 0)
    if policy == "carry_usage":
        assert used == found.used + found.debt + found.forgiven
        assert held == found.held
        if new_amount is not None and found.amount is not None:
            assert found.amount - found.used - found.held == max(0, new_amount - min(used, new_amount) - held)
    else:
        assert (0, 0) == (found.used, found.held)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 50), st.integers(0, 600), debts, st.integers(0, 30))
def test_seats_never_take_what_is_used(
    free: int, used: int, held: int, new_amount: int, debt: DebtMode, left: int
) -> None:
    """The running amount covers used and held, and lies between the two full amounts where it does not have to grow."""
    old = Running(free + used + held, used, held)
    found = resize(old, new_amount, part=Part(left, 30), debt=debt)

    assert found.amount is not None
    assert found.amount >= used + held
    assert found.amount <= max(new_amount, old.amount or 0)
    assert (used, held) == (found.used, found.held)
    assert found.debt + found.forgiven == max(0, used + held - new_amount)
