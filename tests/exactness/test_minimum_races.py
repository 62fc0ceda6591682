"""Many processes at once, down to a minimum of credits: never below it, and all the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing, Credits, Feature, FeatureDenied, Plan
from kernia_billing.testing import StripeSimulator
from tests.harness.counts import count
from tests.harness.house import open_account, open_billing
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
OPTIONS: dict[str, Any] = {
    "plans": [Plan("pro", price_id="price_pro", features={"credits": Credits(0)})],
    "features": [Feature("images", credit_cost={"credits": 7})],
    "default_plan": None,
}


def _consume(billing: Billing, feature: str, amount: int) -> str:
    try:
        billing.consume("acme", feature, amount)
    except FeatureDenied:
        return "denied"
    return "granted"


@pytest.mark.parametrize("minimum", [-150, 45])
@pytest.mark.parametrize(("feature", "amount"), [("credits", 7), ("images", 1)])
def test_debits_stop_at_the_minimum(
    engine: Engine, engine_url: str, stripe: StripeSimulator, minimum: int, feature: str, amount: int
) -> None:
    """R-140: of parallel debits exactly floor((balance - minimum) / amount) succeed, whichever feature draws them."""
    open_account(engine_url, stripe)
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        billing.grant("acme", "credits", 100)
        billing.set_credit_min("acme", "credits", minimum)

    def work(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote, **OPTIONS) as billing:
            billing.check("acme", feature)
            remote.ready()
            return [_consume(billing, feature, amount) for _ in range(8)]

    outcomes = Counter(outcome for process in together(stripe, [work] * PROCESSES) for outcome in process)
    count("uses in races", outcomes.total())
    assert (100 - minimum) // 7 == outcomes["granted"]
    assert PROCESSES * 8 == outcomes.total()
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        assert not [each for each in billing.doctor().findings if each.severity == "error"]


def test_a_minimum_that_is_raised_meanwhile(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Whoever draws reads it under the lock: what was overdrawn before stays, and nothing is drawn after."""
    open_account(engine_url, stripe)
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        billing.set_credit_min("acme", "credits", -200)

    def draw(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote, **OPTIONS) as billing:
            billing.check("acme", "credits")
            remote.ready()
            return [_consume(billing, "credits", 1) for _ in range(30)]

    def end(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote, **OPTIONS) as billing:
            billing.check("acme", "credits")
            remote.ready()
            billing.set_credit_min("acme", "credits", 0)
            return [_consume(billing, "credits", 1)]

    *drawn, (after,) = together(stripe, [*[draw] * (PROCESSES - 1), end])
    assert "denied" == after
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        assert Counter(each for process in drawn for each in process)["granted"] == billing.overdraft_used(
            "acme", "credits"
        )
        assert not billing.check("acme", "credits")
