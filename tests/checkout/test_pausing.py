"""Collection is paused and goes on; what a paused subscription gives, the host decides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from kernia_billing import Conflict, InvalidInput, NotFound
from kernia_billing.domain.answers import Event, SubscriptionEvent
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop

SUBSCRIPTIONS = "/v1/subscriptions/"


def test_a_pause_takes_the_plan_away_until_it_ends(each_shop: Shop) -> None:
    """By default the default plan counts while collection is paused; what was used is remembered."""
    shop = each_shop
    heard: list[Event] = []
    shop.billing.on("subscription.paused", "subscription.resumed")(heard.append)
    bought = shop.buy()
    shop.billing.track("ann", "messages", 40)
    paused = shop.billing.subscriptions.pause("ann")
    assert (paused.id, paused.status, paused.display_state) == (bought.id, "active", "paused")
    assert not shop.billing.check("ann", "projects", 2)
    assert shop.billing.check("ann", "projects", 1)
    assert shop.billing.subscriptions.pause("ann") == paused
    resumed = shop.billing.subscriptions.resume("ann")
    assert resumed.display_state == "active"
    assert shop.billing.check("ann", "projects", 5)
    assert shop.billing.balances("ann")["messages"].used == 40
    assert shop.billing.subscriptions.resume("ann") == resumed
    assert [each.type for each in heard] == ["subscription.paused", "subscription.resumed"]


def test_a_pause_that_takes_nothing_away(open_shop: Open) -> None:
    """With `while_paused="allow"` the plan goes on, and so does the reason of what it does not include."""
    shop = open_shop(while_paused="allow", default_plan=None)
    shop.buy("ann", "trial")
    shop.billing.subscriptions.pause("ann", behavior="mark_uncollectible")
    assert shop.billing.check("ann", "projects", 5)
    assert shop.billing.check("ann", "messages").reason == "not_entitled"
    assert shop.billing.subscriptions.get("ann") is not None


def test_the_reason_of_a_pause(open_shop: Open) -> None:
    """Who is paused is told that an active subscription is needed, by every operation alike."""
    shop = open_shop(default_plan=None)
    shop.buy()
    shop.billing.subscriptions.pause("ann")
    assert shop.billing.check("ann", "projects").reason == "subscription_inactive"
    assert shop.billing.explain("ann", "projects").decision.reason == "subscription_inactive"


def test_a_pause_ends_by_itself(shop: Shop) -> None:
    """`resumes_at` is told to Stripe, whose news ends the pause; what was billed meanwhile is void."""
    shop.buy()
    until = shop.stripe.now + timedelta(days=45)
    assert shop.billing.subscriptions.pause("ann", resumes_at=until).resumes_at == until
    (request,) = shop.called("POST", SUBSCRIPTIONS)
    assert request.params["pause_collection"] == {"behavior": "void", "resumes_at": str(int(until.timestamp()))}
    shop.stripe.advance(days=40)
    assert (shop.subscription().display_state, shop.subscription().resumes_at) == ("paused", until)
    assert {each["status"] for each in shop.objects("invoice")} == {"paid", "void"}
    shop.stripe.advance(days=6)
    assert (shop.subscription().display_state, shop.subscription().resumes_at) == ("active", None)
    assert shop.billing.check("ann", "projects", 5)


def test_until_when_can_change(shop: Shop) -> None:
    """Whoever pauses again says anew until when, hooks hear of it, and `resume` leaves nothing of it."""
    heard: list[SubscriptionEvent] = []
    shop.buy()
    shop.billing.on("subscription.updated")(heard.append)
    first, second = (shop.stripe.now + timedelta(days=days) for days in (5, 9))
    for until in (first, second, None):
        assert shop.billing.subscriptions.pause("ann", resumes_at=until).resumes_at == until
    shop.billing.subscriptions.pause("ann", resumes_at=first)
    assert shop.billing.subscriptions.resume("ann").resumes_at is None
    assert [each.subscription.resumes_at for each in heard] == [first, second, None, first, None]


def test_the_end_of_a_pause_that_nobody_told_of(quiet_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at once its day has come: the news may be lost, and too old for Stripe's list of events."""
    shop = quiet_shop
    shop.buy(annual=True)
    heard: list[SubscriptionEvent] = []
    shop.billing.on("subscription.resumed")(heard.append)
    shop.billing.subscriptions.pause("ann", resumes_at=shop.stripe.now + timedelta(days=2))
    shop.billing.reconcile()
    with monkeypatch.context() as down:
        down.setattr(shop.stripe.state.outbox.targets.library, "run_jobs", lambda: None)
        shop.stripe.advance(days=40)
    assert shop.subscription().display_state == "paused"
    done = shop.billing.reconcile()
    assert (done.events, done.subscriptions) == (0, 1)
    assert (shop.subscription().display_state, shop.subscription().resumes_at) == ("active", None)
    assert [each.type for each in heard] == ["subscription.resumed"]
    assert shop.billing.check("ann", "projects", 5)
    assert shop.billing.reconcile().subscriptions == 0


def test_a_subscription_that_stands_still_is_resumed(shop: Shop) -> None:
    """One whose trial ended without a payment method has the status paused, and begins again once it is paid."""
    customer = str(shop.billing.customers.ensure("ann").stripe_id)
    params = {"customer": customer, "items[0][price]": "price_trial", "trial_period_days": "3"}
    behavior = {"trial_settings[end_behavior][missing_payment_method]": "pause"}
    shop.account.post("/v1/subscriptions", {**params, **behavior})
    shop.stripe.flush()
    shop.stripe.advance(days=4)
    assert shop.subscription().status == "paused"
    assert not shop.billing.check("ann", "projects", 5)
    shop.stripe.use_card("ann", "4242424242424242")
    shop.billing.subscriptions.resume("ann")
    shop.stripe.collect("ann")
    assert shop.subscription().status == "active"
    assert shop.billing.check("ann", "projects", 5)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"behavior": "forget"}, "behavior"),
        ({"resumes_at": "tomorrow"}, "resumes_at"),
        ({"resumes_at": datetime(2099, 1, 1)}, "resumes_at"),  # noqa: DTZ001 - on purpose
        ({"resumes_at": datetime.fromisoformat("2001-01-01T00:00:00Z")}, "resumes_at"),
    ],
)
def test_wrong_wishes_change_nothing(shop: Shop, wrong: dict[str, Any], field: str) -> None:
    """Each is refused by its name, before Stripe is asked anything."""
    shop.buy()
    with pytest.raises(InvalidInput) as refusal:
        shop.billing.subscriptions.pause("ann", **wrong)
    assert refusal.value.field == field
    assert not shop.called("POST", SUBSCRIPTIONS)


def test_what_has_ended_is_neither_paused_nor_resumed(shop: Shop) -> None:
    """Nor is what never was."""
    bought = shop.buy()
    shop.billing.subscriptions.cancel("ann", when="now")
    for operation in (shop.billing.subscriptions.pause, shop.billing.subscriptions.resume):
        with pytest.raises(Conflict) as refusal:
            operation("ann", subscription_id=bought.id)
        assert refusal.value.code == "SUBSCRIPTION_NOT_ACTIVE"
        with pytest.raises(NotFound):
            operation("ann")
        with pytest.raises(NotFound):
            operation("nobody")
