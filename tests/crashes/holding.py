"""Units that are set aside."""

from __future__ import annotations

from kernia_billing import Billing
from tests.crashes.deaths import LEASE, Story
from tests.crashes.stage import Stage
from tests.harness.house import PRO, open_billing


def _sell(stage: Stage) -> None:
    stage.open()
    with open_billing(stage.url, stage.stripe) as billing:
        for reference in ("ann", "bob"):
            stage.sell(billing, reference, told=True)


def _work(billing: Billing, _stage: Stage) -> None:
    billing.reserve("ann", "messages", 30, ttl=3_600, idempotency_key="the-first").settle(20)
    billing.reserve("ann", "messages", 40, ttl=3_600, idempotency_key="the-second").release()
    billing.reserve("ann", "messages", 50, ttl=3_600, idempotency_key="the-third").settle(60)
    billing.reserve("ann", "messages", 5, ttl=3_600, idempotency_key="left-open")


def _forget(stage: Stage) -> None:
    _sell(stage)
    with open_billing(stage.url, stage.stripe) as billing:
        for reference in ("ann", "bob"):
            billing.reserve(reference, "messages", 30, ttl=60)
        billing.jobs.run()
    stage.stripe.clock.move_to(stage.stripe.clock.seconds() + 120)


def _go_on(billing: Billing, _stage: Stage) -> None:
    billing.consume("ann", "messages", PRO, idempotency_key="everything")
    billing.jobs.run()


WORKED = Story(_sell, _work, _work)
"""Holds are settled with less, with more, released, and one is left open."""
FORGOTTEN = Story(_forget, _go_on, _go_on, pause=LEASE)
"""Holds lapse: the next use of the customer writes it down, and the job for the customer who uses nothing."""
