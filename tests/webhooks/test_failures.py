"""Nothing that was accepted is lost, nothing that was not signed is stored, and a bad event holds up no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from kernia_billing import InvalidSignature, Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Event
from kernia_billing.domain.instants import SECOND, Instant
from kernia_billing.errors import StripeRefused
from kernia_billing.operations import handling, inbox
from kernia_billing.operations.core import Core
from kernia_billing.operations.projections import Outcome, ProjectionKind, sync_object
from kernia_billing.testing import Fault
from tests.webhooks.shop import NEWS, Shop, envelope, without

READS = "/v1/subscriptions/*"


@pytest.fixture
def told(quiet_shop: Shop) -> dict[str, Any]:
    """The event of a subscription that was bought and not heard of yet."""
    quiet_shop.stripe.pay(quiet_shop.upgrade())
    return quiet_shop.event("customer.subscription.created")


OUTAGES = (
    Fault("timeout_before", path=READS, times=None),
    Fault("reset_after", path=READS, times=None),
    Fault("html_502", path=READS, times=None),
    Fault("status", 500, path=READS, times=None),
    Fault("status", 429, path=READS, times=None),
    Fault("status", 401, path=READS, times=None),
)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda fault: f"{fault.kind}-{fault.status}")
@pytest.mark.parametrize("healing", ["redelivery", "jobs"])
def test_an_event_that_meets_an_outage_waits_and_is_healed(
    quiet_shop: Shop, told: Mapping[str, Any], outage: Fault, healing: str
) -> None:
    """While Stripe is down the delivery fails and the row says why; the next delivery or the jobs bring it in."""
    shop = quiet_shop
    shop.stripe.faults.append(Fault(outage.kind, outage.status, path=READS, times=None))
    with pytest.raises(Exception) as failure:  # noqa: PT011 - its code is asserted below
        shop.post(told)
    assert failure.value.status == 503  # type: ignore[attr-defined]  # of the cause
    row = shop.inbox()[told["id"]]
    error = f"{failure.value.code} {type(failure.value).__name__}"  # type: ignore[attr-defined]  # each of them has one
    assert (row["status"], row["note"], row["attempts"]) == ("failed", error, 1)
    assert shop.billing.subscriptions.get("ann") is None
    shop.stripe.faults.clear()
    if healing == "redelivery":
        assert shop.post(told).status == "applied"
    else:
        assert shop.billing.jobs.run()["webhooks"] == 0
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3)
        assert shop.billing.jobs.run()["webhooks"] == 1
    assert shop.subscription().plan == "pro"
    assert shop.inbox()[told["id"]]["status"] == "processed"


def test_a_database_that_is_down_refuses_the_event(quiet_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that cannot be stored is not acknowledged."""

    async def down(_unit: object, **_options: object) -> None:
        raise Unavailable("The database does not answer")

    monkeypatch.setattr(quiet_shop.billing._wiring.core.store, "transaction", down)
    with pytest.raises(Unavailable):
        quiet_shop.post(envelope("product.created", {"object": "product", "id": "prod_1"}, "evt_1"))


def test_a_poison_event_dies_and_holds_up_nobody(quiet_shop: Shop, told: Mapping[str, Any]) -> None:
    """An event that always fails is dead after twelve attempts, with its error; others are worked on at once."""
    shop = quiet_shop
    shop.stripe.faults.append(Fault("status", 400, path="/v1/products/prod_bad", times=None))
    bad = envelope("product.updated", {"object": "product", "id": "prod_bad"}, "evt_bad")
    with pytest.raises(Exception, match="refused"):
        shop.post(bad)
    for attempt in range(2, inbox.MAX_ATTEMPTS + 1):
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 7 * 3_600)
        if attempt == 3:
            with pytest.raises(Unavailable):
                _with_outage(shop, told)
            shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 10)
        assert shop.billing.jobs.run()["webhooks"] == (2 if attempt == 3 else 1)
        if attempt == 3:
            assert shop.subscription().plan == "pro"
    row = shop.inbox()["evt_bad"]
    assert (row["status"], row["note"], row["attempts"]) == ("dead", "STRIPE_REFUSED StripeRefused", 12)
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 7 * 3_600)
    assert shop.billing.jobs.run()["webhooks"] == 0
    assert shop.post(bad).status == "skipped"


def _with_outage(shop: Shop, event: Mapping[str, Any]) -> None:
    shop.stripe.faults.append(Fault("status", 500, path=READS, times=3))
    shop.post(event)


