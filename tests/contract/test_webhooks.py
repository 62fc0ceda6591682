"""Scenarios of `POST /stripe/webhook`: what each event changes, what hooks hear, and what does not happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field

from kernia_billing import ConfigError, Plan, Quantity
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.integrations.sites import Answer
from tests.simulator.shop import Shop as Account

HOOKS = (
    "on_subscription_complete",
    "on_subscription_created",
    "on_subscription_update",
    "on_subscription_cancel",
    "on_subscription_deleted",
)
SUBSCRIPTIONS = "/v1/subscriptions/"
BAD_CARD = "4000000000000341"
TRIAL = Plan("tried", price_id="price_tried", trial_days=14, features={"projects": Quantity(1)})
KEYED = (*PLANS, TRIAL)


@define
class Heard:
    """What each hook was told, in order."""

    told: dict[str, list[Any]] = field(factory=lambda: {name: [] for name in HOOKS})
    events: list[Any] = field(factory=list[Any])

    @property
    def options(self) -> dict[str, Callable[[Any], None]]:
        """The options of a shop that is listened to."""
        return {**{name: told.append for name, told in self.told.items()}, "on_event": self.events.append}

    def __getitem__(self, name: str) -> list[Any]:
        return self.told[f"on_subscription_{name}"]

    def types(self, *prefixes: str) -> list[str]:
        """The types of what was told, of these kinds."""
        return [each.type for each in self.events if each.type.startswith(prefixes)]


@pytest.fixture
def heard() -> Heard:
    """What hooks are told."""
    return Heard()


@pytest.fixture
def quiet(open_shop: OpenShop, heard: Heard) -> Shop:
    """A shop to which every event is delivered by hand."""
    return open_shop(deliver="manual", plans=KEYED, **heard.options)


@pytest.fixture
def loud(open_shop: OpenShop, heard: Heard) -> Shop:
    """A shop whose hooks are listened to."""
    return open_shop(plans=KEYED, **heard.options)


def account(shop: Shop) -> Account:
    """Stripe's Dashboard, as it were."""
    return Account(shop.stripe)


def change(shop: Shop, subscription: Any, **params: object) -> None:
    """Change a subscription in the Dashboard, and let the news arrive."""
    account(shop).post(SUBSCRIPTIONS + subscription.stripe_id, params)
    shop.stripe.flush()


def end(shop: Shop, subscription: Any) -> None:
    """Cancel a subscription at once in the Dashboard, and let the news arrive."""
    account(shop).delete(SUBSCRIPTIONS + subscription.stripe_id)
    shop.stripe.flush()


def now(shop: Shop, reference: str = "ann") -> Any:
    """The subscription of a reference."""
    return shop.billing.subscriptions.get(reference)


def customer(shop: Shop, reference: str = "ann") -> str:
    """A customer that Stripe knows, and that has bought nothing."""
    return str(shop.billing.customers.ensure(reference).stripe_id)


def sold(shop: Shop, price: str = "price_pro", reference: str = "ann", **more: Any) -> dict[str, Any]:
    """A subscription that was made in the Dashboard."""
    params = {"customer": customer(shop, reference), "items[0][price]": price, **more}
    method = account(shop).post("/v1/payment_methods/pm_card_visa/attach", {"customer": params["customer"]})
    params["default_payment_method"] = method["id"]
    made: dict[str, Any] = account(shop).post("/v1/subscriptions", params)
    return made


def event(shop: Shop, type: str, number: int = -1) -> dict[str, Any]:
    """An event of a type that Stripe has made, the newest by default."""
    return dict([each for each in shop.stripe.events if each["type"] == type][number])


def deliver(shop: Shop, *events: dict[str, Any]) -> list[Answer]:
    """Deliver these events over HTTP, in this order."""
    return [shop.webhook(each) for each in events]


CREATED, UPDATED, DELETED = (f"customer.subscription.{verb}" for verb in ("created", "updated", "deleted"))
COMPLETED = "checkout.session.completed"


# ── What events change ────────────────────────────────────────────────────────────────────────────────────────────────


@scenario(130, 150)
def test_completed_activates_what_was_bought(quiet: Shop) -> None:
    """The event is answered with 200, and the subscription is there with its plan and period."""
    quiet.stripe.pay(quiet.upgrade().json["url"])
    assert now(quiet) is None
    (answer,) = deliver(quiet, event(quiet, COMPLETED))
    assert (answer.status, answer.json) == (200, {"received": True})
    bought = now(quiet)
    assert (bought.plan, bought.status) == ("pro", "active")
    assert bought.period_start < bought.period_end


