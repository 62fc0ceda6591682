"""Alerts: once in a period, on the way up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.alerts import Threshold, fired

thresholds = st.lists(
    st.builds(Threshold, st.integers(0, 150), st.sampled_from(["percent", "used", "remaining"])),
    unique=True,
    max_size=5,
)


@pytest.mark.parametrize(
    ("threshold", "granted", "reached_at"),
    [
        (Threshold(80), 200, 160),
        (Threshold(33), 10, 4),
        (Threshold(100), 3, 3),
        (Threshold(150), 100, 150),
        (Threshold(7, "used"), None, 7),
        (Threshold(20, "remaining"), 100, 80),
    ],
)
def test_the_exact_unit(threshold: Threshold, granted: int | None, reached_at: int) -> None:
    """A threshold is reached by the first unit that makes it true, and not by the one before."""
    assert threshold.is_reached(reached_at, granted)
    assert not threshold.is_reached(reached_at - 1, granted)


@pytest.mark.parametrize("granted", [None, 0])
def test_no_share_of_nothing(granted: int | None) -> None:
    """What has no limit, or grants nothing, has no percentages."""
    assert () == fired([Threshold(50), Threshold(100)], 0, 10, granted)


def test_a_threshold_that_came_late_fires_with_the_next_use() -> None:
    """The plan shrank, or the alert is new: giving back does not fire it, one more unit does."""
    assert () == fired([Threshold(50)], 90, 80, 100)
    assert (Threshold(50),) == fired([Threshold(50)], 80, 81, 100)


@given(thresholds, st.lists(st.integers(-50, 60), max_size=12), st.one_of(st.none(), st.integers(0, 200)))
def test_each_fires_once_and_all_that_were_reached_fire(
    alerts: list[Threshold], moves: list[int], granted: int | None
) -> None:
    """Over a period, what fired is what was reached by some use, no matter what was given back."""
    before = 0
    already: list[Threshold] = []
    reached: set[Threshold] = set()
    for move in moves:
        after = max(0, before + move)
        already += fired(alerts, before, after, granted, already)
        if after > before:
            reached |= {each for each in alerts if each.is_reached(after, granted)}
        before = after

    assert len(already) == len(set(already))
    assert reached == set(already)
