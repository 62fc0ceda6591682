"""What one reference has of a feature instead of what its plans include: while it lasts, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from kernia_billing import (
    AsyncBilling,
    Billing,
    Boolean,
    Credits,
    Feature,
    IdempotencyMismatch,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
    Quantity,
)
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.harness.house import new_engine
from tests.operations.dashboard import change_price, change_seats, end_subscription

Open = Callable[..., Billing]
PLANS = [
    Plan("free", features={"messages": Metered(10, reset="day", anchor="calendar"), "projects": Quantity(1)}),
    Plan(
        "pro",
        price_id="price_pro",
        features={
            "messages": Metered(100, overage="free", overage_limit=5),
            "saved": Metered(100, rollover=100),
            "projects": Quantity(3),
            "sso": Boolean(),
            "credits": Credits(50),
        },
    ),
    Plan("max", price_id="price_max", features={"messages": Metered(200), "projects": Quantity(9), "api": Metered(7)}),
    Plan("other", price_id="price_other", features={"audit": Boolean(), "tokens": Metered(1), "rooms": Quantity(2)}),
]
OPTIONS: dict[str, Any] = {
    "plans": PLANS,
    "default_plan": "free",
    "features": [Feature("images", credit_cost={"credits": 10})],
}


@pytest.fixture
def shop(open_billing: Open, stripe: StripeSimulator) -> Billing:
    """A shop with a reference that has the plan "pro"."""
    billing = open_billing(**OPTIONS)
    stripe.subscribe("org", "pro")
    return billing


def _told(billing: Billing, feature: str = "messages") -> tuple[int, int, int | None]:
    """What is included, used and left of a feature."""
    balance = billing.balances("org")[feature]
    return balance.included, balance.used, balance.remaining


def _wrong(billing: Billing) -> list[str]:
    """What doctor finds in the books; prices were never imported here."""
    return [each.title for each in billing.doctor().findings if each.check != "plans.prices"]


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        (500, (500, 30, 470)),
        (50, (50, 30, 20)),
        (30, (30, 30, 0)),
        (20, (30, 30, 0)),
        (0, (30, 30, 0)),
        (None, (0, 30, None)),
    ],
)
def test_it_raises_and_lowers(
    shop: Billing, stripe: StripeSimulator, amount: int | None, told: tuple[int, int, int | None]
) -> None:
    """What was used counts, nothing falls below it, and the plan's own amount is back when the override ends."""
    shop.track("org", "messages", 30)
    shop.overrides.set("org", "messages", amount, until=stripe.now + timedelta(days=3))
    assert told == _told(shop)
    remaining = told[2]
    if remaining is not None:
        # The plan's overage goes on beyond it, but not beside nothing.
        over = 0 if amount == 0 else 5
        assert not shop.check("org", "messages", remaining + over + 1)
        assert not remaining + over or shop.check("org", "messages", remaining + over)

    stripe.advance(days=3)
    assert (100, 30, 70) == _told(shop)
    assert [] == _wrong(shop)


def test_what_was_used_beyond_the_plan_counts_afterwards(shop: Billing, stripe: StripeSimulator) -> None:
    """The plan has no room for more then, what comes back never makes it more, and the next period is the plan's."""
    shop.overrides.set("org", "messages", 500, until=stripe.now + timedelta(days=3))
    use = shop.consume("org", "messages", 300)
    assert ["override"] == [each["source"] for each in use.deductions]
    stripe.advance(days=3)
    assert (300, 300, 0) == _told(shop)

    shop.refund("org", use.event_id, 150)
    assert (150, 150, 0) == _told(shop)
    shop.give_back("org", "messages", 100)
    assert (100, 50, 50) == _told(shop)
    shop.track("org", "messages", 70)
    stripe.advance(days=31)
    assert (100, 0, 100) == _told(shop)
    assert [] == _wrong(shop)


def test_it_outlives_periods_and_plans(shop: Billing, stripe: StripeSimulator) -> None:
    """Every period begins with it; another plan, and the default plan after the last one, have it too."""
    shop.overrides.set("org", "messages", 40)
    shop.track("org", "messages", 30)
    stripe.advance(days=31)
    assert (40, 0, 40) == _told(shop)

    shop.track("org", "messages", 30)
    shown = shop.plans.preview("org", "max")
    change_price(shop, stripe, "org", "price_max")
    assert shown.after == shop.balances("org")
    assert (40, 30, 10) == _told(shop)

    shop.overrides.set("org", "messages", 600)
    shop.track("org", "messages", 420)
    change_price(shop, stripe, "org", "price_pro")
    assert (600, 450, 150) == _told(shop)

    end_subscription(shop, stripe, "org")
    assert (600, 450, 150) == _told(shop)
    shop.track("org", "messages", 50)
    assert (600, 500, 100) == _told(shop)
    shop.overrides.remove("org", "messages")
    assert (500, 500, 0) == _told(shop)
    stripe.advance(days=1)
    assert (10, 0, 10) == _told(shop)
    assert [] == _wrong(shop)