@scenario(131)
def test_completed_with_a_trial_keeps_its_dates(quiet: Shop, heard: Heard) -> None:
    """The trial's beginning and end are there, and hooks hear that it began."""
    quiet.stripe.pay(quiet.upgrade("tried").json["url"])
    deliver(quiet, event(quiet, COMPLETED))
    bought = now(quiet)
    assert (bought.status, (bought.trial_end - bought.trial_start).days) == ("trialing", 14)
    assert heard.types("trial.") == ["trial.started"]


@scenario(132, 155)
def test_deleted_ends_it(loud: Shop) -> None:
    """A subscription that is cancelled at once is canceled, with when it ended."""
    bought = loud.subscribe()
    loud.stripe.advance(days=3)
    end(loud, bought)
    ended = now(loud)
    assert (ended.status, ended.ended_at) == ("canceled", loud.stripe.now)
    assert loud.rows() == []


@scenario(133)
def test_one_made_in_the_dashboard(loud: Shop, heard: Heard) -> None:
    """A known customer's new subscription has its reference, plan, seats and interval, and the hook hears of it."""
    made = sold(loud, **{"items[0][quantity]": "3"})
    loud.stripe.flush()
    bought = now(loud)
    assert (bought.stripe_id, bought.reference.id, bought.plan) == (made["id"], "ann", "pro")
    assert (bought.interval, bought.status) == ("month", "active")
    assert [each.subscription.id for each in heard["created"]] == [bought.id]
    assert not heard["complete"]


@scenario(134)
def test_the_interval_follows_the_price(loud: Shop) -> None:
    """An annual price makes it a year."""
    sold(loud, "price_pro_y")
    loud.stripe.flush()
    assert now(loud).interval == "year"


@scenario(135, 138)
def test_created_for_what_is_there_makes_nothing(quiet: Shop, heard: Heard) -> None:
    """After its checkout was completed, and for one that a checkout promised, there is one row and one callback."""
    quiet.stripe.pay(quiet.upgrade().json["url"])
    deliver(quiet, event(quiet, COMPLETED), event(quiet, CREATED))
    assert len(quiet.billing.subscriptions.list("ann")) == len(heard["created"]) == 1
    quiet.stripe.pay(quiet.upgrade(by="bob").json["url"])
    deliver(quiet, event(quiet, CREATED), event(quiet, COMPLETED))
    assert len(quiet.billing.subscriptions.list("bob")) == 1
    assert len(heard["created"]) == len(heard["complete"]) == 2


@scenario(136)
def test_created_for_a_stranger(quiet: Shop, heard: Heard) -> None:
    """A customer that nobody here knows changes nothing and calls no hook; the event is answered and kept."""
    stranger = account(quiet).post("/v1/customers", {"email": "x@shop.example"})["id"]
    method = account(quiet).post("/v1/payment_methods/pm_card_visa/attach", {"customer": stranger})["id"]
    quiet.stripe.ensure_price("price_pro")
    items = {"items[0][price]": "price_pro", "default_payment_method": method}
    account(quiet).post("/v1/subscriptions", {"customer": stranger, **items})
    (answer,) = deliver(quiet, event(quiet, CREATED))
    assert answer.status == 200
    assert not any(heard.told.values())
    assert quiet.billing.webhooks.health().unmatched == 1


@scenario(137)
def test_created_for_a_price_that_no_plan_sells(loud: Shop, heard: Heard) -> None:
    """It is mirrored without a plan, which gives nothing and tells that no plan was found."""
    loud.stripe.ensure_price("price_other")
    sold(loud, "price_other")
    loud.stripe.flush()
    assert (now(loud).plan, now(loud).status) == (None, "active")
    assert [each.subscription.plan for each in heard["created"]] == [None]
    assert not loud.billing.check("ann", "projects")


@scenario(143, 144, 145)
def test_the_schedule_of_a_subscription_is_followed(loud: Shop) -> None:
    """Its id is stored when one is attached, and gone when it is released and when the subscription ends."""
    bought = loud.subscribe()
    made = account(loud).post("/v1/subscription_schedules", {"from_subscription": bought.stripe_id})
    loud.stripe.flush()
    stored = loud.rows()[0]
    account(loud).post(f"/v1/subscription_schedules/{made['id']}/release")
    loud.stripe.flush()
    released = loud.rows()[0]
    assert released["stripeScheduleId"] is None
    assert stored["stripeScheduleId"] == made["id"]
    end(loud, bought)
    (ended,) = loud.rows(status="all")
    assert (ended["status"], ended["stripeScheduleId"]) == ("canceled", None)


