"""SIGKILL anywhere in selling: one customer, one open page, one subscription."""

from __future__ import annotations

from kernia_billing import Billing
from tests.crashes.deaths import Act, Sample, Story, survive
from tests.crashes.stage import Stage
from tests.harness.house import open_billing


def _buy(billing: Billing, _stage: Stage) -> None:
    billing.subscriptions.upgrade("ann", "pro", success_url="/", cancel_url="/")


def _buy_something_else(billing: Billing, _stage: Stage) -> None:
    billing.subscriptions.upgrade("ann", "pro", seats=2, success_url="/", cancel_url="/")


def _twice(buy: Act) -> Act:
    """Whoever asks once more for the same gets the same page."""

    def act(billing: Billing, stage: Stage) -> None:
        buy(billing, stage)
        buy(billing, stage)

    return act


def _open_page(stage: Stage) -> None:
    stage.open()
    with open_billing(stage.url, stage.stripe) as billing:
        _buy(billing, stage)


def test_a_first_checkout(stage: Stage, sample: Sample) -> None:
    """The next try ends with one customer and one page to pay, as if nobody had died; it can be paid once."""
    books = survive(stage, Story(Stage.open, _buy, _twice(_buy)), sample)
    assert len(books["Stripe's customer"]) == len(books["billing_customer"]) == 2
    assert sum('"open"' in page for page in books["Stripe's checkout.session"]) == 1


def test_another_order(stage: Stage, sample: Sample) -> None:
    """A page in the place of another one: the first is expired, and one is open."""
    books = survive(stage, Story(_open_page, _buy_something_else, _twice(_buy_something_else)), sample)
    assert len(books["Stripe's customer"]) == 2
    assert sum('"status": "open"' in page for page in books["Stripe's checkout.session"]) == 1
    assert sum('"status": "expired"' in page for page in books["Stripe's checkout.session"]) == 1
