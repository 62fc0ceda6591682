"""The inbox: who works on an event, who may end it, what waits for a customer, and what is done once more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from kernia_billing import InvalidInput, NotFound, Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Event
from kernia_billing.domain.webhooks import InboxRow
from kernia_billing.operations import handling, inbox
from kernia_billing.operations.projections import tickets
from kernia_billing.ports.store import Transaction
from kernia_billing.testing import Fault
from tests.webhooks.canned import canned
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import NEWS, Shop, envelope, without

CREATED = "customer.subscription.created"
READS = "/v1/subscriptions/*"


def _bought(shop: Shop, reference: str = "ann") -> dict[str, Any]:
    """Somebody buys, of which nothing was heard yet; the event of it."""
    shop.stripe.pay(shop.upgrade(reference))
    return shop.event(CREATED)


def _later(shop: Shop, seconds: int) -> None:
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + seconds)


# ── Who works on it ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_does_what_the_request_only_stores(open_shop: Open) -> None:
    """In the mode "worker" an event is answered once it is stored; the jobs do the rest, and tell the hooks."""
    heard: list[Event] = []
    shop = open_shop(deliver="manual", webhook_mode="worker", on_event=heard.append)
    told = _bought(shop)
    asked = len(shop.stripe.requests)
    assert shop.post(told).status == "queued"
    assert shop.post(told).status == "skipped"
    assert (len(shop.stripe.requests), heard, shop.billing.subscriptions.get("ann")) == (asked, [], None)
    assert shop.inbox()[told["id"]]["status"] == "received"
    assert shop.post(envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_1")).status == "queued"
    assert shop.post(envelope("payout.paid", {"object": "payout"}, "evt_2", livemode=True)).status == "ignored"
    assert shop.billing.jobs.run()["webhooks"] == 2
    assert shop.subscription().plan == "pro"
    assert [each.type for each in heard] == [CREATED, "payout.paid", "subscription.created", "subscription.activated"]
    statuses = {id: row["status"] for id, row in shop.inbox().items()}
    assert statuses == {told["id"]: "processed", "evt_1": "ignored", "evt_2": "ignored"}


def test_a_worker_that_fails_tries_again(open_shop: Open) -> None:
    """While Stripe is down the request is answered all the same, and the event waits in the queue."""
    shop = open_shop(deliver="manual", webhook_mode="worker")
    told = _bought(shop)
    shop.stripe.faults.append(Fault("status", 500, path=READS, times=None))
    assert shop.post(told).status == "queued"
    shop.billing.jobs.run()
    assert shop.inbox()[told["id"]]["status"] == "failed"
    assert shop.post(told).status == "skipped"
    shop.stripe.faults.clear()
    _later(shop, 3)
    shop.billing.jobs.run()
    assert shop.subscription().plan == "pro"


def test_many_wait_and_one_of_them_is_poison(open_shop: Open) -> None:
    """A queue with an event that always fails is worked on to its end, and the poison stays behind."""
    shop = open_shop(deliver="manual", webhook_mode="worker")
    shop.stripe.faults.append(Fault("status", 400, path="/v1/products/prod_bad", times=None))
    for number in range(130):
        id = "prod_bad" if number % 13 == 5 else f"prod_{number}"
        shop.post(envelope("product.updated", {"object": "product", "id": id}, f"evt_{number:03}"))
    assert [shop.billing.jobs.run()["webhooks"] for _ in range(3)] == [100, 30, 0]
    statuses = [row["status"] for row in shop.inbox().values()]
    assert (statuses.count("processed"), statuses.count("failed")) == (120, 10)
    for _ in range(inbox.MAX_ATTEMPTS):
        _later(shop, 7 * 3_600)
        shop.billing.jobs.run()
    health = shop.billing.webhooks.health()
    assert (health.dead, health.waiting, health.counts["processed"]) == (10, 0, 120)


class Crash(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("kind", [Crash, ZeroDivisionError, TimeoutError])
@pytest.mark.parametrize("step", ["fetch", "store_fetched", "after the write", "finish"])
def test_a_failure_at_each_step_loses_nothing(
    quiet_shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str, kind: type[BaseException]
) -> None:
    """Whatever breaks wherever: the event stays, is worked on once its time has come, and has one effect."""
    shop = quiet_shop
    shop.buy()
    customer = shop.customer()
    shop.account.post(f"/v1/customers/{customer}", {"balance": "-700"})
    told = shop.event("customer.updated")
    broken = _breaking(monkeypatch, step, kind)
    with pytest.raises(kind):
        shop.post(told)
    assert broken == [step]
    monkeypatch.undo()
    _later(shop, 301)
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert shop.inbox()[told["id"]]["status"] == "processed"
    assert [row["balance"] for row in shop.rows()["stripe_customer"]] == [-700]
    assert shop.billing.jobs.run()["webhooks"] == 0


def _breaking(monkeypatch: pytest.MonkeyPatch, step: str, kind: type[BaseException]) -> list[str]:
    """Break one step; the list says whether it was reached."""
    broken: list[str] = []
    store_fetched = tickets.store_fetched

    async def breaks(*_: object, **__: object) -> None:
        broken.append(step)
        raise kind

    async def breaks_after(*given: Any) -> None:
        await store_fetched(*given)
        await breaks()

    if step == "finish":
        monkeypatch.setattr(handling._Run, "end", breaks)
    elif step == "after the write":
        monkeypatch.setattr(tickets, "store_fetched", breaks_after)
    else:
        monkeypatch.setattr(tickets, step, breaks)
    return broken


def test_a_worker_whose_lease_ran_out_ends_nothing(each_shop: Shop) -> None:
    """It stalls while it asks Stripe, another one takes over and ends; when it goes on, nothing of it is left."""
    shop = each_shop
    shop.stripe.state.delivers = False
    told = _bought(shop)
    core = shop.billing._wiring.core
    stripe: Any = core.stripe
    receipts: list[str] = []

    class Stalling:
        async def request(self, *given: Any, **options: Any) -> Any:
            """The answer, after another worker had all the time it needs."""
            answer = await stripe.request(*given, **options)
            shop.billing._wiring.core = core
            shop.account.delete(f"/v1/subscriptions/{told['data']['object']['id']}")
            _later(shop, 301)
            receipts.append(f"jobs {shop.billing.jobs.run()['webhooks']}")
            return answer

    stalling: Any = Stalling()
    shop.billing._wiring.core = evolve(core, stripe=stalling)
    receipts.append(shop.post(told).status)
    assert receipts == ["jobs 1", "skipped"]
    row = shop.inbox()[told["id"]]
    assert (row["status"], row["attempts"]) == ("processed", 2)
    assert shop.subscription().status == "canceled"
    topics = [row["topic"] for row in shop.rows()["outbox"] if row["topic"].startswith("subscription.")]
    assert sorted(topics) == ["subscription.created", "subscription.deleted"]


def test_a_zombie_cannot_note_its_failure_either(each_shop: Shop) -> None:
    """A worker that fails after its lease was taken over leaves the event as the other one ended it."""
    shop = each_shop
    shop.stripe.state.delivers = False
    told = _bought(shop)
    core = shop.billing._wiring.core

    class Dying:
        async def request(self, *_: Any, **__: Any) -> Any:
            """Nothing, after another worker was done."""
            shop.billing._wiring.core = core
            _later(shop, 301)
            shop.billing.jobs.run()
            raise Unavailable

    dying: Any = Dying()
    shop.billing._wiring.core = evolve(core, stripe=dying)
    with pytest.raises(Unavailable):
        shop.post(told)
    row = shop.inbox()[told["id"]]
    assert (row["status"], row["attempts"], row["note"]) == ("processed", 2, None)


def test_two_attempts_within_one_instant_are_told_apart(each_shop: Shop) -> None:
    """The first attempt is noted as failed twice, as after a lost commit: the second one goes on undisturbed."""
    shop = each_shop
    told = envelope("product.updated", {"object": "product", "id": "p_1"}, "evt_1")
    shop.stripe.faults.append(Fault("status", 500, path="/v1/products/p_1", times=None))
    with pytest.raises(Unavailable):
        shop.post(told)
    core = shop.billing._wiring.core
    now = core.now()

    def claim(tx: Transaction) -> InboxRow | None:
        return tx.inbox.claim("", "evt_1", now, now + 300)

    def fail(row: InboxRow) -> bool:
        return run_blocking(core.store.transaction(lambda tx: handling.finish(tx, row, "failed", "why")))

    first = run_blocking(core.store.transaction(claim))
    assert first is not None
    assert fail(first)
    second = run_blocking(core.store.transaction(claim))
    assert second is not None
    assert (second.attempts, second.lease_until) == (first.attempts + 1, first.lease_until)
    assert not fail(first)
    assert shop.inbox()["evt_1"]["status"] == "processing"
    assert fail(second)


# ── Events that wait for their customer ──────────────────────────────────────────────────────────────────────────────


def test_linking_a_customer_brings_back_the_events_that_came_for_it(each_shop: Shop) -> None:
    """They are kept as unmatched, wait from the commit that links, and are worked on by the next run of the jobs."""
    shop = each_shop
    theirs = shop.account.customer()
    shop.account.buy("price_pro", customer=theirs)
    shop.account.post(f"/v1/customers/{theirs}", {"balance": "-300"})
    shop.stripe.flush()
    unmatched = [row for row in shop.inbox().values() if row["status"] == "unmatched"]
    assert shop.billing.webhooks.health().unmatched == len(unmatched)
    before = {row["event_id"]: row for row in unmatched if row["customer"] == theirs}
    assert {"invoice.paid", "invoice_payment.paid", CREATED} <= {row["event_type"] for row in before.values()}
    assert [row["event_type"] for row in unmatched if not row["customer"]] == []
    assert shop.rows()["invoice"] == shop.rows()["stripe_customer"] == []
    linked = shop.billing.customers.link("ann", theirs)
    assert linked.plan == "pro"
    assert {shop.inbox()[each]["status"] for each in before} == {"received"}
    assert shop.billing.jobs.run()["webhooks"] == len(before)
    left = [row for row in shop.inbox().values() if row["event_id"] in before and row["status"] != "processed"]
    assert {row["event_type"] for row in left} == {"checkout.session.completed"}, "a page that we did not open"
    assert [row["balance"] for row in shop.rows()["stripe_customer"]] == [-300]
    assert {row["status"] for row in shop.rows()["invoice"]} == {"paid"}


def test_a_new_customer_is_heard_of_before_it_is_linked(quiet_shop: Shop) -> None:
    """Stripe's news that we made a customer may come before we noted it: it waits, and is worked on afterwards."""
    shop = quiet_shop
    first = shop.billing.customers.ensure("ann").stripe_id
    told = shop.event("customer.created")
    shop.billing.customers.ensure("bob")
    core = shop.billing._wiring.core
    run_blocking(core.store.transaction(lambda tx: tx.customers.unlink(_id(shop, "ann"), str(first))))
    assert shop.post(told).status == "unmatched"
    assert shop.billing.customers.ensure("ann").stripe_id == first
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert [row["id"] for row in shop.rows()["stripe_customer"]] == [first]