def test_a_handler_that_breaks_in_its_own_way_holds_up_nobody(
    quiet_shop: Shop, told: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that is none of ours fails the one event, under its class's name, and not the run of the jobs."""
    shop = quiet_shop

    async def broken(core: Core, kind: ProjectionKind, stripe_id: str, **options: Any) -> Outcome:
        if kind == "product":
            raise ZeroDivisionError
        return await sync_object(core, kind, stripe_id, **options)

    monkeypatch.setattr(handling, "sync_object", broken)
    with pytest.raises(ZeroDivisionError):
        shop.post(envelope("product.updated", {"object": "product", "id": "prod_1"}, "evt_1"))
    assert shop.inbox()["evt_1"]["note"] == "ZeroDivisionError"
    with pytest.raises(Unavailable):
        _with_outage(shop, told)
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3)
    assert shop.billing.jobs.run()["webhooks"] == 2
    assert {row["status"] for row in shop.inbox().values()} == {"failed", "processed"}
    monkeypatch.undo()
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 60)
    shop.billing.jobs.run()
    assert {row["status"] for row in shop.inbox().values()} == {"processed"}


def test_an_outage_of_days_kills_no_event(quiet_shop: Shop, told: Mapping[str, Any]) -> None:
    """Stripe out of reach for two days costs more than twelve attempts, and the event is still brought in after it."""
    shop = quiet_shop
    shop.stripe.faults.append(Fault("status", 503, path=READS, times=None))
    with pytest.raises(Unavailable):
        shop.post(told)
    for _ in range(48):
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3_600)
        shop.billing.jobs.run()
    row = shop.inbox()[told["id"]]
    assert row["status"] == "failed"
    assert row["attempts"] > inbox.MAX_ATTEMPTS
    shop.stripe.faults.clear()
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 7 * 3_600)
    shop.billing.jobs.run()
    assert shop.subscription().plan == "pro"


class Crash(BaseException):
    """What a kill looks like from inside."""


