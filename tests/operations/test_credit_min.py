"""How low a balance of credits may get: a balance to keep, an overdraft, and how that is repaid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import (
    Billing,
    Credits,
    Feature,
    FeatureDenied,
    InsufficientBalance,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
)
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine

OPTIONS: dict[str, Any] = {
    "plans": [Plan("pro", price_id="price_pro", features={"credits": Credits(100), "sso": Metered(1)})],
    "features": [Feature("images", credit_cost={"credits": 10})],
}


@pytest.fixture
def billing(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """A shop on each kind of database, whose books are in order at the end."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, **OPTIONS) as opened:
        yield opened
        assert not [each for each in opened.doctor().findings if each.severity == "error"]


@pytest.fixture
def small(open_billing: Callable[..., Billing]) -> Billing:
    """The same on SQLite."""
    return open_billing(**OPTIONS)


def left(billing: Billing) -> tuple[int | None, int, int | None]:
    """What remains, what is overdrawn, and how much may be."""
    balance = billing.balances("org")["credits"]
    return balance.remaining, balance.overage_used, balance.overage_limit


@pytest.mark.parametrize(
    ("given", "overdrawn", "minimum", "amount", "allowed"),
    [
        (10, 0, 0, 10, True),
        (10, 0, 0, 11, False),
        (10, 0, 5, 5, True),
        (10, 0, 5, 6, False),
        (10, 0, -5, 15, True),
        (10, 0, -5, 16, False),
        (0, 5, -5, 1, False),
    ],
)
def test_what_may_be_drawn(
    small: Billing, given: int, overdrawn: int, minimum: int, amount: int, allowed: bool
) -> None:
    """R-139, R-178: a debit is allowed exactly while the balance after it is not below the minimum."""
    if given:
        small.grant("org", "credits", given)
    small.set_credit_min("org", "credits", minimum)
    if overdrawn:
        small.consume("org", "credits", overdrawn)
    said = small.check("org", "credits", amount)

    assert allowed == said.allowed
    assert minimum == said.balance.minimum
    if allowed:
        small.consume("org", "credits", amount)
        assert not small.check("org", "credits")
    else:
        with pytest.raises(InsufficientBalance):
            small.consume("org", "credits", amount)


def test_a_balance_to_keep(billing: Billing) -> None:
    """What has to stay does not remain, whatever draws: units that credits pay, holds, and uses without a limit."""
    billing.grant("org", "credits", 100)
    balance = billing.set_credit_min("org", "credits", 35)

    assert (65, 35, False) == (balance.remaining, balance.minimum, balance.postpaid)
    assert 6 == billing.balances("org")["images"].remaining
    assert not billing.check("org", "images", 7)
    said = billing.check("org", "credits", 66)
    assert "insufficient_balance" == said.reason
    assert "66 of credits asked for, 65 of 100 left, besides 35 that have to stay." == said.message
    with pytest.raises(InsufficientBalance):
        billing.reserve("org", "images", 7)
    held = billing.reserve("org", "images", 6)
    assert not billing.check("org", "images")
    held.release()
    usage = billing.track("org", "credits", 90)
    assert (65, 25) == (usage.funded, usage.unfunded)
    assert 35 == usage.balance.minimum


def test_an_overdraft(billing: Billing) -> None:
    """Below zero, as far as it was allowed, as overage; a unit may be paid from both sides of zero."""
    billing.grant("org", "credits", 14)
    assert billing.set_credit_min("org", "credits", -26).postpaid
    said = billing.check("org", "images", 4)

    assert ("overage", True) == (said.reason, said.allowed)
    assert [("manual", 14), ("credit_min", 26)] == [(each["source"], each["draws"]) for each in said.breakdown]
    billing.consume("org", "images", 4)
    assert (0, 26, 26) == left(billing)
    assert "overage_limit" == billing.check("org", "credits").reason


def test_what_is_given_later_repays(billing: Billing) -> None:
    """An overdraft is repaid by credits that come later, before they can be used, and may be used again."""
    billing.set_credit_min("org", "credits", -50)
    billing.consume("org", "credits", 40)
    billing.grant("org", "credits", 30)
    assert (0, 10, 50) == left(billing)

    billing.grant("org", "credits", 100)
    assert (90, 0, 50) == left(billing)
    assert not billing.check("org", "credits", 141)
    billing.consume("org", "credits", 140)
    assert (0, 50, 50) == left(billing)


def test_credits_of_an_entity_repay_nothing(small: Billing) -> None:
    """They are its own."""
    small.set_credit_min("org", "credits", -50)
    small.consume("org", "credits", 40)
    small.grant("org", "credits", 30, entity="blue")

    assert (0, 40, 50) == left(small)
    assert small.check("org", "credits", 40, entity="blue")
    assert not small.check("org", "credits", 41, entity="blue")


def test_what_comes_back_of_an_overdraft(billing: Billing) -> None:
    """A refund makes an overdraft smaller; of one that was repaid it can be used like anything that was given."""
    billing.set_credit_min("org", "credits", -50)
    first = billing.consume("org", "images", 2)
    second = billing.consume("org", "images", 2)
    billing.refund("org", first.event_id)
    assert (0, 20, 50) == left(billing)

    billing.grant("org", "credits", 30)
    back = billing.refund("org", second.event_id)
    assert (2, 2) == (back.funded, back.restored)
    assert (30, 0, 50) == left(billing)
    assert billing.check("org", "credits", 80)
    assert not billing.check("org", "credits", 81)


