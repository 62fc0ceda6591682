"""Seats that follow members: how often Stripe is told, what is planned, what it costs others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import evolve

from kernia_billing import Billing, Plan
from kernia_billing.domain.plans import Plan as AnyPlan
from kernia_billing.domain.references import Reference
from kernia_billing.domain.seats import UPDATES_AN_HOUR, follows_members, seat_limit, wanted_seats
from kernia_billing.ports.store import Store
from kernia_billing.testing import StripeSimulator

from .test_plan_changes import call

Open = Callable[..., Billing]
TEAM = Plan("team", price_id="price_team", seats=True, seat_price_id="price_seat")
BIG = Plan("big", price_id="price_big", seats=True, seat_price_id="price_big_seat")
LONE = Plan("lone", price_id="price_lone")
ORG = Reference("org", "organization")


@pytest.fixture
def billing(open_billing: Open) -> Billing:
    """An application that bills organizations for their members."""
    return open_billing(plans=[TEAM, BIG, LONE], subscription_for="organization", authorize_reference=may)


def may(*_: object) -> bool:
    """`authorize_reference` of a host that trusts everybody."""
    return True


def updates(stripe: StripeSimulator) -> list[Any]:
    """The changes of subscriptions that Stripe was sent."""
    return [each for each in stripe.requests if each.method == "POST" and each.path.startswith("/v1/subscriptions/")]


def test_two_hundred_an_hour(billing: Billing, stripe: StripeSimulator) -> None:
    """Within an hour of the clock a hundred changes are sent; the last count of all is charged in the next hour."""
    stripe.subscribe("org", "team")
    for number in range(UPDATES_AN_HOUR + 50):
        billing.subscriptions.sync_seats("org", 2 + number % 2)
    assert len(updates(stripe)) == UPDATES_AN_HOUR
    billing.subscriptions.sync_seats("org", 9)
    assert len(updates(stripe)) == UPDATES_AN_HOUR

    stripe.advance(hours=1)
    billing.jobs.run()
    assert billing.subscriptions.get("org").seats == 9  # type: ignore[union-attr]  # it was sold
    assert len(updates(stripe)) == UPDATES_AN_HOUR + 1


def test_a_planned_phase_follows_too(billing: Billing, stripe: StripeSimulator) -> None:
    """R-129: a change that is planned for the end of the period will charge for the members there are by then."""
    sold = stripe.subscribe("org", "team", seats=3)
    schedule = call(stripe, "POST", "subscription_schedules", from_subscription=sold.stripe_id)
    first = schedule["phases"][0]
    phases = {
        "phases[0][start_date]": first["start_date"],
        "phases[0][end_date]": first["end_date"],
        "phases[0][items][0][price]": "price_team",
        "phases[0][items][0][quantity]": 1,
        "phases[0][items][1][price]": "price_seat",
        "phases[0][items][1][quantity]": 3,
        "phases[0][metadata][referenceId]": "org",
        "phases[1][items][0][price]": "price_big",
        "phases[1][items][0][quantity]": 1,
        "phases[1][items][1][price]": "price_big_seat",
        "phases[1][items][1][quantity]": 3,
        "phases[1][proration_behavior]": "none",
        "phases[1][metadata][plan]": "big",
        "end_behavior": "release",
    }
    before = call(stripe, "POST", f"subscription_schedules/{schedule['id']}", **phases)
    billing.subscriptions.sync_seats("org", 5)

    after = call(stripe, "GET", f"subscription_schedules/{schedule['id']}")
    assert [_quantities(phase) for phase in after["phases"]] == [
        {"price_team": 1, "price_seat": 5},
        {"price_big": 1, "price_big_seat": 5},
    ]
    kept = ("start_date", "end_date", "metadata", "proration_behavior")
    for old, new in zip(before["phases"], after["phases"], strict=True):
        assert {name: old[name] for name in kept} == {name: new[name] for name in kept}
    stripe.advance(months=1)
    found = billing.subscriptions.get("org")
    assert found is not None
    assert (found.plan, found.seats) == ("big", 5)


def test_a_planned_change_shows_its_new_seats_at_once(billing: Billing, stripe: StripeSimulator) -> None:
    """The call that changes the seats knows of those of the change that is to come, without waiting for news."""
    stripe.subscribe("org", "team", seats=3)
    billing.subscriptions.change("org", "big", when="period_end", seats=4)
    found = billing.subscriptions.sync_seats("org", 7)
    assert found is not None
    assert found.pending_change is not None
    assert (found.seats, found.pending_change.plan, found.pending_change.seats) == (7, "big", 7)


def test_a_pause_does_not_stop_the_seats(open_billing: Open, stripe: StripeSimulator) -> None:
    """Who pauses counts as on the default plan, and is charged for the members there are when it goes on."""
    billing = open_billing(
        plans=[Plan("free"), TEAM], default_plan="free", subscription_for="organization", authorize_reference=may
    )
    stripe.subscribe("org", "team", seats=3)
    billing.subscriptions.pause("org")
    found = billing.subscriptions.sync_seats("org", 5)
    assert found is not None
    assert (found.display_state, found.seats) == ("paused", 5)


def _quantities(phase: Any) -> dict[str, int]:
    return {item["price"]: item["quantity"] for item in phase["items"]}


def test_no_plan_with_seats_costs_one_read(
    billing: Billing, stripe: StripeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unit is read, none is written and Stripe is not asked: for a plan without seats, and for no plan at all."""
    stripe.subscribe("org", "lone")
    calls = len(stripe.requests)
    core = billing._wiring.core
    units: list[str] = []

    class Noting:
        """The store, which notes what it is asked for."""

        async def read(self, unit: Any) -> Any:
            units.append("read")
            return await core.store.read(unit)

        async def transaction(self, unit: Any) -> Any:
            units.append("transaction")
            return await core.store.transaction(unit)

    monkeypatch.setattr(billing._wiring, "core", evolve(core, store=cast("Store", Noting())))
    for organization in ("org", "stranger"):
        assert billing.subscriptions.sync_seats(organization, 7) is None
        assert units == ["read"]
        units.clear()
    assert len(stripe.requests) == calls