@scenario(153, 156)
def test_a_cancellation_at_the_end_of_the_period(loud: Shop) -> None:
    """Asked for in the portal: the flag and when it was asked for, then the real end, and not when it was asked."""
    bought = loud.subscribe()
    loud.stripe.advance(days=2)
    asked = loud.stripe.now
    page = loud.post("/subscription/cancel", {"returnUrl": "/"}).json["url"]
    loud.stripe.portal(page, "cancel")
    pending = now(loud)
    assert (pending.status, pending.cancel_at_period_end, pending.ended_at) == ("active", True, None)
    assert pending.canceled_at == asked
    loud.stripe.advance(months=1)
    ended = now(loud)
    assert (ended.status, ended.cancel_at_period_end) == ("canceled", True)
    assert ended.ended_at == bought.period_end != asked


@scenario(154)
def test_a_cancellation_at_a_date(loud: Shop) -> None:
    """The date is exact, and it is not the end of the period."""
    bought = loud.subscribe()
    at = int(bought.period_end.timestamp()) - 86_400
    change(loud, bought, cancel_at=str(at))
    pending = now(loud)
    assert (pending.cancel_at_period_end, int(pending.cancel_at.timestamp())) == (False, at)
    assert pending.display_state == "cancel_pending"


@scenario(157)
def test_a_signed_event_makes_a_row_that_is_listed(quiet: Shop) -> None:
    """From the bytes over HTTP to the list of the client."""
    sold(quiet)
    assert quiet.rows() == []
    assert deliver(quiet, event(quiet, CREATED))[0].status == 200
    assert [(row["plan"], row["status"]) for row in quiet.rows()] == [("pro", "active")]


# ── Hooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@scenario(139, 140, 141, 142)
def test_the_callbacks_of_a_life(loud: Shop, heard: Heard) -> None:
    """Each is called once with the row after the change, the row before it, the plan and Stripe's own object."""
    bought = loud.subscribe()
    change(loud, bought, cancel_at_period_end="true")
    end(loud, bought)
    assert [len(heard[name]) for name in ("complete", "created", "update", "cancel", "deleted")] == [1, 1, 2, 1, 1]
    for name in ("complete", "created", "update", "cancel", "deleted"):
        told = heard[name][0]
        assert (told.subscription.id, told.subscription.plan, told.reference.id) == (bought.id, "pro", "ann")
        assert told.stripe_object["id"] == bought.stripe_id
    cancelled = heard["cancel"][0]
    assert (cancelled.previous.cancel_at_period_end, cancelled.subscription.cancel_at_period_end) == (False, True)
    assert cancelled.stripe_object["cancel_at_period_end"] is True
    assert cancelled.subscription.cancel_reason == "cancellation_requested"
    assert heard["deleted"][0].previous.status == "active"


@scenario(140)
def test_the_update_hook_has_the_new_seats(open_shop: OpenShop, heard: Heard) -> None:
    """What the hook is told is the row after the update."""
    team = Plan("team", price_id="price_team", seats=True)
    shop = open_shop(plans=(*PLANS, team), **heard.options)
    bought = shop.subscribe("team", seats=2)
    (item,) = account(shop).get(SUBSCRIPTIONS + bought.stripe_id)["items"]["data"]
    change(shop, bought, **{"items[0][id]": item["id"], "items[0][quantity]": "5"})
    assert [(each.previous.seats, each.subscription.seats) for each in heard["update"]] == [(2, 5)]


@scenario(123)
def test_a_trial_that_becomes_paid(loud: Shop, heard: Heard) -> None:
    """The end of the trial is announced once with the days that are left, and told when it has become paid."""
    loud.subscribe("tried")
    loud.stripe.advance(days=12)
    loud.stripe.advance(days=3)
    assert now(loud).status == "active"
    assert heard.types("trial.") == ["trial.started", "trial.will_end", "trial.ended"]
    announced, ended = (each for each in heard.events if each.type in ("trial.will_end", "trial.ended"))
    assert (announced.data, ended.data) == ({"days_left": 3}, {"converted": True})
    assert (ended.previous.status, ended.subscription.status) == ("trialing", "active")
    kinds = [each.kind for each in loud.billing.subscriptions.history("ann").items]
    assert kinds.count("trial_will_end") == 1


