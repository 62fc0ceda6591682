"""With `trial_when_bought="continue"` a trial without Stripe goes on at Stripe once its plan is bought."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.checkout.trials import OPTIONS, later, left, told, told_of_trials, whole
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop, opened

GOES_ON: dict[str, Any] = {**OPTIONS, "trial_when_bought": "continue"}
SESSIONS = "/v1/checkout/sessions"


@pytest.fixture
def each_continued(engine_url: str) -> Iterator[Shop]:
    """An application on each database, in which trials go on."""
    with opened(Shop(engine_url, options=GOES_ON)) as shop:
        yield shop


def asked(shop: Shop) -> tuple[bool, bool]:
    """Whether the last page that was opened has the end of a trial, and whether it has days of one."""
    data = shop.called("POST", SESSIONS)[-1].params["subscription_data"]
    return "trial_end" in data, "trial_period_days" in data


@pytest.mark.parametrize(("plan", "included", "whole_plan"), [("one", 20, 100), ("two", 1_000, 1_000)])
def test_it_is_paid_for_when_it_ends(each_continued: Shop, plan: str, included: int, whole_plan: int) -> None:
    """The promised end is kept to the second, what was used stays used until then, and hooks hear of one trial."""
    shop = each_continued
    begun = shop.billing.subscriptions.start_trial("ann", plan, days=14)
    shop.billing.track("ann", "messages", 15)
    shop.billing.track("ann", "projects", 4)
    later(shop, days=2)
    bought = shop.buy("ann", plan)
    assert asked(shop) == (True, False)
    assert (bought.status, bought.trial_end, bought.plan) == ("trialing", begun.trial_end, plan)
    assert left(shop) == included - 15
    assert left(shop, "projects") == {"one": 5, "two": 9}[plan] - 4
    assert told_of_trials(shop) == ["trial.started"]
    tried = next(each for each in shop.billing.subscriptions.list("ann") if each.id == begun.id)
    assert (tried.status, tried.ended_at) == ("canceled", shop.stripe.now)
    assert shop.billing.sync.reference("ann").ok
    assert left(shop) == included - 15
    shop.stripe.advance(days=12, hours=2)
    paid = shop.subscription()
    assert (paid.id, paid.status) == (bought.id, "active")
    assert left(shop) == whole_plan
    assert told_of_trials(shop) == ["trial.started", "trial.will_end", "trial.ended"]
    assert len([each for each in shop.objects("subscription") if each["status"] != "canceled"]) == 1
    whole(shop)


@pytest.mark.parametrize(
    ("order", "after"),
    [
        ({"plan": "two"}, timedelta(days=1)),
        ({"plan": "one", "skip_trial": True}, timedelta(days=1)),
        ({"plan": "one", "trial_days": 0}, timedelta(days=1)),
        ({"plan": "one"}, timedelta(days=12, hours=1)),
        ({"plan": "one"}, timedelta(days=15)),
    ],
)
def test_when_it_does_not_go_on(open_shop: Open, order: dict[str, Any], after: timedelta) -> None:
    """Another plan, an order without a trial, and less than Stripe takes: what is paid for begins at once."""
    shop = open_shop(**GOES_ON)
    shop.billing.subscriptions.start_trial("ann", "one")
    shop.billing.track("ann", "messages", 15)
    later(shop, seconds=after.total_seconds())
    bought = shop.buy("ann", **order)
    assert asked(shop) == (False, False)
    assert bought.status == "active"
    assert left(shop) == {"one": 100, "two": 1_000}[order["plan"]]
    whole(shop)


def test_the_end_is_told_of_once(open_shop: Open) -> None:
    """Who buys after the notice that the trial is about to end hears of that end no second time."""
    shop = open_shop(**GOES_ON)
    shop.billing.subscriptions.start_trial("ann", "one")
    later(shop, days=11, hours=1)
    shop.billing.jobs.run()
    assert told_of_trials(shop) == ["trial.started", "trial.will_end"]
    assert shop.buy("ann", "one").status == "trialing"
    shop.stripe.advance(hours=1)
    assert shop.billing.sync.reference("ann").ok
    shop.stripe.advance(days=3)
    assert told_of_trials(shop) == ["trial.started", "trial.will_end", "trial.ended"]


def test_there_is_no_second_trial(open_shop: Open) -> None:
    """Neither on another page, nor after what was bought was cancelled; the trial does not come back."""
    shop = open_shop(**GOES_ON)
    shop.billing.subscriptions.start_trial("ann", "one")
    later(shop, days=1)
    bought = shop.buy("ann", "one", trial_days=30)
    assert asked(shop) == (True, False)
    shop.billing.subscriptions.cancel("ann", when="now")
    assert (shop.subscription().id, left(shop)) == (bought.id, 10)
    assert shop.buy("ann", "one").status == "active"
    assert asked(shop) == (False, False)
    assert told_of_trials(shop) == ["trial.started", "trial.canceled"]
    whole(shop)


def test_the_rest_comes_before_a_trial_of_its_own(open_shop: Open) -> None:
    """Where any number of trials may be had, who is in one has the rest of it."""
    shop = open_shop(**GOES_ON, trial_once_per=[])
    begun = shop.billing.subscriptions.start_trial("ann", "one", days=5)
    assert shop.buy("ann", "one").trial_end == begun.trial_end
    assert told(shop).count("trial.started") == 1


def test_a_page_follows_the_trial(open_shop: Open) -> None:
    """The same page while the trial runs, another once it was cancelled; unpaid it ends nothing."""
    shop = open_shop(**GOES_ON)
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    first = shop.upgrade("ann", "one")
    later(shop, hours=5)
    assert shop.upgrade("ann", "one") == first
    assert (shop.subscription().id, shop.subscription().status) == (begun.id, "trialing")
    shop.billing.subscriptions.cancel("ann", when="now")
    second = shop.upgrade("ann", "one")
    assert second.session_id != first.session_id
    assert asked(shop) == (False, False)
    shop.stripe.pay(second)
    assert (shop.subscription().status, left(shop)) == ("active", 100)


def test_who_wants_no_more_may_still_buy(open_shop: Open) -> None:
    """A trial that was cancelled at its end goes on for who buys after all, and nothing ends then."""
    shop = open_shop(**GOES_ON)
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    shop.billing.subscriptions.cancel("ann", feedback="unused")
    bought = shop.buy("ann", "one")
    assert (bought.display_state, bought.trial_end) == ("trialing", begun.trial_end)
    tried = next(each for each in shop.billing.subscriptions.list("ann") if each.id == begun.id)
    assert (tried.cancel_reason, tried.canceled_at) == (None, None)
