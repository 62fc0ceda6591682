"""Alerts: what hooks hear when a use reaches a share of what is included."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kernia_billing import Billing, Boolean, Credits, Feature, InsufficientBalance, Metered, Plan, Quantity
from kernia_billing.domain.answers import Event, ThresholdEvent
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine
from tests.operations.dashboard import change_price

(EXAMPLE,) = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())["alert"]
THRESHOLDS: tuple[int, ...] = tuple(EXAMPLE["thresholds_percent"])
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(EXAMPLE["granted"], alerts=THRESHOLDS),
            "projects": Quantity(4, alerts=(75,)),
            "api": Metered(10, overage="free", alerts=(50, 100)),
            "sso": Boolean(),
            "credits": Credits(100, alerts=(50,)),
            "images": Metered(1, alerts=(50,)),
        },
    ),
    Plan("pro", price_id="price_pro", features={"messages": Metered(100, alerts=(50, 80))}),
    Plan("team", price_id="price_team", features={"messages": Metered(500, alerts=(80, 10))}),
    Plan("extra", price_id="price_extra", group="extras", features={"messages": Metered(100, alerts=(25,))}),
]
OPTIONS: dict[str, Any] = {"plans": PLANS, "features": [Feature("images", credit_cost={"credits": 10})]}


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """The shop on SQLite; everybody has the free plan."""
    return open_billing(default_plan="free", **OPTIONS)


@pytest.fixture
def shop_anywhere(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """The same on each kind of database."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, default_plan="free", **OPTIONS) as billing:
        yield billing


def hear(billing: Billing) -> list[ThresholdEvent]:
    """What hooks hear."""
    events: list[ThresholdEvent] = []
    billing.on("balance.threshold")(events.append)
    return events


def test_the_example(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """Of 200: +90 fires nothing, +80 fires 50 and 80, giving back arms nothing, the last 30 fire 100; once a period."""
    billing = shop_anywhere
    events = hear(billing)
    for change, total, expected in EXAMPLE["steps"]:
        use = billing.consume if change > 0 else billing.give_back
        found = use("user_1", "messages", abs(change))
        assert (total, expected) == (found.balance.used, list(found.alerts))

    billing.jobs.run()
    assert [50, 80, 100] == [event.threshold for event in events]
    last = events[-1]
    assert ("messages", 200, 200, None) == (last.feature, last.used, last.included, last.entity)
    assert datetime(2026, 2, 15, 12, tzinfo=UTC) == last.period_end == last.data["period_end"]
    assert "user_1" == (last.reference and last.reference.id)
    stripe.advance(months=1)
    assert (50,) == billing.consume("user_1", "messages", 100).alerts


def test_the_receipt_of_a_replay_says_the_same(shop: Billing) -> None:
    """What fired is part of the answer that a repeated call gets again; hooks hear of it once."""
    events = hear(shop)
    first = shop.track("user_1", "messages", 170, idempotency_key="one")
    again = shop.track("user_1", "messages", 170, idempotency_key="one")
    shop.jobs.run()

    assert (50, 80) == first.alerts == again.alerts
    assert 2 == len(events)


def test_nothing_is_told_of_what_was_undone(shop: Billing) -> None:
    """A refused use fires nothing, and neither does what the host rolls back with its transaction."""
    events = hear(shop)
    with pytest.raises(InsufficientBalance):
        shop.consume("user_1", "messages", 201)
    shop.jobs.run()

    assert [] == events
    assert (50, 80, 100) == shop.consume("user_1", "messages", 200).alerts


def test_a_quantity_tells_once(shop: Billing, stripe: StripeSimulator) -> None:
    """What never starts anew has one period, its whole life."""
    assert [(), (75,), (), ()] == [
        shop.consume("user_1", "projects", 2).alerts,
        shop.consume("user_1", "projects").alerts,
        shop.give_back("user_1", "projects").alerts,
        shop.consume("user_1", "projects").alerts,
    ]
    events = hear(shop)
    shop.jobs.run()
    assert [None] == [event.period_end for event in events]


def test_overage_is_no_part_of_what_is_included(shop: Billing) -> None:
    """Use beyond it fires nothing more."""
    assert (50, 100) == shop.consume("user_1", "api", 15).alerts
    assert () == shop.consume("user_1", "api", 10).alerts


def test_credits_tell_whatever_they_pay(shop: Billing) -> None:
    """The alerts of a pool are about its credits, those of a feature about its own allowance."""
    events = hear(shop)
    assert (50,) == shop.consume("user_1", "images").alerts
    assert () == shop.consume("user_1", "images", 4).alerts
    assert (50,) == shop.consume("user_1", "images").alerts
    assert () == shop.consume("user_1", "credits").alerts
    shop.jobs.run()

    assert [("images", 1, 1), ("credits", 50, 100)] == [(each.feature, each.used, each.included) for each in events]


def test_a_change_of_plan_arms_nothing(shop: Billing, stripe: StripeSimulator) -> None:
    """Within the period what fired stays fired; what the new plan adds fires with the next use, if it is reached."""
    stripe.subscribe("user_1", "pro")
    assert (50, 80) == shop.consume("user_1", "messages", 80).alerts
    change_price(shop, stripe, "user_1", "price_team")

    assert (10,) == shop.consume("user_1", "messages").alerts
    assert () == shop.consume("user_1", "messages", 400).alerts


def test_shares_are_of_everything_that_is_held(shop: Billing, stripe: StripeSimulator) -> None:
    """Two plans make one share, with the thresholds of both."""
    stripe.subscribe("user_1", "pro")
    stripe.subscribe("user_1", "extra")

    assert [(), (25,), (50,)] == [shop.consume("user_1", "messages", 49 + n).alerts for n in (0, 1, 2)]


def test_what_is_set_aside_is_not_used(shop: Billing) -> None:
    """Reserving fires nothing; settling does, with what was used beyond the hold."""
    hold = shop.reserve("user_1", "messages", 150)
    assert (50,) == hold.settle(120).alerts
    assert (80, 100) == shop.reserve("user_1", "messages", 10).settle(80).alerts


def test_hooks_for_everything_hear_of_it_too(shop: Billing) -> None:
    """As an `Event` with its data."""
    events: list[Event] = []
    shop.on()(events.append)
    shop.consume("user_1", "messages", 100)
    shop.jobs.run()

    (told,) = [each for each in events if each.type == "balance.threshold"]
    assert {"feature", "entity", "threshold", "used", "included", "period_end"} == told.data.keys()
