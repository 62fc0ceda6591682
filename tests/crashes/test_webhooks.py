"""SIGKILL anywhere in the work on a webhook, of each kind: what was stored is finished, what was not is sent again."""

from __future__ import annotations

import pytest

from kernia_billing import Billing
from tests.crashes import news
from tests.crashes.deaths import LEASE, Sample, Story, survive
from tests.crashes.stage import Stage


@pytest.mark.parametrize("what", news.HAPPENINGS)
def test_the_news_of(what: str, stage: Stage, sample: Sample) -> None:
    """Whoever was killed over it, it was brought in once; what was stored needs no second word of Stripe."""
    books = survive(stage, news.story(what), sample)
    assert [row for row in books["billing_webhook_event"] if f'"{news.HAPPENINGS[what][0]}"' in row]


def test_news_in_the_queue_of_a_worker(stage: Stage, sample: Sample) -> None:
    """Who takes it in may die, and who works on it: what was taken in is worked on."""
    survive(stage, news.in_the_queue("an invoice that was paid"), sample)


def test_news_of_a_customer_that_is_linked_later(stage: Stage, sample: Sample) -> None:
    """What nobody could be found for is replayed once its customer is linked, wherever a process dies on the way."""
    kind = "customer.subscription.created"

    def prepare(stage: Stage) -> None:
        stage.open()
        stage.account.buy("price_pro")

    def take_in_and_link(billing: Billing, stage: Stage) -> None:
        if not news.is_stored(billing, stage, kind):
            billing.webhooks.receive(*stage.webhook(kind))
        billing.customers.link("ann", str(stage.newest("customer")["id"]))
        billing.jobs.run()

    books = survive(stage, Story(prepare, take_in_and_link, take_in_and_link, pause=LEASE), sample)
    (event,) = [row for row in books["billing_webhook_event"] if stage.event(kind)["id"] in row]
    assert '"status": "processed"' in event
