"""A status that Stripe adds later gives nothing, and is no reason to sell a second time: it may still charge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from attrs import evolve

from kernia_billing import AlreadySubscribed, Conflict
from kernia_billing._drive import run_blocking
from kernia_billing.domain.subscriptions import TERMINAL, first_live, is_live
from kernia_billing.operations.projections import sync_object
from tests.webhooks.shop import Shop

SESSIONS = "/v1/checkout/sessions"


@pytest.fixture
def later_stripe(quiet_shop: Shop) -> Iterator[Shop]:
    """A shop whose Stripe calls every live subscription `dormant`."""
    stripe: Any = quiet_shop.billing._wiring.core.stripe
    exchange = stripe._exchange

    async def told(call: Any, deadline: float) -> Any:
        reply = await exchange(call, deadline)
        return evolve(reply, json=_renamed(reply.json))

    stripe._exchange = told
    yield quiet_shop
    del stripe._exchange


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    read = {name: _renamed(each) for name, each in cast("dict[str, Any]", value).items()}
    if read.get("object") == "subscription" and is_live(read["status"]):
        read["status"] = "dormant"
    return read


def test_a_second_page_is_refused(later_stripe: Shop) -> None:
    """The plan is not given, and neither the same nor another one of the group is sold."""
    shop = later_stripe
    shop.buy()
    opened = len(shop.called("POST", SESSIONS))

    with pytest.raises(AlreadySubscribed):
        shop.upgrade()
    with pytest.raises(Conflict) as second:
        shop.upgrade(plan="team")

    assert second.value.code == "SUBSCRIPTION_EXISTS"
    assert len(shop.called("POST", SESSIONS)) == opened
    assert (shop.subscription().status, shop.subscription().display_state) == ("dormant", "dormant")
    assert not shop.billing.check("ann", "projects", 2)
    found = shop.billing.customers.get("ann")
    assert (found and found.plan) == "free"


def test_its_end_is_noticed(later_stripe: Shop) -> None:
    """Where the news of its end was lost, the next order looks, and sells."""
    shop = later_stripe
    bought = shop.buy()
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")

    assert shop.upgrade().status == "open"
    assert shop.subscription().status == "canceled"


def test_it_is_looked_at_again_when_it_is_overdue(later_stripe: Shop) -> None:
    """It is among those of which news should have come."""
    bought = later_stripe.buy()
    later_stripe.stripe.clock.move_to(later_stripe.stripe.clock.seconds() + 40 * 86_400)
    core = later_stripe.billing._wiring.core
    now = core.now()

    assert [bought.stripe_id] == list(run_blocking(core.store.read(lambda tx: tx.subscriptions.overdue(now, now, 2))))


def test_a_known_status_counts_before_one_that_is_not(shop: Shop) -> None:
    """Of two live subscriptions of a group the one that gives something counts."""
    shop.buy()
    core = shop.billing._wiring.core
    customer = run_blocking(core.store.read(lambda tx: tx.customers.page(plan=None, limit=1, after=None)))[0]
    (row,) = run_blocking(core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id)))
    strange = evolve(row, id="sub_0", status="dormant", created_at=row.created_at - 1)

    for status in ("active", "trialing", "past_due", "paused", "unpaid", "incomplete"):
        known = evolve(row, status=status)
        assert first_live([strange, known]) == first_live([known, strange]) == known
    assert first_live([strange]) == strange
    assert first_live([evolve(row, status=each) for each in TERMINAL]) is None


@pytest.mark.parametrize("status", ["unpaid", "paused", "incomplete", "dormant"])
def test_a_second_one_that_may_charge_is_flagged(quiet_shop: Shop, status: str) -> None:
    """Whatever it gives: whoever pays for two is told of, in whatever status the second one is."""
    shop = quiet_shop
    told: list[Any] = []
    shop.billing.on()(told.append)
    shop.buy()
    second = shop.account.buy("price_team", customer=shop.customer())
    stripe: Any = shop.billing._wiring.core.stripe
    exchange = stripe._exchange

    async def changed(call: Any, deadline: float) -> Any:
        reply = await exchange(call, deadline)
        return evolve(reply, json={**reply.json, "status": status}) if call.path.endswith(second["id"]) else reply

    stripe._exchange = changed
    run_blocking(sync_object(shop.billing._wiring.core, "subscription", second["id"]))
    shop.billing.jobs.run()

    flags = {each.plan: (each.status, each.duplicate) for each in shop.billing.subscriptions.list("ann")}
    assert flags == {"pro": ("active", False), "team": (status, True)}
    assert [each.type for each in told].count("subscription.duplicate") == 1
    assert any(each.check == "subscriptions.duplicate" for each in shop.billing.doctor().findings)
