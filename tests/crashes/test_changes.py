"""SIGKILL anywhere in a change of plan: the same call again ends with one charge and one schedule at most."""

from __future__ import annotations

import pytest

from tests.crashes.changes import cancel, down, money, money_and_log, restore, story, to_mega, up
from tests.crashes.deaths import Sample, survive
from tests.crashes.stage import Stage


def few(sample: Sample) -> Sample:
    """Fewer boundaries than of other stories, unless every one is taken: these pass more of them."""
    return None if sample is None else min(sample, 2)


@pytest.mark.full
def test_a_change_at_once(stage: Stage, sample: Sample) -> None:
    """The difference is charged once, and the log says so once."""
    books = survive(stage, story(up, tell=money_and_log), few(sample))
    assert "subscription_update 2100 paid" in books["what was billed"]
    assert len(books["the log"]) == 1


def test_a_change_at_the_end_of_the_period(stage: Stage, sample: Sample) -> None:
    """One schedule is alive, with the two phases that it is to have; nothing is charged."""
    books = survive(stage, story(down, up, tell=money), few(sample))
    assert len(books["what is to come"]) == 1
    assert "downgrading" in books["what is shown"][0]


def test_a_change_at_once_in_the_place_of_a_later_one(stage: Stage, sample: Sample) -> None:
    """What was to come later is gone when, and only when, the other change is made."""
    books = survive(stage, story(to_mega, up, down, tell=money_and_log), few(sample))
    assert books["what is to come"] == []
    assert books["what is sold"] == ["price_mega 1"]


def test_a_later_change_is_taken_back(stage: Stage, sample: Sample) -> None:
    """No schedule is left, here or at Stripe, and nothing was charged."""
    books = survive(stage, story(restore, up, down, tell=money), few(sample))
    assert books["what is to come"] == []
    assert "active" in books["what is shown"][0]


@pytest.mark.full
def test_a_cancellation_is_taken_back(stage: Stage, sample: Sample) -> None:
    """The subscription goes on, here and at Stripe."""
    books = survive(stage, story(restore, cancel, tell=money), few(sample))
    assert "active" in books["what is shown"][0]
