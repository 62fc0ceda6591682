"""A trial without Stripe is cancelled like any subscription: now or at its end, written down, and told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import Conflict, InvalidInput, NotFound
from kernia_billing.domain.answers import SubscriptionEvent
from tests.checkout.trials import OPTIONS, later, left, told, told_of_trials, whole
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop


def test_at_once(each_trial: Shop) -> None:
    """It gives nothing from that instant on, says so everywhere, and stays had; a second wish changes nothing."""
    shop = each_trial
    heard: list[SubscriptionEvent] = []
    shop.billing.on("trial.canceled", "trial.expired", "trial.ended")(heard.append)
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    shop.billing.track("ann", "projects", 4)
    later(shop, days=2)
    with shop.billing.acting_as("user:7"):
        ended = shop.billing.subscriptions.cancel("ann", when="now", reason="No use", feedback="unused", prorate=True)
    assert (ended.id, ended.status, ended.display_state) == (begun.id, "canceled", "canceled")
    assert ended.canceled_at == ended.ended_at == shop.stripe.now
    assert (ended.cancel_at_period_end, ended.cancel_reason) == (False, "cancellation_requested")
    assert (ended.cancel_feedback, shop.subscription()) == ("unused", ended)
    assert (left(shop), left(shop, "projects")) == (10, 0)
    for when in ("now", "period_end"):
        assert shop.billing.subscriptions.cancel("ann", when=when) == ended
    (event,) = heard
    assert (event.type, event.subscription, event.previous) == ("trial.canceled", ended, begun)
    cancelled, started = shop.billing.subscriptions.history("ann").items
    assert (cancelled.subscription_id, cancelled.actor, cancelled.cause) == (begun.id, "user:7", "cancel")
    assert (cancelled.from_status, cancelled.to_status, cancelled.effective_at) == (
        "trialing",
        "canceled",
        shop.stripe.now,
    )
    assert started.to_status == "trialing"
    assert not shop.stripe.requests
    with pytest.raises(Conflict) as had:
        shop.billing.subscriptions.start_trial("ann", "one")
    assert had.value.code == "TRIAL_ALREADY_USED"
    later(shop, days=20)
    assert shop.billing.jobs.run()["trials"] == 0
    assert told(shop) == ["trial.started", "trial.canceled"]
    assert "No use" not in str(shop.rows())
    whole(shop)


def test_at_its_end(each_trial: Shop) -> None:
    """It runs on as it was, is shown as one that ends, and then expires."""
    shop = each_trial
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    later(shop, days=2)
    pending = shop.billing.subscriptions.cancel("ann", feedback="other")
    assert (pending.status, pending.display_state, pending.cancel_at_period_end) == ("trialing", "cancel_pending", True)
    assert (pending.cancel_at, pending.canceled_at, pending.ended_at) == (begun.trial_end, shop.stripe.now, None)
    later(shop, days=1)
    assert shop.billing.subscriptions.cancel("ann", subscription_id=begun.id) == pending
    assert left(shop) == 20
    later(shop, days=11)
    assert left(shop) == 10
    shop.billing.jobs.run()
    ended = shop.subscription()
    assert (ended.status, ended.ended_at, ended.canceled_at) == ("canceled", begun.trial_end, pending.canceled_at)
    assert told(shop) == ["trial.started", "trial.cancel_scheduled", "trial.expired"]
    assert shop.billing.subscriptions.history("ann").items[0].to_status == "canceled"
    whole(shop)


def test_taken_back_and_wished_again(open_shop: Open) -> None:
    """Until it ends the cancellation can be taken back, and it can be cancelled at once after all."""
    shop = open_shop(**OPTIONS)
    begun = shop.billing.subscriptions.start_trial("ann", "one")

    def refused() -> str:
        with pytest.raises(Conflict) as refusal:
            shop.billing.subscriptions.restore("ann", subscription_id=begun.id)
        return str(refusal.value.code)

    assert refused() == "SUBSCRIPTION_NOT_PENDING_CHANGE"
    shop.billing.subscriptions.cancel("ann", feedback="unused")
    assert shop.billing.subscriptions.restore("ann") == begun
    shop.billing.subscriptions.cancel("ann", feedback="unused")
    later(shop, days=1)
    ended = shop.billing.subscriptions.cancel("ann", when="now")
    assert (ended.ended_at, ended.canceled_at, ended.cancel_feedback) == (shop.stripe.now, shop.stripe.now, "unused")
    assert refused() == "SUBSCRIPTION_NOT_ACTIVE"
    scheduled = "trial.cancel_scheduled"
    assert told(shop) == ["trial.started", scheduled, "trial.restored", scheduled, "trial.canceled"]
    whole(shop)


def test_which_one_is_meant(open_shop: Open) -> None:
    """Ours by its id, what counts without one, and never somebody else's."""
    shop = open_shop(**OPTIONS)
    shop.stripe.pay(shop.upgrade("ann", "side", skip_trial=True))
    bought = shop.billing.subscriptions.get("ann", group="sides")
    assert bought is not None
    tried = shop.billing.subscriptions.start_trial("ann", "one")
    other = shop.billing.subscriptions.start_trial("bob", "one")
    with pytest.raises(NotFound):
        shop.billing.subscriptions.cancel("ann", subscription_id=other.id)
    assert shop.billing.subscriptions.cancel("ann", subscription_id=tried.id, when="now").id == tried.id
    assert shop.billing.subscriptions.cancel("ann").id == bought.id
    assert shop.subscription("bob") == other


def test_it_is_told_once_whoever_cancels(open_shop: Open) -> None:
    """Two processes that cancel after each other, or after its end, end one trial."""
    shop = open_shop(**OPTIONS)
    second = shop.open(**OPTIONS)
    heard: list[Any] = []
    for billing in (shop.billing, second):
        billing.on("trial.canceled")(heard.append)
    shop.billing.subscriptions.start_trial("ann", "one")
    assert shop.billing.subscriptions.cancel("ann", when="now") == second.subscriptions.cancel("ann", when="now")
    shop.billing.subscriptions.start_trial("bob", "one")
    later(shop, days=15)
    assert second.subscriptions.cancel("bob", when="now").canceled_at is None
    shop.billing.jobs.run()
    assert len(heard) == 1
    assert told_of_trials(shop) == ["trial.started", "trial.canceled", "trial.started", "trial.expired"]


def test_wrong_wishes_change_nothing(open_shop: Open) -> None:
    """They are refused as for any subscription."""
    shop = open_shop(**OPTIONS)
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    wishes: list[dict[str, Any]] = [{"when": "later"}, {"feedback": "bored"}, {"prorate": True}, {"reason": ""}]
    for wrong in wishes:
        with pytest.raises(InvalidInput):
            shop.billing.subscriptions.cancel("ann", **wrong)
    assert shop.subscription() == begun
    assert begun.trial_end == shop.stripe.now + timedelta(days=14)