@scenario(271)
def test_a_cancellation_during_a_trial(loud: Shop, heard: Heard) -> None:
    """The cancel hook hears of it; when the trial then ends unpaid, that is told as expired."""
    bought = loud.subscribe("tried")
    change(loud, bought, cancel_at_period_end="true")
    assert [each.subscription.status for each in heard["cancel"]] == ["trialing"]
    loud.stripe.advance(days=15)
    assert now(loud).status == "canceled"
    assert heard.types("trial.")[-1] == "trial.expired"


@scenario(272)
@pytest.mark.parametrize("behavior", ["cancel", "pause"])
def test_a_trial_without_a_payment_method(quiet: Shop, heard: Heard, behavior: str) -> None:
    """Canceled or paused at its end, it is told as expired, once."""
    items = {"items[0][price]": "price_tried", "trial_period_days": "5"}
    settings = {"trial_settings[end_behavior][missing_payment_method]": behavior}
    account(quiet).post("/v1/subscriptions", {"customer": customer(quiet), **items, **settings})
    for days in (3, 3):
        quiet.stripe.deliver()
        quiet.stripe.advance(days=days)
    quiet.stripe.deliver()
    assert now(quiet).status == ("canceled" if behavior == "cancel" else "paused")
    assert heard.types("trial.") == ["trial.started", "trial.will_end", "trial.expired"]
    assert not quiet.billing.check("ann", "projects")


# ── What is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


@scenario(146, 147, 148, 254)
@pytest.mark.parametrize("case", ["no header", "empty body", "wrong", "other secret", "stale", "future"])
def test_what_stripe_did_not_sign_now(quiet: Shop, case: str) -> None:
    """400 with one code for everything, and nothing is stored."""
    import json

    made = sold(quiet)
    body = json.dumps(event(quiet, CREATED)).encode()
    from datetime import timedelta

    moments = {"stale": -timedelta(seconds=301), "future": timedelta(seconds=301)}
    signature: str | None = quiet.stripe.sign(body, quiet.stripe.now + moments.get(case, timedelta()))
    if case == "other secret":
        signature = quiet.stripe.sign(body, secret="whsec_other")
    if case == "wrong":
        signature = "t=1,v1=00"
    headers = {} if case == "no header" else {"stripe-signature": str(signature)}
    sent = b"" if case == "empty body" else body
    answer = quiet.ask("POST", "/stripe/webhook", sent, by=None, origin=None, headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "INVALID_SIGNATURE")
    assert quiet.rows() == []
    assert sum(quiet.billing.webhooks.health().counts.values()) == 0
    assert made["id"]


@scenario(151, 152)
def test_the_signature_is_verified_over_the_bytes(quiet: Shop) -> None:
    """The body is verified as it came: one space more is another body, and a signed one with spaces is fine."""
    import json

    sold(quiet)
    body = json.dumps(event(quiet, CREATED), indent=3).encode()
    headers = {"stripe-signature": quiet.stripe.sign(body)}
    wrong = quiet.ask("POST", "/stripe/webhook", body + b" ", by=None, origin=None, headers=headers)
    right = quiet.ask("POST", "/stripe/webhook", body, by=None, origin=None, headers=headers)
    assert (wrong.status, right.status) == (400, 200)


@scenario(255)
@pytest.mark.parametrize("secrets", ["", " ", [""], []])
def test_an_empty_secret_never_starts(open_shop: OpenShop, secrets: Any) -> None:
    """With a key an empty or missing webhook secret is refused at construction."""
    from kernia_billing import BillingConfig

    assert open_shop is not None
    with pytest.raises(ConfigError, match="webhook_secret"):
        BillingConfig(stripe_key="sk_test_1", base_url="https://shop.example", stripe_webhook_secrets=secrets)


@scenario(256)
def test_two_secrets_while_one_replaces_another() -> None:
    """What is signed with either is accepted, with a third is not."""
    from kernia_billing.domain.secret import Secret
    from kernia_billing.errors import InvalidSignature
    from kernia_billing.stripe.signature import WebhookVerifier
    from kernia_billing.testing import StripeSimulator

    stripe = StripeSimulator()
    verifier = WebhookVerifier((Secret("whsec_old"), Secret("whsec_new")), 300)
    moment = int(stripe.now.timestamp()) * 1_000_000
    for secret in ("whsec_old", "whsec_new"):
        verifier.verify(b"{}", stripe.sign(b"{}", secret=secret), moment)
    with pytest.raises(InvalidSignature):
        verifier.verify(b"{}", stripe.sign(b"{}", secret="whsec_other"), moment)


