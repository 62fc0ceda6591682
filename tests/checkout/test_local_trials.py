"""Trials without Stripe and without a card: begun by the host, ended by time or by a purchase, told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import AlreadySubscribed, Billing, BillingError, Conflict, Identity, InvalidInput, NotFound
from kernia_billing.types import Event
from tests.checkout.trials import OPTIONS, PLANS, later, left, told, told_of_trials, whole
from tests.harness.house import new_engine
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.shop import ORIGIN, Shop, hurry

OpenShop = Callable[..., Shop]


def test_a_trial_without_stripe(each_trial: Shop) -> None:
    """It gives the plan with its amounts of a trial, is seen everywhere, asks Stripe nothing, and time ends it."""
    shop = each_trial
    assert left(shop) == 10
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    assert (begun.status, begun.display_state, begun.stripe_id, begun.plan) == ("trialing", "trialing", None, "one")
    assert begun.trial_end == shop.stripe.now + timedelta(days=14)
    assert shop.billing.subscriptions.get("ann") == begun
    assert list(shop.billing.subscriptions.list("ann")) == [begun]
    customer = shop.billing.customers.get("ann")
    assert customer is not None
    assert (customer.plan, customer.subscription, customer.stripe_id) == ("one", begun, None)
    assert shop.billing.subscriptions.has_trialed("ann", "one")
    assert not shop.stripe.requests
    shop.billing.track("ann", "messages", 15)
    shop.billing.track("ann", "projects", 4)
    assert (left(shop), left(shop, "projects")) == (5, 1)
    assert any(each.source == "trial" for each in shop.billing.explain("ann", "messages").grants)
    later(shop, days=14, seconds=-1)
    assert shop.billing.check("ann", "messages", 5).allowed
    later(shop, seconds=1)
    assert not shop.billing.check("ann", "projects").allowed, "what exists goes on existing, beyond the free plan"
    ended = shop.subscription()
    assert (ended.status, ended.ended_at) == ("canceled", begun.trial_end)
    assert shop.billing.customers.get("ann").plan == "free"  # type: ignore[union-attr]  # the trial made it
    before = left(shop), left(shop, "projects")
    assert shop.billing.jobs.run()["trials"] == 1
    assert (left(shop), left(shop, "projects")) == before
    assert shop.subscription() == ended
    assert told(shop) == ["trial.started", "trial.expired"]
    assert shop.billing.jobs.run()["trials"] == 0
    whole(shop)


def test_the_end_is_told_of_three_days_before(open_shop: OpenShop) -> None:
    """Once, by a job, with the days that are left; at once where a trial is shorter."""
    shop = open_shop(**OPTIONS)
    heard: list[Event] = []
    shop.billing.on()(heard.append)
    shop.billing.subscriptions.start_trial("ann", "one")
    assert [each.type for each in heard] == ["trial.started"]
    later(shop, days=11)
    assert [shop.billing.jobs.run()["trials"] for _ in range(2)] == [1, 0]
    shop.billing.subscriptions.start_trial("bob", "one", days=2)
    later(shop, days=3)
    assert [shop.billing.jobs.run()["trials"] for _ in range(2)] == [2, 0]
    kinds = ["trial.started", "trial.will_end", "trial.started", "trial.will_end", "trial.expired", "trial.expired"]
    assert told(shop) == kinds
    history = shop.billing.subscriptions.history("ann").items
    assert [each.kind for each in history] == ["changed", "trial_will_end", "changed"]


def test_asking_again(open_shop: OpenShop) -> None:
    """The same call gives the trial that runs, unchanged; after its end it is had."""
    shop = open_shop(**OPTIONS)
    begun = shop.billing.subscriptions.start_trial("ann", "one", days=5)
    shop.billing.track("ann", "messages", 3)
    later(shop, days=1)
    assert shop.billing.subscriptions.start_trial("ann", "one") == begun
    assert left(shop) == 17
    with pytest.raises(Conflict) as other:
        shop.billing.subscriptions.start_trial("ann", "two", days=5)
    assert other.value.code == "SUBSCRIPTION_EXISTS"
    with pytest.raises(Conflict) as second:
        shop.billing.subscriptions.start_trial("ann", "side")
    assert second.value.code == "TRIAL_ALREADY_USED"
    later(shop, days=4)
    for plan in ("one", "two"):
        with pytest.raises(Conflict) as had:
            shop.billing.subscriptions.start_trial("ann", plan, days=5)
        assert had.value.code == "TRIAL_ALREADY_USED"
    assert told(shop) == ["trial.started"]
    whole(shop)


def test_what_is_refused(open_shop: OpenShop) -> None:
    """Unknown plans, wrong lengths, and who has a plan of the group; nothing of it is written."""
    shop = open_shop(**OPTIONS)
    with pytest.raises(NotFound):
        shop.billing.subscriptions.start_trial("ann", "nothing")
    for wrong in (0, -1, 731, 1.5, True, "7"):
        with pytest.raises(InvalidInput):
            shop.billing.subscriptions.start_trial("ann", "one", days=wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InvalidInput):
        shop.billing.subscriptions.start_trial("ann", "two")
    assert shop.billing.customers.get("ann") is None
    shop.buy("ann", "two")
    with pytest.raises(AlreadySubscribed):
        shop.billing.subscriptions.start_trial("ann", "two", days=3)
    with pytest.raises(Conflict) as other:
        shop.billing.subscriptions.start_trial("ann", "one")
    assert other.value.code == "SUBSCRIPTION_EXISTS"
    assert shop.billing.subscriptions.start_trial("ann", "side").group == "sides"
    assert (left(shop), left(shop, "exports")) == (1_000, 7)


def test_a_page_and_a_trial_share_the_claims(open_shop: OpenShop) -> None:
    """An open page that gives a trial holds it until it expires; after a trial here, none is given at Stripe."""
    shop = open_shop(**OPTIONS)
    page = shop.upgrade("ann", "one")
    with pytest.raises(Conflict) as held:
        shop.billing.subscriptions.start_trial("ann", "one")
    assert held.value.code == "TRIAL_ALREADY_USED"
    assert left(shop) == 10
    shop.stripe.expire(page)
    shop.billing.subscriptions.start_trial("ann", "one")
    shop.upgrade("ann", "one")
    opened = shop.called("POST", "/v1/checkout/sessions")
    assert ["trial_period_days" in each.params["subscription_data"] for each in opened] == [True, False]


@pytest.mark.parametrize("plan", ["one", "two"])
def test_a_purchase_ends_it_at_once(each_trial: Shop, plan: str) -> None:
    """What is paid for begins anew, what exists goes on, nothing is there twice, and it does not come back."""
    shop = each_trial
    begun = shop.billing.subscriptions.start_trial("ann", "one")
    shop.billing.track("ann", "messages", 15)
    shop.billing.track("ann", "projects", 4)
    later(shop, days=2)
    bought = shop.buy("ann", plan)
    assert bought.status == "active"
    assert shop.subscription().stripe_id == bought.stripe_id
    included = {"one": (100, 5), "two": (1_000, 9)}[plan]
    assert (left(shop), left(shop, "projects")) == (included[0], included[1] - 4)
    tried = next(each for each in shop.billing.subscriptions.list("ann") if each.id == begun.id)
    assert (tried.status, tried.ended_at) == ("canceled", shop.stripe.now)
    own = told_of_trials(shop)
    assert own == ["trial.started", "trial.ended"]
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")
    shop.stripe.flush()
    assert left(shop, "projects") == 0
    assert shop.subscription().stripe_id == bought.stripe_id
    later(shop, days=20)
    assert shop.billing.jobs.run()["trials"] == 0
    assert told_of_trials(shop) == own
    whole(shop)


def test_a_page_that_is_not_paid_ends_nothing(open_shop: OpenShop) -> None:
    """Nor does a plan of another group."""
    shop = open_shop(**OPTIONS)
    shop.billing.subscriptions.start_trial("ann", "one")
    shop.stripe.expire(shop.upgrade("ann", "two"))
    shop.buy("ann", "side")
    assert (left(shop), left(shop, "exports")) == (20, 7)
    assert shop.subscription().stripe_id is None
    assert shop.billing.reconcile().status == "done"
    assert left(shop) == 20
    whole(shop)


def test_a_purchase_after_its_end(open_shop: OpenShop) -> None:
    """Time ended it, so that it expired, whoever writes it down."""
    shop = open_shop(**OPTIONS)
    shop.billing.subscriptions.start_trial("ann", "one", days=4)
    later(shop, days=5)
    shop.buy("ann", "two")
    assert shop.billing.jobs.run()["trials"] == 1
    assert told_of_trials(shop) == ["trial.started", "trial.expired"]
    assert left(shop) == 1_000
    whole(shop)


def test_without_a_policy_it_can_be_had_again(open_shop: OpenShop) -> None:
    """Each is a trial of its own."""
    shop = open_shop(**OPTIONS, trial_once_per=[])
    first = shop.billing.subscriptions.start_trial("ann", "one", days=1)
    shop.billing.track("ann", "messages", 15)
    later(shop, days=1)
    second = shop.billing.subscriptions.start_trial("ann", "one", days=1)
    assert first.id != second.id
    assert [each.id for each in shop.billing.subscriptions.list("ann")] == [first.id, second.id]
    whole(shop)


# ── Races ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PROCESSES = 8


def _starting(url: str, reference: str, plan: str) -> Callable[[RemoteStripe], str]:
    def work(stripe: RemoteStripe) -> str:
        options: dict[str, Any] = {**OPTIONS, "trial_once_per": ["reference", "email"]}
        with Billing(database=url, stripe_client=stripe, base_url=ORIGIN, **options) as billing:
            hurry(billing)
            person = Identity("ann", email="ann@shop.example", email_verified=True)
            stripe.ready()
            try:
                return billing.subscriptions.start_trial(reference, plan, identity=person).id
            except BillingError as refused:
                return str(refused.code)

    return work


@pytest.mark.parametrize("teams", [1, 4])
def test_eight_processes_begin_one_trial(engine_url: str, teams: int) -> None:
    """The same call of all gives one trial to each; references of one person at the same instant: one has it."""
    new_engine(engine_url).dispose()
    shop = Shop(engine_url, options=OPTIONS)
    shop.billing.jobs.run()
    shop.close()
    orders = [f"team{number % teams}" for number in range(PROCESSES)]
    answers = together(shop.stripe, [_starting(engine_url, each, "one") for each in orders])
    begun = set(answers) - {"TRIAL_ALREADY_USED"}
    assert len(begun) == 1
    assert sum(each in begun for each in answers) == PROCESSES // teams
    after = Shop(engine_url, options=OPTIONS)
    try:
        rows = after.rows()
        assert [row["id"] for row in rows["local_trial"]] == list(begun)
        assert [row["topic"] for row in rows["outbox"]] == ["trial.started"]
        assert len([row for row in rows["entitlement"] if row["source_type"] == "plan"]) == 2
    finally:
        after.close()


def test_it_needs_no_stripe(sqlite_url: str) -> None:
    """Billing without a key of Stripe's starts trials too, and its jobs look after them."""
    with Billing(database=sqlite_url, plans=PLANS) as billing:
        assert billing.subscriptions.start_trial("ann", "side").status == "trialing"
        assert billing.check("ann", "exports", 7).allowed
        assert billing.jobs.run()["trials"] == 0
