"""SIGKILL anywhere in returning, giving and opening periods: all or nothing, and a repetition has one effect."""

from __future__ import annotations

from tests.crashes import counting
from tests.crashes.deaths import Sample, survive
from tests.crashes.stage import Stage


def test_returns_count_once(stage: Stage, sample: Sample) -> None:
    """Refunds, levels and what is given back come once, to the balances that were drawn."""
    books = survive(stage, counting.RETURNED, sample)
    assert len([row for row in books["billing_usage_event"] if '"idempotency_key": "auto' not in row]) == 8


def test_gifts_are_given_once(stage: Stage, sample: Sample) -> None:
    """A gift is one grant, and what was taken away stays away."""
    books = survive(stage, counting.GIVEN, sample)
    assert len([row for row in books["billing_entitlement"] if '"source_type": "manual"' in row]) == 2


def test_periods_begin_once(stage: Stage, sample: Sample) -> None:
    """What moved on and what is owed count once, whoever opened the period, and died over it."""
    books = survive(stage, counting.BEGUN, sample)
    # Of the month: what moved on is gone, then 90 of 100; 30 were owed, and ten more are.
    assert [4, 1, 1] == [sum(f'"used": {used}}}' in row for row in books["billing_bucket"]) for used in (30, 90, 40)]
