"""What a usage limit of a plan allows one reference instead: while it lasts, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import (
    Billing,
    IdempotencyMismatch,
    InsufficientBalance,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
    UsageLimit,
)
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine

DAILY, HOURLY = UsageLimit(20), UsageLimit(15, per="hour")
PLANS = [
    Plan("free", features={"calls": Metered(1_000, limits=(DAILY, HOURLY)), "mails": Metered(5)}),
    Plan("pro", price_id="price_pro", features={"calls": Metered(5_000, limits=(UsageLimit(30),))}),
]


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """The shop on SQLite; everybody has the free plan."""
    return open_billing(plans=PLANS, default_plan="free")


@pytest.fixture
def shop_anywhere(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """The same on each kind of database, whose books are in order at the end."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, plans=PLANS, default_plan="free") as billing:
        yield billing
        assert not [each for each in billing.doctor().findings if each.severity == "error"]


def told(billing: Billing, reference: str = "ann") -> dict[str, tuple[Any, Any]]:
    """The maximum and the use of each limit."""
    limits = billing.check(reference, "calls").limits
    return {str(each["per"]): (each["maximum"], each["used"]) for each in limits}


@pytest.mark.parametrize("maximum", [0, 5, 100])
def test_it_raises_and_lowers(shop: Billing, stripe: StripeSimulator, maximum: int) -> None:
    """It counts at once and for the one limit that it names, what was counted stays counted, and time ends it."""
    shop.track("ann", "calls", 10)
    until = stripe.now + timedelta(hours=1)
    shop.overrides.set_limit("ann", "calls", UsageLimit(maximum), until=until)
    assert {"day": (maximum, 10), "hour": (15, 10)} == told(shop)
    assert {"day": (20, 0), "hour": (15, 0)} == told(shop, "bob")
    shop.overrides.set_limit("ann", "calls", UsageLimit(100, per="hour"))

    left = max(0, min(maximum, 100) - 10)
    with pytest.raises(InsufficientBalance) as denied:
        shop.consume("ann", "calls", left + 1)
    assert "usage_limit" == denied.value.decision.reason
    if left:
        assert maximum == shop.consume("ann", "calls", left).limits[0]["maximum"]
    stripe.advance(hours=1)
    assert {"day": (20, 10 + left), "hour": (100, 0)} == told(shop)
    assert [] == [each.title for each in shop.doctor().findings if each.severity == "error"]


