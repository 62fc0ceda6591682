"""News that nobody heard of, and the ways to find out."""

from __future__ import annotations

from kernia_billing import Billing
from tests.crashes.deaths import LEASE, Story
from tests.crashes.stage import Stage
from tests.harness.house import open_billing


def _lose_news(stage: Stage) -> None:
    """Let one customer's subscription be canceled, another one buy and replace a card, and nobody hear of it."""
    stage.open()
    with open_billing(stage.url, stage.stripe) as billing:
        stage.sell(billing, "bob", told=True)
        stage.account.delete(f"/v1/subscriptions/{stage.newest('subscription')['id']}")
        stage.sell(billing, "ann", told=False)
        stage.stripe.use_card("ann", "5555555555554444")
    stage.hear(told=False)


def _sync_ann(billing: Billing, _stage: Stage) -> None:
    billing.sync.reference("ann")


def _sync_all(billing: Billing, _stage: Stage) -> None:
    billing.sync.all()


def _reconcile(billing: Billing, _stage: Stage) -> None:
    billing.reconcile()


def _reconcile_and_go_on(billing: Billing, _stage: Stage) -> None:
    """What was taken in is not taken in again: it waits for the jobs, as every event does whose worker died."""
    billing.reconcile()
    billing.jobs.run()


REFERENCE = Story(_lose_news, _sync_ann, _sync_ann, pause=LEASE, told=False)
"""Everything of one reference is compared."""
EVERYTHING = Story(_lose_news, _sync_all, _sync_all, pause=LEASE)
"""Everything is compared."""
RECONCILED = Story(_lose_news, _reconcile, _reconcile_and_go_on, pause=LEASE)
"""The events that nobody heard of are listed and worked on."""
