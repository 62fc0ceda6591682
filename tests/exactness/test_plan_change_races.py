"""Processes that change the same subscription at once: one subscription, one plan, and no change is charged twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine

from kernia_billing import AlreadySubscribed, Billing, BillingError, Plan
from kernia_billing.testing import Fault, StripeSimulator
from tests.harness.house import open_billing
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.shop import hurry

CROWDS = [4, pytest.param(16, marks=pytest.mark.full)]
"""How many processes meet."""
PLANS = (
    Plan("free"),
    Plan("pro", price_id="price_pro"),
    Plan("team", price_id="price_team", line_items={"price_line": 1}),
    Plan("mega", price_id="price_mega"),
)
AMOUNTS = {"price_pro": 1_000, "price_team": 4_000, "price_line": 500, "price_mega": 9_000}
REFUSALS = {"ALREADY_SUBSCRIBED_PLAN", "CHANGE_IN_PROGRESS", "STRIPE_BUSY", "SUBSCRIPTION_NOT_PENDING_CHANGE"}


@contextmanager
def shop(url: str, stripe: Any) -> Generator[Billing]:
    """The application of one process."""
    with open_billing(url, stripe, plans=PLANS) as billing:
        hurry(billing)
        yield billing


def sold(url: str, stripe: StripeSimulator, plan: str) -> str:
    """Somebody is subscribed; Stripe's id of it."""
    for price, amount in AMOUNTS.items():
        stripe.add_price(price, amount=amount)
    with shop(url, stripe):
        return str(stripe.subscribe("acme", plan).stripe_id)


def raced(url: str, stripe: StripeSimulator, *plans: str | None) -> Counter[str]:
    """Every plan is changed to by a process of its own, None restores; how they ended."""

    def work(plan: str | None) -> Any:
        def change(remote: RemoteStripe) -> str:
            with shop(url, remote) as billing:
                billing.subscriptions.get("acme")
                remote.ready()
                try:
                    on = billing.subscriptions
                    done = on.restore("acme") if plan is None else on.change("acme", plan)
                except BillingError as error:
                    return error.code
                return str(done.plan)

        return change

    return Counter(together(stripe, [work(plan) for plan in plans]))


def charges(stripe: StripeSimulator) -> list[int]:
    """What changes were charged."""
    invoices = stripe.state.world.table("invoice").rows.values()
    return [each["amount_paid"] for each in invoices if each["billing_reason"] == "subscription_update"]


@pytest.mark.parametrize("crowd", CROWDS)
def test_the_same_upgrade_at_once_is_charged_once(
    engine: Engine, engine_url: str, stripe: StripeSimulator, crowd: int
) -> None:
    """Processes upgrade to the same plan: one charge, whoever asked first; the others get it too, or hear so."""
    sold(engine_url, stripe, "pro")
    outcomes = raced(engine_url, stripe, *["team"] * crowd)
    assert set(outcomes) <= {"team", *REFUSALS}
    assert outcomes["team"] >= 1
    assert charges(stripe) == [3_500]
    assert len(stripe.state.world.table("subscription").rows) == 1
    with shop(engine_url, stripe) as billing:
        found = billing.subscriptions.get("acme")
        assert found is not None
        assert found.plan == "team"


ENDS = {"pro": (["price_pro"], 0), "team": (["price_line", "price_team"], 3_500), "mega": (["price_mega"], 8_000)}
"""What each plan sells, and what all changes up to it were billed in the end."""


def ended_as_one(url: str, stripe: StripeSimulator, id: str) -> str:
    """There is one subscription, which sells and has billed what one plan does: its name, here and at Stripe."""
    world = stripe.state.world
    assert list(world.table("subscription").rows) == [id]
    theirs = world.table("subscription").get(id)
    items = sorted(world.table("subscription_item").get(each)["price"] for each in theirs["_items"])
    invoices = world.table("invoice").rows.values()
    billed = sum(
        each["total"]
        for each in invoices
        if each["billing_reason"] == "subscription_update" and each["status"] != "void"
    )
    with shop(url, stripe) as billing:
        found = billing.subscriptions.get("acme")
    assert found is not None
    assert (items, billed) == ENDS[str(found.plan)]
    # Who comes last with the smaller plan finds the greater one, and waits for the end of the period.
    assert (theirs["pending_update"], theirs["schedule"]) == (None, found.schedule_id)
    assert (found.pending_change is None) is (found.schedule_id is None)
    return str(found.plan)


@pytest.mark.parametrize("crowd", CROWDS)
def test_different_upgrades_at_once_follow_each_other(
    engine: Engine, engine_url: str, stripe: StripeSimulator, crowd: int
) -> None:
    """Two plans are asked for at once: the customer has one of them, and has paid for that alone."""
    id = sold(engine_url, stripe, "pro")
    outcomes = raced(engine_url, stripe, *["team", "mega"] * (crowd // 2))
    assert set(outcomes) <= {"team", "mega", *REFUSALS}
    assert outcomes[ended_as_one(engine_url, stripe, id)] >= 1


@pytest.mark.parametrize("crowd", CROWDS)
def test_upgrades_at_once_while_stripe_fails(
    engine: Engine, engine_url: str, stripe: StripeSimulator, crowd: int
) -> None:
    """The first calls fail before or after they were carried out: still one outcome, and the next call has its own."""
    id = sold(engine_url, stripe, "pro")
    calls: list[tuple[Any, str]] = [("status", "POST"), ("timeout_after", "POST"), ("reset_before", "GET")]
    stripe.faults.extend(Fault(kind, method=method, path="/v1/subscriptions/*", times=4) for kind, method in calls)
    outcomes = raced(engine_url, stripe, *["team", "mega"] * (crowd // 2))
    assert set(outcomes) <= {"team", "mega", "UNAVAILABLE", *REFUSALS}
    stripe.faults.clear()
    with shop(engine_url, stripe) as billing:
        # Nothing was delivered to who died of it: this is what the jobs would find out.
        billing.sync.reference("acme")
    ended_as_one(engine_url, stripe, id)
    with shop(engine_url, stripe) as billing, suppress(AlreadySubscribed):
        billing.subscriptions.change("acme", "mega", when="now")
    assert ended_as_one(engine_url, stripe, id) == "mega"


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("plans", [("pro", "pro"), ("pro", "team"), ("pro", None)])
def test_downgrades_at_once_leave_one_schedule(
    engine: Engine, engine_url: str, stripe: StripeSimulator, plans: tuple[str | None, ...], crowd: int
) -> None:
    """Scheduled changes that meet each other, or a restore: at most one is pending, and nothing is charged."""
    id = sold(engine_url, stripe, "mega")
    outcomes = raced(engine_url, stripe, *plans * (crowd // 2))
    assert set(outcomes) <= {"mega", *REFUSALS}
    schedules = stripe.state.world.table("subscription_schedule").rows.values()
    alive = [each for each in schedules if each["status"] == "active"]
    assert len(alive) <= 1
    assert charges(stripe) == []
    with shop(engine_url, stripe) as billing:
        billing.sync.reference("acme")
        billing.subscriptions.change("acme", "team", when="now")
        found = billing.subscriptions.get("acme")
    assert found is not None
    assert (found.plan, found.pending_change) == ("team", None)
    assert stripe.state.world.table("subscription").get(id)["schedule"] is None
