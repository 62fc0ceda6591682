"""The buyer's return from Checkout: what became of the page is asked of Stripe, and told exactly once."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from typing import Any

import pytest

from kernia_billing import InvalidInput, NotFound, Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Checkout, Event, SubscriptionEvent
from kernia_billing.operations.sessions import sync_checkout
from kernia_billing.testing import Fault
from tests.harness.counts import count
from tests.webhooks.shop import Shop, envelope, without


def test_the_return_activates_at_once_without_any_webhook(quiet_shop: Shop) -> None:
    """The buyer is back before the news: the sync brings the subscription in, hooks hear of it, news adds nothing."""
    shop = quiet_shop
    heard: list[str] = []

    @shop.billing.on("subscription.completed")
    def hear(event: SubscriptionEvent) -> None:
        heard.append(event.subscription.id)

    opened = shop.upgrade()
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "open"
    shop.stripe.pay(opened)
    back = shop.billing.sync_checkout(str(opened.session_id))
    assert (back.status, back.url, back.session_id) == ("complete", None, opened.session_id)
    assert back.subscription == shop.subscription()
    assert back.subscription is not None
    assert back.subscription.plan == "pro"
    assert shop.billing.check("ann", "projects", 5)
    shop.stripe.deliver()
    assert shop.billing.sync_checkout(str(opened.session_id)) == back
    assert heard == [back.subscription.id]


def test_the_answer_is_about_what_was_bought_on_that_page(shop: Shop) -> None:
    """An older subscription of the buyer is not taken for the outcome of a page that is open, expired or of its own."""
    first = shop.upgrade()
    bought = shop.stripe.pay(first)
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")
    shop.stripe.flush()
    second = shop.upgrade(plan="team")
    assert shop.billing.sync_checkout(str(second.session_id)).subscription is None
    third = shop.upgrade(plan="extra")
    shop.stripe.expire(second)
    assert shop.billing.sync_checkout(str(second.session_id)) == Checkout(None, second.session_id, "expired", None)
    other = shop.stripe.pay(third) and shop.billing.subscriptions.get("ann", group="extras")
    assert shop.billing.sync_checkout(str(third.session_id)).subscription == other
    ended = shop.billing.sync_checkout(str(first.session_id)).subscription
    assert ended is not None
    assert (ended.id, ended.status) == (bought.id, "canceled")


def test_webhook_return_and_jobs_race_and_the_purchase_is_told_once(each_shop: Shop) -> None:
    """News, the returning buyer and the jobs at once, in threads: `subscription.completed` is told exactly once."""
    shop = each_shop
    shop.stripe.state.delivers = False
    heard: dict[str, list[str]] = defaultdict(list)

    @shop.billing.on("subscription.created", "subscription.activated", "subscription.completed")
    def hear(event: SubscriptionEvent) -> None:
        heard[event.subscription.reference.id].append(event.type)

    rounds = 5
    for number in range(rounds):
        opened = shop.upgrade(f"user{number}")
        before = len(shop.stripe.events)
        shop.stripe.pay(opened)
        works = _callers(shop, opened, [json.dumps(event).encode() for event in shop.stripe.events[before:]])
        _race(works)
        shop.billing.jobs.run()
    in_order = ["subscription.created", "subscription.activated", "subscription.completed"]
    assert heard == {f"user{number}": in_order for number in range(rounds)}
    told = [row["topic"] for row in shop.rows()["outbox"]]
    assert told.count("subscription.completed") == told.count("subscription.activated") == rounds
    assert len(shop.rows()["subscription"]) == rounds
    count("checkout: races of webhook and return", rounds)


def _callers(shop: Shop, opened: Checkout, bodies: list[bytes]) -> list[Any]:
    """Three returning buyers, three deliveries of all events, and the jobs."""
    returns: list[Any] = [lambda: shop.billing.sync_checkout(str(opened.session_id))] * 3
    return [*returns, *([lambda: [shop.post(body) for body in bodies]] * 3), shop.billing.jobs.run]


def _race(works: list[Any]) -> None:
    barrier = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Any) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_a_session_of_another_reference_is_not_found(shop: Shop) -> None:
    """Who asks for somebody else's session hears what everybody hears who asks for none."""
    core = shop.billing._wiring.core
    opened = str(shop.upgrade("ann").session_id)
    assert run_blocking(sync_checkout(core, opened, "ann")).status == "open"
    asked = len(shop.stripe.requests)
    answers: set[str] = set()
    for session, reference in ((opened, "bob"), ("cs_test_unknown", "ann"), ("cs_test_unknown", "bob")):
        with pytest.raises(NotFound) as missing:
            run_blocking(sync_checkout(core, session, reference))
        answers.add(f"{missing.value.code} {missing.value}")
    assert answers == {"CHECKOUT_NOT_FOUND Checkout not found"}
    assert len(shop.stripe.requests) == asked
    for bad in ("", "cus_1", "cs_../x", 5, None):
        with pytest.raises(InvalidInput) as refusal:
            shop.billing.sync_checkout(bad)  # type: ignore[arg-type]  # on purpose
        assert refusal.value.field == "session_id"