# ── Repeated, late, and lost ──────────────────────────────────────────────────────────────────────────────────────────


@scenario(257)
def test_the_same_event_twice(quiet: Shop, heard: Heard) -> None:
    """The second time it is skipped: one effect, and each hook once."""
    quiet.stripe.pay(quiet.upgrade("tried").json["url"])
    first, second = deliver(quiet, event(quiet, COMPLETED), event(quiet, COMPLETED))
    assert (first.json, second.json) == ({"received": True}, {"received": True, "skipped": True})
    assert (first.status, second.status) == (200, 200)
    assert [len(heard[name]) for name in ("complete", "created")] == [1, 1]
    assert heard.types("trial.") == ["trial.started"]


@scenario(258)
def test_three_deliveries_of_created(quiet: Shop, heard: Heard) -> None:
    """Three events of one creation make one row and one callback (at once: `tests/webhooks/test_inbox.py`)."""
    sold(quiet)
    made = event(quiet, CREATED)
    answers = deliver(quiet, made, {**made, "id": "evt_second"}, {**made, "id": "evt_third"})
    assert [each.status for each in answers] == [200, 200, 200]
    assert len(quiet.billing.subscriptions.list("ann")) == len(heard["created"]) == 1


@scenario(259)
def test_an_older_event_after_a_newer_one(quiet: Shop, heard: Heard) -> None:
    """The state is Stripe's as it is now: what ended stays ended, whatever comes after."""
    quiet.stripe.pay(quiet.upgrade().json["url"])
    deliver(quiet, event(quiet, COMPLETED))
    bought = now(quiet)
    account(quiet).post(SUBSCRIPTIONS + bought.stripe_id, {"metadata[a]": "1"})
    account(quiet).delete(SUBSCRIPTIONS + bought.stripe_id)
    deliver(quiet, event(quiet, DELETED))
    ended = now(quiet)
    deliver(quiet, event(quiet, UPDATED), event(quiet, CREATED))
    assert now(quiet) == ended
    assert ended.status == "canceled"
    assert len(heard["deleted"]) == 1


@scenario(260)
def test_an_unknown_subscription_of_a_known_customer(quiet: Shop) -> None:
    """It gets a row of its own, and the one that is there stays as it is."""
    quiet.stripe.pay(quiet.upgrade().json["url"])
    deliver(quiet, event(quiet, COMPLETED))
    first = now(quiet)
    second = sold(quiet, "price_starter")
    account(quiet).delete(SUBSCRIPTIONS + second["id"])
    deliver(quiet, event(quiet, DELETED))
    assert now(quiet) == first
    rows = {each.stripe_id: each.status for each in quiet.billing.subscriptions.list("ann")}
    assert rows == {first.stripe_id: "active", second["id"]: "canceled"}


@scenario(261)
def test_updated_before_created(quiet: Shop, heard: Heard) -> None:
    """The row is made by whichever comes first, and the other one adds nothing."""
    made = sold(quiet)
    account(quiet).post(SUBSCRIPTIONS + made["id"], {"metadata[a]": "1"})
    deliver(quiet, event(quiet, UPDATED))
    row = now(quiet)
    assert (row.plan, row.status) == ("pro", "active")
    deliver(quiet, event(quiet, CREATED))
    assert now(quiet) == row
    assert len(heard["created"]) == 1


@scenario(262)
def test_deleted_for_what_is_not_there(quiet: Shop) -> None:
    """Its end is kept, so that no later event brings it back."""
    made = sold(quiet)
    account(quiet).delete(SUBSCRIPTIONS + made["id"])
    deliver(quiet, event(quiet, DELETED))
    assert now(quiet).status == "canceled"
    deliver(quiet, event(quiet, CREATED))
    assert now(quiet).status == "canceled"
    assert quiet.rows() == []


@scenario(149, 263)
def test_stripe_is_down_while_an_event_is_worked_on(quiet: Shop) -> None:
    """The answer is a 5xx so that Stripe repeats it, and what it repeats is worked on."""
    path = SUBSCRIPTIONS + sold(quiet)["id"]
    quiet.stripe.faults.append(Fault("status", 500, path=path, times=None))
    made = event(quiet, CREATED)
    assert quiet.webhook(made).status >= 500
    assert now(quiet) is None
    quiet.stripe.faults.clear()
    assert quiet.webhook(made).status == 200
    assert now(quiet).plan == "pro"