def test_a_smaller_overdraft_takes_nothing_away(billing: Billing) -> None:
    """What is overdrawn stays; nothing more can be drawn until the balance is back at the new minimum."""
    billing.set_credit_min("org", "credits", -50)
    billing.consume("org", "credits", 40)
    billing.set_credit_min("org", "credits", -10)
    assert (0, 40, 10) == left(billing)
    assert not billing.check("org", "credits")

    billing.grant("org", "credits", 35)
    assert (0, 5, 10) == left(billing)
    assert [True, False] == [billing.check("org", "credits", each).allowed for each in (5, 6)]
    billing.set_credit_min("org", "credits", 20)
    billing.grant("org", "credits", 30)
    assert [True, False] == [billing.check("org", "credits", each).allowed for each in (5, 6)]


def test_what_a_plan_gives_counts_against_it(billing: Billing, stripe: StripeSimulator) -> None:
    """Credits of a plan repay nothing, but the balance is the sum: no more is drawn than down to the minimum."""
    billing.set_credit_min("org", "credits", -50)
    billing.consume("org", "credits", 40)
    billing.set_credit_min("org", "credits", -10)
    stripe.subscribe("org", "pro")

    assert (70, 40, 10) == left(billing)
    assert [True, False] == [billing.check("org", "credits", each).allowed for each in (70, 71)]


def test_how_much_was_overdrawn_and_when(billing: Billing, stripe: StripeSimulator) -> None:
    """R-154 rests on it: what was drawn below zero adds up over any pieces of time, whatever was repaid meanwhile."""
    billing.set_credit_min("org", "credits", -50)
    begin = stripe.now
    billing.consume("org", "credits", 40)
    stripe.advance(days=1)
    middle = stripe.now
    billing.grant("org", "credits", 100)
    use = billing.consume("org", "images", 10)
    billing.refund("org", use.event_id, 1)

    assert 40 == billing.overdraft_used("org", "credits", start=begin, end=middle)
    assert 30 == billing.overdraft_used("org", "credits", start=middle)
    assert 70 == billing.overdraft_used("org", "credits")
    assert 0 == billing.overdraft_used("nobody", "credits")
    with pytest.raises(InvalidInput, match="before start"):
        billing.overdraft_used("org", "credits", start=middle, end=begin)


def test_it_is_told_why(small: Billing, stripe: StripeSimulator) -> None:
    """R-151: audited with old, new and reason, once for every change; and explained as it was at any time."""
    small.grant("org", "credits", 5)
    before = stripe.now
    stripe.advance(hours=1)
    with small.acting_as("user:42"):
        small.set_credit_min("org", "credits", -50, note="contract 7")
    small.set_credit_min("org", "credits", -50)
    small.consume("org", "credits", 20)
    overdrawn = stripe.now
    stripe.advance(hours=1)
    small.set_credit_min("org", "credits", 30)

    later, first = (each for each in small.audit("org").items if each.action == "credit_min.set")
    assert "user:42" == first.actor
    assert {"feature": "credits", "minimum": 0} == first.before
    assert {"feature": "credits", "minimum": -50, "note": "contract 7"} == first.after
    assert ({"feature": "credits", "minimum": -50}, {"feature": "credits", "minimum": 30}) == (
        later.before,
        later.after,
    )
    assert small.explain("org", "credits", at=before).decision.allowed
    then = small.explain("org", "credits", at=overdrawn)
    assert ("overage", True) == (then.decision.reason, then.decision.allowed)
    assert "15 of at most 50 used beyond it." in then
    assert "An overdraft gave 50 of credits" not in then
    assert "An overdraft gave 50 beyond it" in then
    now = small.explain("org", "credits")
    assert "30 of credits have to stay." in now
    assert not now.decision.allowed


def test_what_cannot_be_set(small: Billing) -> None:
    """Only of credits, and only a number: nothing is written then."""
    wrong: list[tuple[str, Any, dict[str, Any]]] = [
        ("credits", True, {}),
        ("credits", -(10**9) - 1, {}),
        ("images", -5, {}),
        ("credits", -5, {"note": ""}),
    ]
    fields: list[str | None] = []
    for feature, minimum, more in wrong:
        with pytest.raises(InvalidInput) as refused:
            small.set_credit_min("org", feature, minimum, **more)
        fields.append(refused.value.field)
    assert ["minimum", "minimum", "feature", "note"] == fields
    with pytest.raises(NotFound):
        small.set_credit_min("org", "gold", -5)
    assert () == small.audit("org").items


def test_a_minimum_gives_nothing(small: Billing) -> None:
    """Who has no credits has none by a balance to keep; who may overdraw has."""
    small.set_credit_min("org", "credits", 5)
    assert "not_entitled" == small.check("org", "credits").reason
    small.set_credit_min("org", "credits", 0)
    with pytest.raises(FeatureDenied):
        small.consume("org", "images")
    small.set_credit_min("org", "credits", -10)
    assert small.check("org", "images")


def test_an_answer_from_memory_ends_with_a_change(open_billing: Callable[..., Billing]) -> None:
    """What the same object changed is in every answer."""
    shop = open_billing(**OPTIONS, snapshot_max_age=timedelta(minutes=5))
    shop.grant("org", "credits", 5)
    assert shop.check("org", "credits", 5)
    shop.set_credit_min("org", "credits", 1)
    assert not shop.check("org", "credits", 5)
    shop.set_credit_min("org", "credits", -1)
    assert shop.check("org", "credits", 6)


def test_set_used_counts_a_repayment_once(small: Billing) -> None:
    """A level of what is used is met, whichever side of zero it was used on."""
    small.set_credit_min("org", "credits", -50)
    small.consume("org", "credits", 40)
    small.grant("org", "credits", 100)
    small.set_usage("org", "credits", 40)
    assert (60, 0, 50) == left(small)
    small.set_usage("org", "credits", 10)
    assert (90, 0, 50) == left(small)
