"""Other amounts while a subscription is trialing: when they count, when they end, and what is used of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from kernia_billing import Billing, Boolean, Metered, Plan, Quantity
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine
from tests.operations.dashboard import change_price, change_subscription, forget_cards

Open = Callable[..., Billing]
DAYS = 14
FEATURES: dict[str, Any] = {
    "messages": Metered(10_000, trial=500, rollover=1_000, overage="free"),
    "calls": Metered(unlimited=True, trial=20),
    "storage": Metered(100, trial=10, reset="never"),
    "projects": Quantity(5, trial=1),
    "sso": Boolean(trial=False),
    "api": Metered(50),
}
PLANS = [
    Plan("pro", price_id="price_pro", trial_days=DAYS, features=FEATURES),
    Plan("max", price_id="price_max", features={"messages": Metered(300, trial=700), "projects": Quantity(9)}),
]


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe that tells nothing by itself."""
    return StripeSimulator(deliver="manual")


@pytest.fixture
def shop(open_billing: Open, stripe: StripeSimulator) -> Billing:
    """A shop with a reference that has just begun the trial of a plan."""
    billing = open_billing(plans=PLANS)
    stripe.subscribe("org", "pro")
    stripe.deliver()
    return billing


def _told(billing: Billing) -> dict[str, tuple[int, int | None]]:
    """What is used and left of each feature."""
    return {key: (each.used, each.remaining) for key, each in billing.balances("org").items()}


def _wrong(billing: Billing) -> list[str]:
    """What doctor finds in the books; prices were never imported here."""
    return [each.title for each in billing.doctor().findings if each.check != "plans.prices"]


IN_TRIAL = {"api": (0, 50), "calls": (0, 20), "messages": (0, 500), "projects": (0, 1), "storage": (0, 10)}
PAID = {"api": (0, 50), "calls": (0, None), "messages": (0, 10_000), "projects": (0, 5), "storage": (0, 100)}


def test_a_trial_has_amounts_of_its_own(shop: Billing) -> None:
    """It includes what the plan says for it, goes nowhere beyond that, and says that it is a trial."""
    assert IN_TRIAL == _told(shop)
    decision = shop.check("org", "messages", 501)
    assert (False, "insufficient_balance") == (decision.allowed, decision.reason)
    assert [("trial", 500)] == [(each["source"], each["included"]) for each in decision.breakdown]
    assert "not_entitled" == shop.check("org", "sso").reason
    assert shop.track("org", "messages", 501).unfunded == 1
    assert ["trial"] == [each["source"] for each in shop.track("org", "projects").deductions]
    told = shop.explain("org", "messages")
    assert "Plan pro v1, in its trial, gave 500" in told
    assert ["trial"] == [each.source for each in told.grants]


def test_the_plan_begins_when_the_trial_ends_however_late_the_news_is(shop: Billing, stripe: StripeSimulator) -> None:
    """By time alone: uses begin anew, what exists exists still, what never resets stays used, nothing rolls over."""
    for feature, used in (("messages", 300), ("projects", 1), ("storage", 4)):
        shop.track("org", feature, used)
    stripe.advance(days=DAYS - 1, hours=23)
    assert 200 == shop.balances("org")["messages"].remaining
    assert not shop.check("org", "sso")

    stripe.advance(hours=1)
    late = {**PAID, "projects": (1, 4), "storage": (4, 96), "sso": (0, None)}
    assert late == _told(shop)
    assert shop.check("org", "messages", 10_001).reason == "overage"
    assert ["plan"] == [each.source for each in shop.explain("org", "projects").grants]
    told = shop.explain("org", "messages", at=stripe.now - timedelta(minutes=1))
    assert ["trial"] == [each.source for each in told.grants]

    stripe.deliver()
    assert "active" == _status(shop)
    assert late == _told(shop)
    shop.track("org", "projects", 4)
    assert not shop.check("org", "projects")
    assert [] == _wrong(shop)


def _status(billing: Billing) -> str:
    subscription = billing.subscriptions.get("org")
    return "none" if subscription is None else subscription.status


def test_a_trial_that_ends_early(shop: Billing, stripe: StripeSimulator) -> None:
    """Whoever pays at once has at once what is paid for."""
    shop.track("org", "messages", 500)
    shop.track("org", "projects")
    stripe.advance(days=3)
    change_subscription(shop, stripe, "org", trial_end="now")
    assert (500, 0) == _told(shop)["messages"]

    stripe.deliver()
    assert {**PAID, "projects": (1, 4), "sso": (0, None)} == _told(shop)
    assert [] == _wrong(shop)