def test_things_that_exist(shop: Billing, stripe: StripeSimulator) -> None:
    """They are counted throughout, whichever way the amount goes."""
    shop.overrides.set("org", "projects", 8)
    shop.track("org", "projects", 7)
    change_price(shop, stripe, "org", "price_max")
    assert (8, 7, 1) == _told(shop, "projects")
    shop.overrides.set("org", "projects", 2)
    assert (7, 7, 0) == _told(shop, "projects")
    shop.give_back("org", "projects", 6)
    assert (2, 1, 1) == _told(shop, "projects")
    shop.overrides.remove("org", "projects")
    assert (9, 1, 8) == _told(shop, "projects")


def test_boolean_features(shop: Billing, stripe: StripeSimulator) -> None:
    """Taken from a plan that has it, and given to one that has it not."""
    until = stripe.now + timedelta(days=1)
    shop.overrides.set("org", "sso", amount=False, until=until)
    shop.overrides.set("org", "audit", amount=True, until=until)
    assert ("not_entitled", "ok") == (shop.check("org", "sso").reason, shop.check("org", "audit").reason)
    assert f"takes it away, until {until:%Y-%m-%d %H:%MZ}" in shop.explain("org", "sso")
    assert "An override gave no limit" in shop.explain("org", "audit")
    stripe.advance(days=1)
    assert ("ok", "not_entitled") == (shop.check("org", "sso").reason, shop.check("org", "audit").reason)


def test_what_the_plan_does_not_name(shop: Billing, stripe: StripeSimulator) -> None:
    """The override gives it once, another one goes on with what was used, and things exist when a plan names them."""
    shop.overrides.set("org", "tokens", 10)
    shop.overrides.set("org", "rooms", 3)
    shop.track("org", "tokens", 4)
    shop.track("org", "rooms", 2)
    shop.overrides.set("org", "tokens", 6)
    assert (6, 4, 2) == _told(shop, "tokens")
    stripe.advance(days=31)
    assert (6, 4, 2) == _told(shop, "tokens")

    change_price(shop, stripe, "org", "price_other")
    assert (6, 0, 6) == _told(shop, "tokens")
    assert (3, 2, 1) == _told(shop, "rooms")
    assert [] == _wrong(shop)


def test_nothing_is_replaced_without_a_plan(open_billing: Open, stripe: StripeSimulator) -> None:
    """Where no plan is in force an override gives nothing: it is no grant."""
    billing = open_billing(**{**OPTIONS, "default_plan": None})
    billing.overrides.set("org", "messages", 500)
    assert "not_entitled" == billing.check("org", "messages").reason
    stripe.subscribe("org", "pro")
    assert (500, 0, 500) == _told(billing)
    end_subscription(billing, stripe, "org")
    assert not billing.check("org", "messages")


def test_what_is_given_beside_the_plan_stays(shop: Billing) -> None:
    """Grants by hand come on top of it, and credits pay as ever."""
    shop.grant("org", "messages", 7)
    shop.overrides.set("org", "messages", 0)
    assert (7, 0, 7) == _told(shop)
    shop.overrides.set("org", "credits", 20)
    assert 2 == shop.balances("org")["images"].remaining
    assert not shop.check("org", "images", 3)


def test_periods_leave_what_could_be_used(shop: Billing, stripe: StripeSimulator) -> None:
    """What rolls over is no more than the override had left; it can be used when the override is over."""
    shop.overrides.set("org", "saved", 30, until=stripe.now + timedelta(days=70))
    shop.track("org", "saved", 10)
    stripe.advance(days=31)
    assert (30, 0, 30) == _told(shop, "saved")
    stripe.advance(days=31)
    stripe.advance(days=8)
    assert (150, 0, 150) == _told(shop, "saved")


def test_other_seats(open_billing: Open, stripe: StripeSimulator) -> None:
    """An override is an amount for the reference, whatever the number of seats."""
    plan = Plan(
        "team",
        price_id="price_team",
        seats=True,
        seat_price_id="price_seat",
        features={"m": Metered(10, per_seat=True)},
    )
    billing = open_billing(plans=[plan])
    stripe.subscribe("org", "team", seats=3)
    billing.overrides.set("org", "m", 100)
    billing.track("org", "m", 60)
    change_seats(billing, stripe, "org", "price_seat", 5)
    assert (100, 60, 40) == _told(billing, "m")
    billing.overrides.remove("org", "m")
    assert (60, 60, 0) == _told(billing, "m")
    billing.give_back("org", "m", 30)
    assert (50, 30, 20) == _told(billing, "m")


def test_once_under_a_key(shop: Billing) -> None:
    """A repetition gives the first answer, also after another override; another amount is refused."""
    first = shop.overrides.set("org", "messages", 5, reason="abuse", idempotency_key="k")
    shop.overrides.set("org", "messages", 6)
    again = shop.overrides.set("org", "messages", 5, idempotency_key="k")
    assert (first.id, first.amount, first.reason) == (again.id, again.amount, again.reason)
    assert [6] == [each.amount for each in shop.overrides.list("org")]
    for feature, amount in (("messages", 7), ("messages", None), ("projects", 5)):
        with pytest.raises(IdempotencyMismatch):
            shop.overrides.set("org", feature, amount, idempotency_key="k")


