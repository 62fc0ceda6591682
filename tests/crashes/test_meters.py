"""SIGKILL anywhere between a use and Stripe's meter: one meter event for each use."""

from __future__ import annotations

from tests.crashes import metering
from tests.crashes.deaths import Sample, survive
from tests.crashes.stage import Stage


def test_every_use_is_told_once(stage: Stage, sample: Sample) -> None:
    """Two uses are two meter events, whatever was killed between the use and the note that Stripe took it."""
    books = survive(stage, metering.USED, sample)
    assert len(books["Stripe's usage"]) == len(books["billing_usage_event"]) == 2
    assert all('"state": "sent"' in event for event in books["billing_meter_event"])


def test_what_is_taken_back_is_told_once(stage: Stage, sample: Sample) -> None:
    """What is given back is taken off what Stripe was told, once."""
    books = survive(stage, metering.TAKEN_BACK, sample)
    assert len(books["billing_usage_event"]) == 3