def test_a_trial_that_is_extended(shop: Billing, stripe: StripeSimulator) -> None:
    """It is the same trial: its amounts go on, and so does what is used of them."""
    for feature, used in (("messages", 300), ("projects", 1), ("storage", 4)):
        shop.track("org", feature, used)
    stripe.advance(days=3)
    end = stripe.now + timedelta(days=DAYS)
    change_subscription(shop, stripe, "org", trial_end=str(int(end.timestamp())))
    stripe.deliver()
    same = {**IN_TRIAL, "messages": (300, 200), "projects": (1, 0), "storage": (4, 6)}
    assert same == _told(shop)

    stripe.advance(days=DAYS - 1, hours=23)
    assert same == _told(shop)
    stripe.advance(hours=1)
    assert {**PAID, "projects": (1, 4), "storage": (4, 96), "sso": (0, None)} == _told(shop)


@pytest.mark.parametrize("way", ["cancel", "pause"])
def test_a_trial_that_nobody_pays_for(shop: Billing, stripe: StripeSimulator, way: str) -> None:
    """Nothing is left when Stripe says so."""
    shop.track("org", "messages", 100)
    forget_cards(shop, stripe, "org")
    change_subscription(shop, stripe, "org", **{"trial_settings[end_behavior][missing_payment_method]": way})
    stripe.advance(days=DAYS)
    stripe.deliver()
    assert ({"cancel": "canceled", "pause": "paused"}[way], {}) == (_status(shop), _told(shop))
    assert not shop.check("org", "messages")


def test_a_trial_with_which_the_subscription_ends(shop: Billing, stripe: StripeSimulator) -> None:
    """The plan's own amounts never begin: the trial's last until Stripe says that it is over."""
    shop.track("org", "messages", 100)
    change_subscription(shop, stripe, "org", cancel_at_period_end="true")
    stripe.deliver()
    assert [("trial", None)] == [(each.source, each.expires_at) for each in shop.explain("org", "messages").grants]
    assert (100, 400) == _told(shop)["messages"]

    change_subscription(shop, stripe, "org", cancel_at_period_end="false")
    stripe.deliver()
    assert [stripe.now + timedelta(days=DAYS)] == [each.expires_at for each in shop.explain("org", "messages").grants]
    change_subscription(shop, stripe, "org", cancel_at_period_end="true")
    stripe.advance(days=DAYS)
    stripe.deliver()
    assert ("canceled", {}) == (_status(shop), _told(shop))


def test_another_plan_in_the_trial(shop: Billing, stripe: StripeSimulator) -> None:
    """The other plan's trial takes over what was used, as the preview has shown."""
    shop.track("org", "messages", 400)
    shop.track("org", "projects")
    shown = shop.plans.preview("org", "max")
    change_price(shop, stripe, "org", "price_max")
    stripe.deliver()

    assert shown.after == shop.balances("org")
    assert {"messages": (400, 300), "projects": (1, 8)} == _told(shop)
    stripe.advance(days=DAYS)
    assert {"messages": (0, 300), "projects": (1, 8)} == _told(shop)


def test_whatever_order_the_news_come_in(open_billing: Open, stripe: StripeSimulator, make_database: Any) -> None:
    """A trial begins, is extended, and ends early: every order of what is told of it ends alike."""
    ends: set[str] = set()
    for order in permutations(range(3)):
        fresh = StripeSimulator(deliver="manual")
        billing = open_billing(plans=PLANS, stripe_client=fresh, database=make_database("sqlite"))
        fresh.subscribe("org", "pro")
        fresh.deliver()
        billing.track("org", "messages", 100)
        for values in (
            {"trial_end": str(int((fresh.now + timedelta(days=30)).timestamp()))},
            {"metadata[note]": "x"},
            {"trial_end": "now"},
        ):
            fresh.advance(days=1)
            change_subscription(billing, fresh, "org", **values)
        told = [each for each in fresh.events if each["type"] == "customer.subscription.updated"]
        assert len(order) == len(told)
        for number in order:
            fresh.deliver(told[number]["id"])
        ends.add(str(_told(billing)))
        assert {**PAID, "sso": (0, None)} == _told(billing)
        assert [] == _wrong(billing)
    assert 1 == len(ends)


def test_on_every_engine(engine_url: str) -> None:
    """The whole of it: in the trial, after it, and after the news of that."""
    new_engine(engine_url).dispose()
    stripe = StripeSimulator(deliver="manual")
    with Billing(stripe_client=stripe, database=engine_url, plans=PLANS) as billing:
        stripe.subscribe("org", "pro")
        stripe.deliver()
        assert IN_TRIAL == _told(billing)
        billing.track("org", "projects")
        billing.track("org", "messages", 450)
        stripe.advance(days=DAYS)
        assert {**PAID, "projects": (1, 4), "sso": (0, None)} == _told(billing)
        billing.track("org", "messages", 450)
        stripe.deliver()
        assert {**PAID, "projects": (1, 4), "sso": (0, None), "messages": (450, 9_550)} == _told(billing)
        assert [] == _wrong(billing)
