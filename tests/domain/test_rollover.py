"""Rollover: the worked examples beyond the shared ones, and what must hold however late anybody looks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.instants import FOREVER, to_instant
from kernia_billing.domain.period import Interval, Rhythm
from kernia_billing.domain.rollover import (
    Closing,
    DebtMode,
    Freed,
    Opening,
    Rolled,
    Rule,
    lose_at,
    opening,
    opening_after,
    step,
    unused,
)

MONTHS = Rhythm(to_instant(datetime(2026, 1, 31, 9, tzinfo=UTC)), Interval("month"))
rules = st.builds(Rule, st.integers(0, 60), st.one_of(st.none(), st.integers(1, 4)))


def test_held_units_do_not_move_on() -> None:
    """Of 100 units 20 are used and 30 held at the end: 50 move on. A bucket without a cap leaves nothing."""
    assert 50 == unused(100, 20, 30)
    assert 0 == unused(None, 20, 30)


def test_debt_is_owed_by_the_next_period() -> None:
    """40 units over are the first 40 of the next period, or are forgiven; what exceeds a whole period always is."""
    closing = Closing(0, 0, debt=40)

    assert Opening(40, ()) == opening(closing, 1, 100, MONTHS, debt="carry")
    assert Opening(0, ()) == opening(closing, 1, 100, MONTHS)
    assert Opening(100, (), forgiven=30) == opening(Closing(0, 0, debt=130), 1, 100, MONTHS, debt="carry")


def test_debt_is_paid_by_a_period_that_nobody_opened() -> None:
    """The idle month pays the debt, and leaves the rest of its units."""
    found = opening(Closing(0, 0, debt=40), 2, 100, MONTHS, rule=Rule(500), debt="carry")

    assert Opening(0, [Rolled(1, 60, FOREVER)]) == found


def test_units_are_lost_when_the_rolled_ones_would_be() -> None:
    """Without rollover at the end of the period; with it as late as the rolled units, or never; all with the grant."""
    assert MONTHS.start(1) == lose_at(MONTHS, 0, None)
    assert MONTHS.start(3) == lose_at(MONTHS, 0, Rule(100, 2))
    assert FOREVER == lose_at(MONTHS, 0, Rule(100))
    assert MONTHS.start(1) + 5 == lose_at(MONTHS, 0, Rule(100, 2), MONTHS.start(1) + 5)


def test_a_period_does_not_open_before_it_closes() -> None:
    """The caller has confused them."""
    with pytest.raises(ValueError, match="after"):
        opening(Closing(3, 0), 3, 100, MONTHS)


def test_an_amount_without_a_cap_leaves_nothing() -> None:
    """There is nothing to run out of, and nothing that could be owed."""
    assert Opening(0, ()) == opening(Closing(0, 9, debt=5), 1, None, MONTHS, rule=Rule(9), debt="carry")


def test_a_grant_of_nothing_goes_on_forgetting() -> None:
    """What was left before the amount fell to nothing expires in its time, also where nobody looked."""
    older = [Rolled(-2, 5, MONTHS.start(1)), Rolled(-1, 7, MONTHS.start(2)), Rolled(0, 9, MONTHS.start(9))]

    assert older[2:] == opening(Closing(0, 0, rolled=older), 3, 0, MONTHS, rule=Rule(50, 2)).rolled


def test_units_of_another_plan_go_on_expiring() -> None:
    """A change of plan may leave rollover units with a grant that has no rollover of its own, or no end."""
    older = [Rolled(-1, 7, MONTHS.start(2)), Rolled(0, 9, FOREVER)]

    for amount in (100, None):
        assert older == list(opening(Closing(0, 0, rolled=older), 1, amount, MONTHS, debt="carry").rolled)
        assert older[1:] == list(opening(Closing(0, 0, rolled=older), 2, amount, MONTHS, debt="carry").rolled)


def test_a_long_absence_costs_no_time() -> None:
    """A million missed hours of a small cap, or of a short life, are looked at in a few steps."""
    hours = Rhythm(0, Interval("hour"))

    assert 250 == sum(each.left for each in opening(Closing(0, 70), 1_000_000, 100, hours, rule=Rule(250)).rolled)
    assert [999_998, 999_999] == [
        each.origin for each in opening(Closing(0, 70), 1_000_000, 100, hours, rule=Rule(10**9, 2)).rolled
    ]


def test_units_that_come_back_between_periods() -> None:
    """A hold on rolled units ends: up to the end of a period they count against its cap, later ones in the next one."""
    old = Rolled(-1, 30, FOREVER)
    closing = Closing(0, 100, rolled=[old])
    freed = Freed(MONTHS.start(2), Rolled(-1, 20, FOREVER))
    late = Freed(MONTHS.start(2) + 1, Rolled(-1, 20, FOREVER))
    rule = Rule(300)

    assert [50, 100, 100] == [each.left for each in opening_after(closing, [freed], 2, 100, MONTHS, rule=rule).rolled]
    assert [50, 100, 100] == [each.left for each in opening_after(closing, [late], 2, 100, MONTHS, rule=rule).rolled]
    capped = Rule(200)
    assert [100, 100] == [each.left for each in opening_after(closing, [freed], 2, 100, MONTHS, rule=capped).rolled]
    assert [20, 100, 100] == [each.left for each in opening_after(closing, [late], 2, 100, MONTHS, rule=capped).rolled]
    assert opening(closing, 2, 100, MONTHS, rule=rule) == opening_after(closing, [], 2, 100, MONTHS, rule=rule)


@given(
    rules,
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 50),
    st.sampled_from(["forgive", "carry"]),
    st.lists(st.integers(1, 30), max_size=3),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_when_it_is_looked_at_does_not_matter(
    rule: Rule, amount: int, left: int, owed: int, debt: DebtMode, older: list[int], first: int, second: int
) -> None:
    """Opening a period in between, and using nothing of it, changes nothing for the later one."""
    count = len(older)
    rolled: list[Rolled] = []
    for n, units in enumerate(older):
        origin = n - count
        rolled = step(rolled, Rolled(origin, units, rule.expiry(MONTHS, origin)), MONTHS.start(origin + 1), rule.cap)
    closing = Closing(0, min(left, amount), owed, rolled)
    at_once = opening(closing, first + second, amount, MONTHS, rule=rule, debt=debt)
    halfway = opening(closing, first, amount, MONTHS, rule=rule, debt=debt)
    again = Closing(first, amount - halfway.used, 0, halfway.rolled)
    later = opening(again, first + second, amount, MONTHS, rule=rule, debt=debt)

    assert list(later.rolled) == list(at_once.rolled)
    assert (0, later.forgiven) == (at_once.used, 0)


@given(rules, st.lists(st.integers(0, 100), max_size=8))
def test_the_cap_and_the_life_hold_after_every_period(rule: Rule, leftovers: list[int]) -> None:
    """Never more than the cap, nothing expired, nothing from nowhere, and older units go first."""
    rolled: list[Rolled] = []
    for number, left in enumerate(leftovers):
        at = MONTHS.start(number + 1)
        rolled = step(rolled, Rolled(number, left, rule.expiry(MONTHS, number)), at, rule.cap)
        assert sum(each.left for each in rolled) <= rule.cap
        assert all(each.expires_at > at and 0 < each.left <= leftovers[each.origin] for each in rolled)
        assert [each.origin for each in rolled] == sorted({each.origin for each in rolled})
        assert all(each.left == leftovers[each.origin] for each in rolled[1:])
