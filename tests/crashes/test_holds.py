"""SIGKILL anywhere between reserving and the end of a hold: all or nothing, and going on comes to the same."""

from __future__ import annotations

from tests.crashes import holding
from tests.crashes.deaths import Sample, survive
from tests.crashes.stage import Stage


def test_holds_end_once(stage: Stage, sample: Sample) -> None:
    """Who repeats reserving, settling and releasing after a death has every unit held or used once."""
    books = survive(stage, holding.WORKED, sample)
    assert len(books["billing_hold"]) == 4
    assert len(books["billing_hold_line"]) == 1
    assert len(books["billing_usage_event"]) == 2


def test_forgotten_holds_lapse_once(stage: Stage, sample: Sample) -> None:
    """What has lapsed is given back once, by a use or by the job, whatever was killed meanwhile."""
    books = survive(stage, holding.FORGOTTEN, sample)
    assert len([row for row in books["billing_hold"] if '"status": "expired"' in row]) == 2
    assert books["billing_hold_line"] == []