def _id(shop: Shop, reference: str) -> str:
    return next(str(row["id"]) for row in shop.rows()["customer"] if row["reference_id"] == reference)


# ── Once more ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_event_is_replayed(quiet_shop: Shop) -> None:
    """It is worked on again by what Stripe says now, hooks hear of changes only; one that is unknown is refused."""
    shop = quiet_shop
    told = _bought(shop)
    heard: list[Event] = []
    shop.post(told)
    shop.billing.on()(heard.append)
    assert shop.billing.webhooks.replay(told["id"]).status == "applied"
    assert heard == []
    shop.account.post(f"/v1/subscriptions/{told['data']['object']['id']}", {"cancel_at_period_end": "true"})
    assert shop.billing.webhooks.replay(told["id"]).status == "applied"
    assert [each.type for each in heard] == ["subscription.updated", "subscription.cancel_scheduled"]
    with pytest.raises(NotFound) as missing:
        shop.billing.webhooks.replay("evt_none")
    assert missing.value.code == "EVENT_NOT_FOUND"
    for junk in (None, 5, ["evt_1"]):
        with pytest.raises(InvalidInput):
            shop.billing.webhooks.replay(junk)  # type: ignore[arg-type]  # some are no texts


def test_a_range_is_replayed(each_shop: Shop) -> None:
    """By type, also by the beginning of types, by time and by status; what waits is not touched."""
    shop = each_shop
    shop.stripe.state.delivers = False
    half = shop.stripe.now + timedelta(seconds=30)
    for number in range(105):
        kind = ("product.updated", "price.updated", "payout.paid")[number % 3]
        shop.post(envelope(kind, {"object": kind.split(".")[0], "id": f"x_{number}"}, f"evt_{number:03}"))
        if number == 59:
            _later(shop, 60)
    webhooks = shop.billing.webhooks
    assert webhooks.replay_range(types=["price.updated"]) == 35
    assert webhooks.replay_range(types=["price.updated"]) == 0
    assert webhooks.replay_range(types=["pr*"], until=half) == 20
    assert webhooks.replay_range(types=["pr*", "product.*"], since=half) == 15
    assert webhooks.replay_range(status="ignored", since=half - timedelta(days=1)) == 35
    assert webhooks.replay_range() == 0
    assert [shop.billing.jobs.run()["webhooks"] for _ in range(3)] == [100, 5, 0]
    assert webhooks.health().counts == {"processed": 70, "ignored": 35}
    assert webhooks.replay_range() == 105


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"types": "invoice.paid"}, "types"),
        ({"types": ["in*voice"]}, "types"),
        ({"types": [""]}, "types"),
        ({"types": [5]}, "types"),
        ({"since": "yesterday"}, "since"),
    ],
)
def test_a_range_that_means_nothing_is_refused(quiet_shop: Shop, asked: dict[str, Any], field: str) -> None:
    """By the name of the argument, and nothing is put back."""
    quiet_shop.post(envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_1"))
    before = quiet_shop.rows()
    with pytest.raises(InvalidInput) as refusal:
        quiet_shop.billing.webhooks.replay_range(**asked)
    assert refusal.value.field == field
    assert quiet_shop.rows() == before


def test_what_failed_is_tried_again(quiet_shop: Shop) -> None:
    """Dead and failed events wait again with no attempt made, one of them or all; others stay."""
    shop = quiet_shop
    fault = Fault("status", 400, path="/v1/products/*", times=None)
    shop.stripe.faults.append(fault)
    for number in range(3):
        with pytest.raises(Exception, match="refused"):
            shop.post(envelope("product.updated", {"object": "product", "id": f"p_{number}"}, f"evt_{number}"))
    shop.post(envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_ignored"))
    for _ in range(inbox.MAX_ATTEMPTS):
        _later(shop, 7 * 3_600)
        shop.billing.jobs.run()
    assert shop.billing.webhooks.health().dead == 3
    assert shop.billing.webhooks.retry("evt_ignored") == 0
    assert shop.billing.webhooks.retry("evt_1") == 1
    assert shop.billing.webhooks.retry() == 2
    assert shop.billing.webhooks.retry() == 0
    with pytest.raises(NotFound):
        shop.billing.webhooks.retry("evt_none")
    shop.stripe.faults.clear()
    assert shop.billing.jobs.run()["webhooks"] == 3
    assert shop.billing.webhooks.health().counts == {"processed": 3, "ignored": 1}


def test_an_event_of_another_mode_stays_ignored_when_it_is_replayed(quiet_shop: Shop) -> None:
    """A replay changes nothing about whose it is: Stripe is not asked, the reason stays."""
    shop = quiet_shop
    told: dict[str, Any] = {**_bought(shop), "livemode": True}
    shop.post(told)
    asked = len(shop.stripe.requests)
    assert shop.billing.webhooks.replay(told["id"]).status == "ignored"
    assert shop.billing.webhooks.replay_range() == 1
    shop.billing.jobs.run()
    row = shop.inbox()[told["id"]]
    assert (row["status"], row["note"]) == ("ignored", "livemode mismatch")
    assert len(shop.stripe.requests) == asked
    assert shop.billing.subscriptions.get("ann") is None


def test_an_event_that_stripe_lists_is_taken_in_like_a_webhook(each_shop: Shop) -> None:
    """Whichever comes first, it is worked on once; a list of junk is refused by name."""
    shop = each_shop
    shop.stripe.state.delivers = False
    core = shop.billing._wiring.core
    first, second = _bought(shop, "ann"), _bought(shop, "bob")
    assert run_blocking(inbox.take_listed(core, first)).status == "applied"
    assert shop.post(first).status == "skipped"
    assert shop.post(second).status == "applied"
    assert run_blocking(inbox.take_listed(core, second)).status == "skipped"
    rows = shop.inbox()
    assert [(rows[each["id"]]["source"], rows[each["id"]]["attempts"]) for each in (first, second)] == [
        ("list", 1),
        ("webhook", 1),
    ]
    with pytest.raises(InvalidInput):
        run_blocking(inbox.take_listed(core, {"object": "event", "id": "evt_1"}))


# ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stored_events_are_listed_newest_first(each_shop: Shop) -> None:
    """In pages, by status, type and time; with their error, and nothing of their object's state."""
    shop = each_shop
    shop.stripe.state.delivers = False
    shop.stripe.faults.append(Fault("status", 400, path="/v1/products/p_2", times=None))
    for number in range(5):
        told = envelope("product.updated", {"object": "product", "id": f"p_{number}"}, f"evt_{number}")
        if number == 2:
            with pytest.raises(Exception, match="refused"):
                shop.post(told)
        else:
            shop.post(told)
        _later(shop, 1)
    webhooks = shop.billing.webhooks
    page = webhooks.list(limit=2)
    seen = [each.id for each in page]
    while page.next_cursor is not None:
        page = webhooks.list(limit=2, cursor=page.next_cursor)
        seen += [each.id for each in page]
    assert seen == ["evt_4", "evt_3", "evt_2", "evt_1", "evt_0"]
    (failed,) = webhooks.list(status="failed", type="product.*")
    assert (failed.id, failed.error, failed.attempts) == ("evt_2", "STRIPE_REFUSED StripeRefused", 1)
    assert failed.next_attempt_at is not None
    assert (failed.object, failed.object_id, failed.source) == ("product", "p_2", "webhook")
    assert [each.id for each in webhooks.list(since=failed.received_at, until=shop.stripe.now)][-1] == "evt_2"
    assert not webhooks.list(type="invoice.*").items
    wrongs: tuple[dict[str, Any], ...] = ({"cursor": "1.x"}, {"limit": 0}, {"status": "x"}, {"type": "a b"})
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            webhooks.list(**wrong)


def test_health_says_what_waits_and_for_how_long(each_shop: Shop) -> None:
    """Empty at first; then the newest news, the lag of the oldest that waits, and the failures of the last day."""
    shop = each_shop
    shop.stripe.state.delivers = False
    webhooks = shop.billing.webhooks
    empty = webhooks.health()
    assert (empty.last_received_at, empty.waiting, empty.lag_seconds, empty.counts) == (None, 0, 0, {})
    shop.post(envelope("product.updated", {"object": "product", "id": "p_1"}, "evt_1"))
    processed_at = shop.stripe.now
    _later(shop, 10)
    shop.stripe.faults.append(Fault("status", 500, path="/v1/products/p_2", times=None))
    with pytest.raises(Unavailable):
        shop.post(envelope("product.updated", {"object": "product", "id": "p_2"}, "evt_2"))
    failed_at = shop.stripe.now
    _later(shop, 90)
    told = webhooks.health()
    assert (told.waiting, told.lag_seconds, told.failures_last_day, told.dead) == (1, 90, 1, 0)
    assert (told.last_received_at, told.last_processed_at) == (failed_at, processed_at)
    assert told.counts == {"failed": 1, "processed": 1}
    _later(shop, 24 * 3_600)
    assert webhooks.health().failures_last_day == 0


# ── Thin notifications ───────────────────────────────────────────────────────────────────────────────────────────────


def _thin(type: str, related: Mapping[str, Any] | None, id: str = "evt_test_1", **members: Any) -> bytes:
    told = {"id": id, "object": "v2.core.event", "type": type, "created": "2026-01-15T12:00:00.000Z"}
    return json.dumps({**told, "livemode": False, "related_object": related, **members}).encode()


def test_a_thin_notification_brings_up_to_date_what_it_names(each_shop: Shop) -> None:
    """It names an object and carries none of it: that is fetched, and what it names in turn."""
    shop = each_shop
    shop.stripe.state.delivers = False
    told = _bought(shop)["data"]["object"]
    related = {"id": told["id"], "type": "subscription", "url": f"/v1/subscriptions/{told['id']}"}
    body = _thin("v1.customer.subscription.created", related)
    assert shop.post(body).status == "applied"
    assert shop.post(body).status == "skipped"
    assert shop.subscription().plan == "pro"
    row = shop.inbox()["evt_test_1"]
    assert (row["event_type"], row["source"]) == ("customer.subscription.created", "thin")
    assert (row["object_kind"], row["object_id"]) == ("subscription", told["id"])
    shop.account.post(f"/v1/subscriptions/{told['id']}", {"cancel_at_period_end": "true"})
    invoice = {"id": told["latest_invoice"], "type": "invoice", "url": "https://evil.example/v1/invoices/in_1"}
    assert shop.post(_thin("v1.invoice.paid", invoice, "evt_test_2")).status == "applied"
    assert shop.subscription().display_state == "cancel_pending"
    assert [each["id"] for each in shop.rows()["invoice"]] == [told["latest_invoice"]]


@pytest.mark.parametrize("type", ["billing.meter.error_report_triggered", "billing.meter.no_meter_found"])
def test_what_a_meter_could_not_count_is_fetched_and_told(quiet_shop: Shop, type: str) -> None:
    """Its data is fetched, and handed to hooks once; while Stripe does not answer it waits."""
    shop = quiet_shop
    heard: list[Event] = []
    shop.billing.on(type)(heard.append)
    reason = {"error_count": 1, "error_types": [{"code": "no_meter", "error_count": 1}]}
    body = _thin(f"v1.{type}", {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"})
    with canned(shop) as stripe:
        stripe.objects["/v2/core/events/evt_test_1"] = {
            "id": "evt_test_1",
            "data": {"developer_message_summary": "There is 1 invalid event", "reason": reason},
        }
        assert shop.post(body).status == "applied"
        assert shop.post(body).status == "skipped"
        assert stripe.asked.count("GET /v2/core/events/evt_test_1") == 1
    (told,) = heard
    assert (told.data["meter"], told.data["reason"]) == ("mtr_1", reason)
    with canned(shop), pytest.raises(NotFound):
        shop.post(_thin(f"v1.{type}", None, "evt_test_2"))
    assert shop.inbox()["evt_test_2"]["status"] == "failed"


def test_a_thin_notification_of_a_stranger_waits_for_its_customer(quiet_shop: Shop) -> None:
    """Whose it is shows when its object was fetched; linking brings it back."""
    shop = quiet_shop
    sold = shop.account.buy("price_pro")
    related = {"id": sold["latest_invoice"], "type": "invoice", "url": f"/v1/invoices/{sold['latest_invoice']}"}
    assert shop.post(_thin("v1.invoice.paid", related)).status == "unmatched"
    assert shop.inbox()["evt_test_1"]["customer"] == sold["customer"]
    shop.billing.customers.link("ann", str(sold["customer"]))
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert [row["id"] for row in shop.rows()["invoice"]] == [sold["latest_invoice"]]


@pytest.mark.parametrize(
    "body",
    [
        _thin("v1.invoice.paid", None, created=5),
        _thin("v1.invoice.paid", None, created="yesterday"),
        _thin("v1.invoice.paid", None, created="2026-01-15T12:00:00"),
        _thin("", None),
        _thin("v1.invoice.paid", None, id="cus_1"),
        _thin("v1.invoice.paid", None, context=["acct_1"]),
    ],
)
def test_a_thin_notification_that_is_none_is_refused(quiet_shop: Shop, body: bytes) -> None:
    """Like every body that Stripe does not send."""
    from kernia_billing import InvalidSignature

    quiet_shop.billing.jobs.run()
    before = quiet_shop.rows()
    with pytest.raises(InvalidSignature):
        quiet_shop.post(body)
    assert quiet_shop.rows() == before


def test_a_thin_notification_of_another_account_or_mode_or_about_nothing_is_ignored(quiet_shop: Shop) -> None:
    """Kept with its reason, and Stripe is not asked."""
    shop = quiet_shop
    related = {"id": "sub_1", "type": "subscription", "url": "/v1/subscriptions/sub_1"}
    kind = "v1.customer.subscription.updated"
    for number, body in enumerate(
        (
            _thin(kind, related, "evt_0", livemode=True),
            _thin(kind, related, "evt_1", context="acct_1Other"),
            _thin(kind, {"id": "../x", "type": "subscription"}, "evt_2"),
            _thin("v2.core.account.created", related, "evt_3"),
        )
    ):
        assert shop.post(body).status == "ignored", number
    assert not shop.stripe.requests
    assert not without(shop.rows(), *NEWS)["subscription"]