@pytest.mark.parametrize(
    ("behavior", "members", "paid", "wanted"),
    [
        ("exact", 3, 3, 3),
        ("exact", 4, 3, 4),
        ("exact", 2, 3, 2),
        ("exact", 0, 3, 2),
        ("exact", 99, 3, 20),
        ("incremental", 3, 3, 3),
        ("incremental", 4, 3, 4),
        ("incremental", 2, 3, 3),
        ("incremental", 0, 0, 2),
        ("incremental", 99, 3, 20),
        ("incremental", 1, 25, 25),
    ],
)
def test_how_many_seats_are_charged_for(behavior: Any, members: int, paid: int, wanted: int) -> None:
    """R-127, R-133: within the plan's bounds, exactly as many as members, or never fewer than before."""
    plan = AnyPlan("crew", price_id="price_1", seats=True, min_seats=2, max_seats=20)

    assert wanted_seats(plan, members, paid, behavior) == wanted


def test_whose_seats_follow() -> None:
    """Those of an organization, unless they are bought ahead; then, and for a user, what was bought is the limit."""
    bought = AnyPlan("bought", price_id="price_1", seats=True, purchased_seats=True, max_seats=50)
    user = Reference("ann", "user")

    assert follows_members(TEAM, ORG)
    assert not any(follows_members(plan, who) for plan, who in ((TEAM, user), (bought, ORG), (LONE, ORG), (None, ORG)))
    assert [seat_limit(TEAM, ORG, 5), seat_limit(TEAM, user, 5), seat_limit(bought, ORG, 5)] == [None, 5, 5]
