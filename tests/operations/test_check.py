"""What `check` answers, and that it writes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from kernia_billing import Billing, InvalidInput, NotFound, Reference
from kernia_billing.testing import StripeSimulator


def test_unknown_reference_has_the_default_plan(billing: Billing) -> None:
    """Somebody who never bought anything has what the default plan gives."""
    decision = billing.check("nobody", "projects")

    assert decision
    assert ("ok", 1, 1) == (decision.reason, decision.remaining, decision.balance.included)


def test_without_default_plan_nothing_is_given(open_billing: Callable[..., Billing]) -> None:
    """Without a default plan an unknown reference is entitled to nothing."""
    decision = open_billing().check("nobody", "projects")

    assert not decision
    assert "not_entitled" == decision.reason


def test_check_writes_nothing(billing: Billing, sqlite_url: str) -> None:
    """Checking an unknown reference leaves no row of it."""
    billing.check("nobody", "projects")

    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT count(*) FROM billing_customer")).scalar()
    engine.dispose()
    assert 0 == rows


def test_unknown_feature_raises(billing: Billing) -> None:
    """A feature in no plan is a mistake in the code, never a state."""
    with pytest.raises(NotFound) as caught:
        billing.check("nobody", "projectz")

    assert "FEATURE_NOT_FOUND" == caught.value.code
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("feature", "required", "reason"),
    [
        ("projects", 3, "ok"),
        ("projects", 4, "insufficient_balance"),
        ("projects", 0, "ok"),
        ("sso", 1, "ok"),
        ("api", 5, "ok"),
        ("api", 6, "overage"),
        ("api", 15, "overage"),
        ("api", 16, "overage_limit"),
        ("files", 1, "not_entitled"),
    ],
)
def test_reasons(billing: Billing, stripe: StripeSimulator, feature: str, required: int, reason: str) -> None:
    """Every answer says why; `allowed` means the whole quantity."""
    stripe.subscribe("user_1", "pro")

    decision = billing.check("user_1", feature, required)

    assert reason == decision.reason
    assert decision.allowed is (reason in ("ok", "overage", "unlimited"))
    assert decision.message


def test_unlimited_and_seats(billing: Billing, stripe: StripeSimulator) -> None:
    """An unlimited quantity says so; per-seat amounts grow with the seats; `seats` is a feature of its own."""
    stripe.subscribe("user_1", "team", seats=4)

    assert "unlimited" == billing.check("user_1", "files", 10**9).reason
    assert 20 == billing.check("user_1", "projects").remaining
    assert 4 == billing.check("user_1", "seats").remaining
    assert not billing.check("user_1", "seats", 5)


def test_a_person_and_an_organization_of_the_same_id_are_two(billing: Billing, stripe: StripeSimulator) -> None:
    """References are compared by id and type."""
    stripe.subscribe("same", "pro")

    assert 3 == billing.check("same", "projects").balance.included
    assert 1 == billing.check(Reference("same", "organization"), "projects").balance.included


@pytest.mark.parametrize("required", [-1, 10**9 + 1, True, 1.0, "1", None])
def test_required_is_a_bounded_integer(billing: Billing, required: object) -> None:
    """Anything but an integer of 0 to 10^9 is refused and the member is named."""
    with pytest.raises(InvalidInput) as caught:
        billing.check("user_1", "projects", required)  # type: ignore[arg-type]  # on purpose

    assert "required" == caught.value.field


def test_metered_allowance_resets_on_the_billing_day(billing: Billing, stripe: StripeSimulator) -> None:
    """A metered allowance is full again in the next period, without any job and whatever webhooks came."""
    stripe.subscribe("user_1", "pro")
    billing.track("user_1", "messages", 100)
    assert not billing.check("user_1", "messages")
    resets_at = billing.check("user_1", "messages").resets_at

    stripe.advance(days=31)

    assert resets_at is not None
    assert resets_at <= stripe.now
    assert 100 == billing.check("user_1", "messages").remaining


def test_yearly_bill_with_monthly_allowance(billing: Billing, stripe: StripeSimulator) -> None:
    """A monthly allowance under a yearly bill resets monthly on the billing day."""
    stripe.subscribe("user_1", "pro", annual=True)
    billing.track("user_1", "messages", 60)

    stripe.advance(days=32)

    assert 100 == billing.check("user_1", "messages").remaining
    subscription = billing.subscriptions.get("user_1")
    assert subscription is not None
    assert "year" == subscription.interval


def test_calendar_allowance_resets_on_the_first(billing: Billing, stripe: StripeSimulator) -> None:
    """An allowance anchored to the calendar resets on the first of the month."""
    billing.track("user_1", "messages", 10)
    decision = billing.check("user_1", "messages")

    assert not decision
    assert decision.resets_at is not None
    assert (1, 0, 0) == (decision.resets_at.day, decision.resets_at.hour, decision.resets_at.minute)
    stripe.advance(months=1)
    assert billing.check("user_1", "messages")


def test_past_due_has_grace_then_denies_then_recovers(billing: Billing, stripe: StripeSimulator) -> None:
    """Grace runs from the first failed payment; after it only what the default plan gives is left."""
    stripe.subscribe("user_1", "pro")
    stripe.use_card("user_1", "4000000000000002")

    stripe.advance(months=1, hours=2)
    assert billing.check("user_1", "sso")
    subscription = billing.subscriptions.get("user_1")
    assert subscription is not None
    assert ("past_due", True) == (subscription.status, subscription.grace_ends_at is not None)

    stripe.advance(days=8)
    decision = billing.check("user_1", "sso")
    assert not decision
    assert "subscription_past_due" == decision.reason

    stripe.use_card("user_1", "4242424242424242")
    stripe.collect("user_1")
    assert billing.check("user_1", "sso")


def test_canceled_subscription_gives_nothing(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """After the end of a subscription its features are gone, and the reason says that there was one."""
    billing = open_billing()
    subscription = stripe.subscribe("user_1", "pro")
    stripe.use_card("user_1", "4000000000000002")
    stripe.advance(months=2)

    ended = billing.subscriptions.get("user_1")
    assert subscription is not None
    assert ended is not None
    assert "canceled" == ended.status
    assert not billing.check("user_1", "sso")