def test_an_event_whose_worker_died_is_taken_over(
    quiet_shop: Shop, told: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the insert and the work leaves a lease; when that ends somebody takes over."""
    shop = quiet_shop

    async def dying(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(handling, "sync_object", dying)
    with pytest.raises(Crash):
        shop.post(told)
    monkeypatch.undo()
    assert shop.inbox()[told["id"]]["status"] == "processing"
    assert shop.post(told).status == "skipped"
    assert shop.billing.jobs.run()["webhooks"] == 0
    assert shop.billing.subscriptions.get("ann") is None
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 301)
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert shop.subscription().plan == "pro"
    assert shop.inbox()[told["id"]]["attempts"] == 2


def test_a_crash_before_the_work_began_loses_nothing(
    quiet_shop: Shop, told: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that was inserted, and taken in the same commit, is worked on by the jobs once the lease ends."""
    shop = quiet_shop

    async def dying(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(inbox, "_work", dying)
    with pytest.raises(Crash):
        shop.post(told)
    monkeypatch.undo()
    assert shop.inbox()[told["id"]]["status"] == "processing"
    assert shop.billing.jobs.run()["webhooks"] == 0
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 301)
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert shop.subscription().plan == "pro"


@pytest.mark.parametrize(
    ("member", "why"),
    [({"livemode": True}, "livemode mismatch"), ({"account": "acct_1Other"}, "of a connected account")],
)
def test_an_event_of_another_mode_or_account_is_ignored(
    quiet_shop: Shop, told: Mapping[str, Any], member: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept with its reason, logged and answered; no hook hears of it, Stripe is not asked, nothing changes."""
    shop = quiet_shop
    heard: list[Event] = []
    shop.billing.on()(heard.append)
    caplog.clear()
    before, asked = shop.rows(), len(shop.stripe.requests)
    assert shop.post({**told, **member}).status == "ignored"
    after = shop.rows()
    assert without(after, "webhook_event") == without(before, "webhook_event")
    assert (len(shop.stripe.requests), heard) == (asked, [])
    (row,) = after["webhook_event"]
    assert (row["status"], row["note"]) == ("ignored", why)
    assert shop.post({**told, **member}).status == "skipped"
    (line,) = (each for each in caplog.records if each.message.startswith("webhook.ignored"))
    assert (line.levelname, f"event={told['id']}" in line.message, why in line.message) == ("WARNING", True, True)
    if "account" in member:
        assert shop.post(told).status == "applied"


def _event(**members: object) -> bytes:
    good = envelope("product.created", {"object": "product", "id": "prod_1"}, "evt_1")
    return json.dumps({**good, **members}).encode()


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"evt_1"',
    "a number": b"1",
    "not UTF-8": b'{"id": "\xff"}',
    "UTF-16": json.dumps({"id": "evt_1"}).encode("utf-16"),
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a huge number": b'{"id": ' + b"9" * 5_000 + b"}",
    "a megabyte of nothing": b" " * 2**20,
    "no object": _event(object="v2.core.event"),
    "no id": _event(id=None),
    "an id of another kind": _event(id="cus_1"),
    "an id with a path": _event(id="evt_../../x"),
    "an id that is too long": _event(id="evt_" + "x" * 251),
    "no type": _event(type=None),
    "an empty type": _event(type=""),
    "a type of lone surrogates": _event(type="\ud800"),
    "a type with NUL": _event(type="a\x00b"),
    "a type that is too long": _event(type="x" * 251),
    "no data": _event(data=None),
    "data of another kind": _event(data=[]),
    "no object in data": _event(data={"object": "sub_1"}),
    "a time that is none": _event(created="yesterday"),
    "a time beyond all time": _event(created=10**15),
    "an account that is none": _event(account=["acct_1"]),
    "an account with NUL": _event(account="acct_\x00"),
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_signed_body_that_is_no_event_is_refused_and_not_stored(shop: Shop, what: str) -> None:
    """A body that no Stripe sends is answered like a forgery, whatever is wrong with it, and leaves no trace."""
    shop.billing.jobs.run()
    before = shop.rows()
    with pytest.raises(InvalidSignature):
        shop.post(BAD_BODIES[what])
    assert shop.rows() == before


@pytest.mark.parametrize(
    "subject",
    [
        {"object": "product", "id": "\ud800"},
        {"object": "product", "id": "a/../b"},
        {"object": "product", "id": "x" * 300},
        {"object": "product", "id": "prod\x00"},
        {"object": "product", "id": 5},
        {"object": "product"},
        {"object": "customer", "id": "cus_\x00", "customer": "\ud800"},
    ],
)
def test_an_object_id_that_cannot_be_asked_for_is_ignored(shop: Shop, subject: dict[str, Any]) -> None:
    """A signed event about an object whose id is no id is kept as ignored, and fails nothing."""
    assert shop.post(envelope("product.updated", subject, "evt_1")).status == "ignored"


def test_forgeries_are_refused_and_not_stored(shop: Shop) -> None:
    """Wrong, missing, stale and future signatures, other bytes and other secrets: one error, no row, no question."""
    shop.billing.jobs.run()
    body = _event()
    good = shop.stripe.sign(body)
    forged = [
        "",
        "t=1,v1=",
        good.replace("v1=", "v2="),
        good.replace("v1=", "v0="),
        good.replace("v1=", "v1=0"),
        good.upper(),
        shop.stripe.sign(body, secret="whsec_other"),
        shop.stripe.sign(body, shop.stripe.now - timedelta(seconds=301)),
        shop.stripe.sign(body, shop.stripe.now + timedelta(seconds=301)),
        shop.stripe.sign(body + b" "),
        good + ",t=1",
        "tü=1",
    ]
    before = shop.rows()
    for header in forged:
        with pytest.raises(InvalidSignature) as refusal:
            shop.billing.webhooks.receive(body, header)
        assert str(refusal.value) == "The webhook signature could not be verified"
    with pytest.raises(InvalidSignature):
        shop.billing.webhooks.receive(body.decode(), good)  # type: ignore[arg-type]  # on purpose
    assert shop.rows() == before
    assert not shop.stripe.requests
    assert shop.billing.webhooks.receive(body, good).status == "applied"


def test_an_event_of_another_objects_state_is_never_believed(shop: Shop) -> None:
    """A signed event that claims a state, a plan or an owner changes nothing that Stripe does not say itself."""
    bought = shop.buy()
    lie = shop.event("customer.subscription.created")["data"]["object"]
    lie = {**lie, "status": "canceled", "customer": "cus_other", "metadata": {"plan": "team", "referenceId": "bob"}}
    assert shop.post(envelope("customer.subscription.deleted", lie, "evt_lie")).status == "applied"
    assert shop.subscription() == bought
    assert shop.billing.subscriptions.get("bob") is None


def test_a_session_without_a_subscription_asks_for_none(shop: Shop) -> None:
    """A completed session of mode payment that we did not open is unmatched; no subscription `null` is asked for."""
    session = {"object": "checkout.session", "id": "cs_test_1", "mode": "payment", "subscription": None}
    assert shop.post(envelope("checkout.session.completed", session, "evt_1")).status == "unmatched"
    assert not shop.stripe.requests
    assert without(shop.rows(), *NEWS)["checkout_session"] == []


class _Slow:
    """A clock by which everything takes half a minute."""

    def __init__(self, now: Instant) -> None:
        self.at = now

    def now(self) -> Instant:
        """A little later every time."""
        self.at += 30 * SECOND
        return self.at


def test_the_wait_after_a_failure_begins_when_it_failed(quiet_shop: Shop, told: Mapping[str, Any]) -> None:
    """However long the attempt took: Stripe is not asked again at once."""
    quiet_shop.stripe.faults.append(Fault("status", 400, path=READS, times=None))
    core = quiet_shop.billing._wiring.core
    clock = _Slow(core.now())
    with pytest.raises(StripeRefused):
        run_blocking(inbox.take_listed(evolve(core, clock=clock), told))
    row = quiet_shop.inbox()[told["id"]]
    assert (row["status"], row["lease_until"]) == ("failed", clock.at + 2 * SECOND)
