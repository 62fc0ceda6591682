"""SIGKILL anywhere in granting what was paid once: nothing is granted twice, and nothing is lost."""

from __future__ import annotations

from typing import Any

from kernia_billing import Billing, Credits, Feature, Plan, TopUp
from tests.crashes.deaths import Act, Sample, Story, survive
from tests.crashes.stage import Stage
from tests.harness.house import PLANS, open_billing

OPTIONS: dict[str, Any] = {
    "plans": (*PLANS, Plan("credited", price_id="price_credited", features={"credits": Credits(5)})),
    "features": [Feature("images", credit_cost={"credits": 10})],
    "top_ups": [TopUp("pack", price_id="price_pack", grants={"credits": 1_000})],
}
URLS: dict[str, Any] = {"success_url": "/", "cancel_url": "/"}


def _order(billing: Billing, _stage: Stage) -> None:
    billing.top_up("zoe", "pack", 2, **URLS)


def _return(billing: Billing, stage: Stage) -> None:
    """The buyer is back."""
    session = next(each for each in stage.stripe.state.world.table("checkout.session") if each["mode"] == "payment")
    billing.sync_checkout(session["id"])


def _twice(act: Act) -> Act:
    def again(billing: Billing, stage: Stage) -> None:
        act(billing, stage)
        act(billing, stage)

    return again


def _paid(stage: Stage) -> None:
    stage.options = OPTIONS
    stage.open()
    with open_billing(stage.url, stage.stripe, **OPTIONS) as billing:
        stage.stripe.pay(billing.top_up("zoe", "pack", 2, **URLS))


def _opened(stage: Stage) -> None:
    stage.options = OPTIONS
    stage.open()


def test_opening_a_page_for_a_pack(stage: Stage, sample: Sample) -> None:
    """One page in the end, as if nobody had died."""
    books = survive(stage, Story(_opened, _order, _twice(_order), options=OPTIONS), sample)
    assert sum('"status": "open"' in page for page in books["Stripe's checkout.session"]) == 1
    assert len(books["billing_purchase"]) == 1


def test_granting_what_was_paid(stage: Stage, sample: Sample) -> None:
    """One grant in the end, under the id of the line that was paid, and told to hooks once."""
    books = survive(stage, Story(_paid, _return, _twice(_return), options=OPTIONS), sample)
    assert sum('"top_up"' in each for each in books["billing_entitlement"]) == 1
    told = [each for each in books["billing_outbox"] if "checkout.completed" in each and '"top_up"' in each]
    assert len(told) == 1