@scenario(264, 265)
@pytest.mark.parametrize("option", ["on_subscription_created", "on_event"])
def test_a_callback_that_raises(open_shop: OpenShop, option: str) -> None:
    """The state is committed and the event answered with 200; the callback is called again, by the jobs alone."""
    tries: list[str] = []

    def fragile(told: Any) -> None:
        if told.type == "subscription.created":
            tries.append(told.id)
            if len(tries) == 1:
                raise RuntimeError("not now")

    shop = open_shop(deliver="manual", plans=KEYED, **{option: fragile})
    sold(shop)
    made = event(shop, CREATED)
    assert shop.webhook(made).status == 200
    assert now(shop).plan == "pro"
    assert shop.webhook(made).json == {"received": True, "skipped": True}
    assert len(tries) == 1
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3_600)
    shop.billing.jobs.run()
    assert len(tries) == 2
    assert len(set(tries)) == 1


# ── Strange events ────────────────────────────────────────────────────────────────────────────────────────────────────


@scenario(266)
@pytest.mark.parametrize("mode", ["payment", "setup"])
def test_a_session_without_a_subscription(quiet: Shop, mode: str) -> None:
    """A one-time purchase is answered with 200, and no subscription is asked for."""
    session = {"object": "checkout.session", "id": "cs_test_x", "mode": mode, "subscription": None}
    made = {
        "id": "evt_x",
        "object": "event",
        "type": COMPLETED,
        "livemode": False,
        "created": int(quiet.stripe.now.timestamp()),
        "api_version": "2026-10-28.endive",
        "data": {"object": {**session, "customer": customer(quiet)}},
    }
    assert quiet.webhook(made).status == 200
    assert not quiet.calls("GET", SUBSCRIPTIONS)


@scenario(267)
def test_a_subscription_of_unknown_prices_follows_its_status(loud: Shop) -> None:
    """Also where no item of several sells a plan."""
    for price in ("price_other", "price_more"):
        loud.stripe.ensure_price(price)
    made = sold(loud, "price_other", **{"items[1][price]": "price_more"})
    loud.stripe.flush()
    assert now(loud).status == "active"
    account(loud).delete(SUBSCRIPTIONS + made["id"])
    loud.stripe.flush()
    assert now(loud).status == "canceled"


@scenario(268)
@pytest.mark.parametrize("plan", ["pro", "twin"])
def test_two_plans_that_share_a_price(open_shop: OpenShop, plan: str) -> None:
    """The plan that was bought is kept, also after later updates."""
    shop = open_shop(plans=(*PLANS, Plan("twin", price_id="price_pro")))
    bought = shop.subscribe(plan)
    change(shop, bought, **{"metadata[a]": "1"})
    assert now(shop).plan == plan


@scenario(269)
def test_the_period_of_an_older_version(quiet: Shop) -> None:
    """An event that shows the period on the subscription itself names the same subscription, and its period is read."""
    sold(quiet)
    made = event(quiet, CREATED)
    (item,) = made["data"]["object"]["items"]["data"]
    period = {name: item[name] for name in ("current_period_start", "current_period_end")}
    kept = {name: value for name, value in item.items() if name not in period}
    older = {**made["data"]["object"], **period, "items": {"object": "list", "data": [kept], "has_more": False}}
    assert quiet.webhook({**made, "api_version": "2024-04-10", "data": {"object": older}}).status == 200
    read = now(quiet)
    assert int(read.period_end.timestamp()) == period["current_period_end"]


@scenario(270)
def test_a_plan_with_limits_is_updated(loud: Shop) -> None:
    """The limits of a plan are no column, and keep no update from being stored."""
    bought = loud.subscribe("pro")
    change(loud, bought, cancel_at_period_end="true")
    (row,) = loud.rows()
    assert (row["cancelAtPeriodEnd"], row["limits"]["projects"]) == (True, 10)


@scenario(273)
def test_a_price_that_was_switched_to_an_unknown_one(loud: Shop, heard: Heard) -> None:
    """The plan is unknown then, which hooks hear, and it gives nothing."""
    bought = loud.subscribe()
    loud.stripe.ensure_price("price_other")
    (item,) = account(loud).get(SUBSCRIPTIONS + bought.stripe_id)["items"]["data"]
    change(loud, bought, **{"items[0][id]": item["id"], "items[0][price]": "price_other"})
    assert (now(loud).plan, now(loud).price_id) == (None, "price_other")
    assert heard["update"][-1].previous.plan == "pro"
    assert heard["update"][-1].subscription.plan is None
    assert not loud.billing.check("ann", "projects")