def test_an_exact_limit_on_every_database(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """Exactly so much is let through; where it is removed the plan's own maximum is back."""
    shop = shop_anywhere
    shop.overrides.set_limit("ann", "calls", UsageLimit(25), reason="a fair")
    shop.overrides.set_limit("ann", "calls", UsageLimit(25, per="hour"))
    assert 25 == sum(shop.track("ann", "calls", 4, mode="cap").funded for _ in range(8))
    assert ["a fair", None] == [each.reason for each in shop.overrides.limits("ann")]
    assert () == shop.overrides.list("ann")

    ended = shop.overrides.remove_limits("ann", "calls")
    assert [stripe.now, stripe.now] == [each.until for each in ended]
    assert {"day": (20, 25), "hour": (15, 25)} == told(shop)
    assert () == shop.overrides.remove_limits("ann", "calls") == shop.overrides.limits("ann")
    actions = [each.action for each in shop.audit("ann").items]
    assert ["override.removed"] * 2 + ["override.set"] * 2 == actions


def test_it_outlives_plans(shop: Billing, stripe: StripeSimulator) -> None:
    """It replaces the limit of whichever plan is in force; where none has such a limit nothing is limited by it."""
    shop.overrides.set_limit("ann", "calls", UsageLimit(50, per="hour"))
    shop.overrides.set_limit("ann", "calls", UsageLimit(40))
    shop.track("ann", "calls", 35)
    stripe.subscribe("ann", "pro")
    assert {"day": (40, 35)} == told(shop)
    shop.overrides.set("ann", "calls", 36)
    assert (36, 40) == (shop.balances("ann")["calls"].included, told(shop)["day"][0])
    shop.overrides.remove("ann", "calls")
    assert {"day": (40, 35)} == told(shop)


def test_it_is_explained(shop: Billing, stripe: StripeSimulator) -> None:
    """An answer says which override raised a limit, also after it has ended; offers count it for other plans."""
    shop.track("ann", "calls", 12)
    before = stripe.now
    stripe.advance(hours=1)
    shop.overrides.set_limit("ann", "calls", UsageLimit(14), until=stripe.now + timedelta(hours=1))
    said = shop.explain("ann", "calls")
    assert "allows 14 calls instead of 20 a window, until " in said
    assert () == shop.check("ann", "calls", 3, preview=True).offers
    at = stripe.now
    stripe.advance(hours=2)

    assert "An override" not in shop.explain("ann", "calls")
    then = shop.explain("ann", "calls", at=at)
    assert "allows 14 calls instead of 20 a window, until " in then
    assert {("day", 14), ("hour", 15)} == {(each["per"], each["maximum"]) for each in then.decision.limits}
    earlier = shop.explain("ann", "calls", at=before).decision
    assert {20, 15} == {each["maximum"] for each in earlier.limits}


def test_one_key_sets_once(shop: Billing) -> None:
    """A repetition gives the first override again, whatever became of it; another limit is refused under its key."""
    first = shop.overrides.set_limit("ann", "calls", UsageLimit(50), idempotency_key="k")
    shop.overrides.set_limit("ann", "calls", UsageLimit(60))
    assert first.id == shop.overrides.set_limit("ann", "calls", UsageLimit(50), idempotency_key="k").id
    assert {"day": (60, 0), "hour": (15, 0)} == told(shop)
    for limit in (UsageLimit(51), UsageLimit(50, per="hour")):
        with pytest.raises(IdempotencyMismatch):
            shop.overrides.set_limit("ann", "calls", limit, idempotency_key="k")
    with pytest.raises(IdempotencyMismatch):
        shop.overrides.set("ann", "calls", None, idempotency_key="k")


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        (UsageLimit(-1), "limit.maximum"),
        (UsageLimit(True), "limit.maximum"),
        (UsageLimit(5, per="minute"), "limit.per"),  # type: ignore[arg-type]  # what a caller without types may say
        (UsageLimit(5, count=2), "limit"),
        (UsageLimit(5, per_entity=True), "limit"),
        (UsageLimit(5, where={"a": 1}), "limit"),
        (UsageLimit(5, timezone="Nowhere"), "limit.timezone"),
        (5, "limit"),
    ],
)
def test_what_cannot_be_set(shop: Billing, limit: Any, field: str) -> None:
    """What is no limit, or none that a plan has, is refused by its name, and nothing changes."""
    with pytest.raises(InvalidInput) as refused:
        shop.overrides.set_limit("ann", "calls", limit)
    assert field == refused.value.field
    with pytest.raises(InvalidInput):
        shop.overrides.set_limit("ann", "mails", DAILY)
    with pytest.raises(NotFound):
        shop.overrides.set_limit("ann", "letters", DAILY)
    assert () == shop.overrides.limits("ann")
    assert () == shop.audit("ann").items


def test_limits_of_plans_that_are_sold_no_more(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Whoever has an earlier version of a plan has its limits, which can be overridden."""
    before = open_billing(plans=PLANS, default_plan="free")
    stripe.subscribe("ann", "pro")
    before.close()
    allowances = {"calls": Metered(9)}
    shop = open_billing(
        plans=[Plan("free", features=allowances), Plan("pro", price_id="price_pro", features=allowances)]
    )
    assert {"day": (30, 0)} == told(shop)

    shop.overrides.set_limit("ann", "calls", UsageLimit(40))
    assert {"day": (40, 0)} == told(shop)
    with pytest.raises(InvalidInput):
        shop.overrides.set_limit("bob", "calls", UsageLimit(40))
