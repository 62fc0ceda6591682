"""SIGSTOP in the middle of the work, for longer than a lease; another worker takes over; SIGCONT: one effect."""

from __future__ import annotations

import pytest

from tests.crashes import healing, metering, news
from tests.crashes.deaths import Sample
from tests.crashes.stage import Stage
from tests.crashes.stalls import outlive


@pytest.mark.parametrize("what", ["a new subscription", "an invoice that was paid", "a deleted customer"])
def test_a_stalled_worker_of_webhooks(what: str, stage: Stage, sample: Sample) -> None:
    """What it still writes when it wakes is refused, or says the same: what came in meanwhile stays."""
    outlive(stage, news.in_the_queue(what), sample)


def test_a_stalled_reporter_of_usage(stage: Stage, sample: Sample) -> None:
    """Whoever tells Stripe of a use, and however often: Stripe counts one."""
    outlive(stage, metering.USED, sample)


def test_a_stalled_reconciler(stage: Stage, sample: Sample) -> None:
    """Who lost the lease meanwhile writes nothing more."""
    outlive(stage, healing.RECONCILED, sample)