def test_what_is_told_of_it(shop: Billing, stripe: StripeSimulator) -> None:
    """Lists, the audit log, the breakdown of a decision, and explanations of now and of then."""
    until = stripe.now + timedelta(days=3)
    given = shop.overrides.set("org", "messages", 50, until=until, reason="a pilot")
    shop.overrides.set("org", "sso", amount=False)
    told = [(each.feature, each.amount, each.until, each.reason) for each in shop.overrides.list("org")]
    assert [("messages", 50, until, "a pilot"), ("sso", False, None, None)] == told
    (row,) = [each for each in shop.check("org", "messages").breakdown if each["kind"] == "grant"]
    assert ("override", 50) == (row["source"], row["included"])
    then = stripe.now
    stripe.advance(hours=1)
    removed = shop.overrides.remove("org", "messages")
    assert removed is not None
    assert (given.id, stripe.now) == (removed.id, removed.until)
    assert shop.overrides.remove("org", "messages") is None
    assert ["sso"] == [each.feature for each in shop.overrides.list("org")]

    assert f"An override of plan pro v1 gave 50 on {then:%Y-%m-%d}, until {until:%Y-%m-%d %H:%MZ}" in shop.explain(
        "org", "messages", at=then
    )
    assert "override" not in shop.explain("org", "messages")
    actions = [each.action for each in shop.audit("org").items if each.action.startswith("override")]
    assert ["override.removed", "override.set", "override.set"] == actions


@pytest.mark.parametrize(
    ("feature", "amount", "more", "field"),
    [
        ("messages", -1, {}, "amount"),
        ("messages", 1.0, {}, "amount"),
        ("messages", True, {}, "amount"),
        ("messages", 2**53, {}, "amount"),
        ("sso", 1, {}, "amount"),
        ("sso", None, {}, "amount"),
        ("messages", 1, {"until": datetime(2020, 1, 1)}, "until"),  # noqa: DTZ001 - naive is what is refused
        ("messages", 1, {"reason": ""}, "reason"),
        ("messages", 1, {"reason": "a\nb"}, "reason"),
    ],
)
def test_what_is_no_override(shop: Billing, feature: str, amount: Any, more: dict[str, Any], field: str) -> None:
    """A typed error that names the field, and nothing is changed."""
    with pytest.raises(InvalidInput) as error:
        shop.overrides.set("org", feature, amount, **more)
    assert field == error.value.field
    with pytest.raises(InvalidInput):
        shop.overrides.set("org", "messages", 1, until=shop.check("org", "messages").as_of)
    with pytest.raises(NotFound):
        shop.overrides.remove("org", "nothing")
    assert () == shop.overrides.list("org")


def test_snapshots_hear_of_it(open_billing: Open, stripe: StripeSimulator) -> None:
    """An answer from memory ends when an override begins or ends."""
    billing = open_billing(**OPTIONS, snapshot_max_age=3_600)
    stripe.subscribe("org", "pro")
    assert 100 == billing.check("org", "messages").remaining
    billing.overrides.set("org", "messages", 20, until=stripe.now + timedelta(minutes=1))
    assert 20 == billing.check("org", "messages").remaining
    stripe.advance(hours=1)
    assert 100 == billing.check("org", "messages").remaining


def test_on_every_engine(engine_url: str) -> None:
    """Raised, used beyond the plan, carried to another plan, and ended by time."""
    new_engine(engine_url).dispose()
    stripe = StripeSimulator()
    with Billing(stripe_client=stripe, database=engine_url, **OPTIONS) as billing:
        stripe.subscribe("org", "pro")
        billing.overrides.set("org", "messages", 500, until=stripe.now + timedelta(days=5), idempotency_key="k")
        billing.track("org", "messages", 250)
        change_price(billing, stripe, "org", "price_max")
        assert (500, 250, 250) == _told(billing)
        billing.overrides.set("org", "messages", 500, idempotency_key="k", until=stripe.now + timedelta(days=9))
        stripe.advance(days=5)
        assert (250, 250, 0) == _told(billing)
        billing.give_back("org", "messages", 60)
        assert (200, 190, 10) == _told(billing)
        assert () == billing.overrides.list("org")
        assert [] == _wrong(billing)


def test_on_asyncio(async_engine_url: str) -> None:
    """`AsyncBilling` has the same names."""
    asyncio.run(_on_asyncio(async_engine_url))


async def _on_asyncio(url: str) -> None:
    async with AsyncBilling(stripe_client=AsyncStripeSimulator(), database=url, **OPTIONS) as billing:
        given = await billing.overrides.set("org", "messages", 25)
        assert (given,) == await billing.overrides.list("org")
        assert 25 == (await billing.check("org", "messages")).remaining
        assert await billing.overrides.remove("org", "messages") is not None
        assert 10 == (await billing.check("org", "messages")).remaining
