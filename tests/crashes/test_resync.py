"""SIGKILL anywhere in healing: the next run ends where an undisturbed one would have."""

from __future__ import annotations

from kernia_billing.operations.event_types import HANDLED
from tests.crashes import healing
from tests.crashes.deaths import Sample, survive
from tests.crashes.stage import Stage


def test_everything_of_a_reference(stage: Stage, sample: Sample) -> None:
    """Its subscription, its invoice and its cards are there; what concerns others stays as it was."""
    books = survive(stage, healing.REFERENCE, sample)
    assert len(books["billing_subscription"]) == 3


def test_everything(stage: Stage, sample: Sample) -> None:
    """Whatever was compared before the end of a process, everything is equal to Stripe's after the next."""
    books = survive(stage, healing.EVERYTHING, sample)
    assert len(books["billing_subscription"]) == len(books["Stripe's subscription"]) == 3
    assert len(books["billing_invoice"]) == len(books["Stripe's invoice"]) == 3


def test_a_reconciler(stage: Stage, sample: Sample) -> None:
    """The events that nobody heard of are worked on once, and the lease of the dead does not keep anybody away."""
    books = survive(stage, healing.RECONCILED, sample)
    heard = " ".join(books["billing_webhook_event"])
    assert [event for event in stage.stripe.events if event["type"] in HANDLED and event["id"] not in heard] == []