def test_a_session_that_we_did_not_open_is_left_alone(quiet_shop: Shop) -> None:
    """A payment link's session names a reference of its buyer's choice: nobody is given anything for that."""
    shop = quiet_shop
    victim = shop.billing.customers.ensure("victim")
    sold = shop.account.buy("price_pro", client_reference_id="victim")
    session = next(each for each in shop.objects("checkout.session") if each["client_reference_id"] == "victim")
    before = shop.rows()
    done = shop.event("checkout.session.completed")
    assert shop.post(done).status == "unmatched"
    lie = {**done["data"]["object"], "customer": victim.stripe_id, "metadata": {"referenceId": "victim"}}
    assert shop.post(envelope("checkout.session.completed", lie, "evt_lie")).status == "unmatched"
    with pytest.raises(NotFound):
        shop.billing.sync_checkout(session["id"])
    assert shop.billing.subscriptions.get("victim") is None
    after = shop.rows()
    news = ("webhook_event", "outbox", "setting", "stripe_object")  # a ticket says only that we looked
    assert without(after, *news) == without(before, *news)
    assert sold["status"] == "active"


def test_an_unpaid_session_gives_nothing_until_it_is_paid(quiet_shop: Shop) -> None:
    """`completed` with payment_status unpaid is `processing`; the payment makes it complete, and tells it once."""
    shop = quiet_shop
    heard: list[Event] = []
    shop.billing.on("subscription.completed")(heard.append)
    opened = shop.upgrade()
    shop.stripe.pay(opened)
    session = shop.stripe.state.world.table("checkout.session").rows[str(opened.session_id)]
    session["payment_status"] = "unpaid"
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "processing"
    shop.stripe.deliver(*shop.event_ids("checkout.session.completed"))
    assert heard == []
    session["payment_status"] = "paid"
    paid = envelope(
        "checkout.session.async_payment_succeeded", {"object": "checkout.session", "id": session["id"]}, "evt_9"
    )
    assert shop.post(paid).status == "applied"
    assert [each.type for each in heard] == ["subscription.completed"]
    assert shop.billing.sync_checkout(session["id"]).status == "complete"


def test_the_return_while_stripe_is_down_is_an_error_and_changes_nothing(quiet_shop: Shop) -> None:
    """The buyer's page can try again: nothing is guessed."""
    shop = quiet_shop
    opened = shop.upgrade()
    shop.stripe.pay(opened)
    for path in ("/v1/checkout/sessions/*", "/v1/subscriptions/*"):
        shop.stripe.faults.append(Fault("status", 503, method="GET", path=path, times=None))
        with pytest.raises(Unavailable):
            shop.billing.sync_checkout(str(opened.session_id))
        assert shop.rows()["subscription"] == []
        assert [row["status"] for row in shop.rows()["checkout_session"]] == ["open"]
        shop.stripe.faults.clear()
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "complete"
