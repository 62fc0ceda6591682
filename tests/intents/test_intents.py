"""Calls that create something at Stripe: one object for each, whatever is lost, however late somebody goes on."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve

from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import HOUR, MINUTE, SECOND
from kernia_billing.domain.outbound import IntentRow
from kernia_billing.errors import PaymentFailed, StripeRefused, Unavailable
from kernia_billing.operations import intents
from kernia_billing.testing import Fault
from tests.harness.counts import count
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop

CUSTOMERS = "/v1/customers"
SESSIONS = "/v1/checkout/sessions"
NEVER_SENT: dict[str, Any] = {"kind": "refuse_connect"}
LOST: dict[str, dict[str, Any]] = {
    "never sent": NEVER_SENT,
    "lost on the way there": {"kind": "timeout_before"},
    "lost on the way back": {"kind": "timeout_after"},
    "connection reset after it": {"kind": "reset_after"},
    "half an answer": {"kind": "torn_after"},
    "a 500 that did it": {"kind": "status", "status": 500, "sticky": True, "apply": True},
    "a 500 that did nothing": {"kind": "status", "status": 500, "sticky": True},
}
HOURS = (0, 22, 23, 25, 36)


def lose(shop: Shop, how: str, path: str, times: int = 3) -> None:
    """Let the attempts at a POST go wrong, and the look that follows too."""
    shop.stripe.faults.append(Fault(**LOST[how], method="POST", path=path, times=times))
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=path, times=3))


def recover(shop: Shop, limit: int = 100) -> dict[str, int]:
    """What the job says."""
    return dict(run_blocking(intents.recover(shop.billing._wiring.core, limit)))


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The one row."""
    (row,) = rows
    return row


# ── Going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("how", LOST)
def test_one_customer_however_late_the_call_is_repeated(shop: Shop, how: str, hours: int) -> None:
    """Repeated at once, before Stripe forgets the key, just before, after, and long after: one customer at Stripe."""
    lose(shop, how, CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=hours)
    if how == "a 500 that did nothing" and hours < 24:
        # Stripe repeats its 500 under the key, and nothing is sent under another one.
        with pytest.raises(Unavailable):
            shop.billing.customers.ensure("ann")
        assert shop.objects("customer") == []
        shop.stripe.advance(hours=25)

    made = shop.billing.customers.ensure("ann")

    assert made.stripe_id == only(shop.objects("customer"))["id"]
    assert len({each.headers["idempotency-key"] for each in shop.called("POST", CUSTOMERS)}) == 1
    assert only(shop.rows()["intent"])["state"] == "done"


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("how", ["lost on the way back", "a 500 that did it"])
def test_an_old_call_that_was_carried_out_is_not_sent_again(shop: Shop, how: str, hours: int) -> None:
    """From 23 hours on the object is looked for first, and nothing is sent where it is found."""
    lose(shop, how, CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=hours)
    sent = len(shop.called("POST", CUSTOMERS))

    shop.billing.customers.ensure("ann")

    again = len(shop.called("POST", CUSTOMERS)) - sent
    assert (again == 0) == (hours > 23)
    assert len(shop.objects("customer")) == 1


def test_a_repeated_call_carries_the_first_bytes(shop: Shop) -> None:
    """What the call says the second time changes nothing: the same parameters go out under the same key."""
    lose(shop, "lost on the way there", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann", email="ann@first.example")
    shop.billing.customers.ensure("ann", email="ann@second.example")

    told = [(each.params, each.headers["idempotency-key"]) for each in shop.called("POST", CUSTOMERS)]
    assert len(told) == 4
    assert all(each == told[0] for each in told)
    assert only(shop.objects("customer"))["email"] == "ann@first.example"


@pytest.mark.parametrize("back", [1, 25])
def test_a_clock_that_went_back_hides_nothing(shop: Shop, back: int) -> None:
    """Where our clock was ahead when the call was made, its age is unknown: the object is looked for first."""
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    row = shop.billing._wiring.core
    created = only(shop.rows()["intent"])["created_at"]
    assert created == row.now()
    core = evolve(row, clock=_Behind(row, back * HOUR))
    stored = run_blocking(core.store.read(lambda tx: tx.intents.unfinished(created + 1, 10)))[0]
    sent = len(shop.called("POST", CUSTOMERS))

    found = run_blocking(
        intents.create(core, stored.operation, stored.key, stored.customer_id, stored.path, stored.params)
    )

    assert found["id"] == only(shop.objects("customer"))["id"]
    assert len(shop.called("POST", CUSTOMERS)) == sent


class _Behind:
    """A clock that was put right."""

    def __init__(self, core: Any, microseconds: int) -> None:
        self._clock, self._behind = core.clock, microseconds

    def now(self) -> int:
        """So much earlier."""
        return int(self._clock.now()) - self._behind


@pytest.mark.parametrize("refusal", [StripeRefused, PaymentFailed])
def test_a_refused_call_may_be_made_anew(shop: Shop, refusal: type[Exception]) -> None:
    """What Stripe judged is over: the next attempt has a key of its own, and succeeds."""
    status = 402 if refusal is PaymentFailed else 400
    shop.stripe.faults.append(Fault("status", status, method="POST", path=CUSTOMERS, sticky=True))
    with pytest.raises(refusal):
        shop.billing.customers.ensure("ann")
    shop.billing.customers.ensure("ann")

    assert sorted(each["state"] for each in shop.rows()["intent"]) == ["done", "failed"]
    assert len(shop.objects("customer")) == 1


# ── Recovering ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_carried_out_is_finished(each_shop: Shop) -> None:
    """The job finds the object by its metadata, sends nothing, and the next call is answered by it."""
    shop = each_shop
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=1)
    sent = len(shop.called("POST", CUSTOMERS))

    assert recover(shop) == {"done": 1, "parked": 0, "waiting": 0}
    assert recover(shop) == {"done": 0, "parked": 0, "waiting": 0}
    intent = only(shop.rows()["intent"])
    assert (intent["state"], intent["stripe_id"]) == ("done", only(shop.objects("customer"))["id"])
    assert shop.billing.customers.ensure("ann").stripe_id == intent["stripe_id"]
    assert len(shop.called("POST", CUSTOMERS)) == sent


def test_what_is_not_at_stripe_is_parked_and_told_of(each_shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent by itself; both logs say what was parked; who repeats the call gets its object."""
    shop = each_shop
    lose(shop, "never sent", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=1)
    sent = len(shop.called("POST", CUSTOMERS))

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="kernia_billing"):
        assert recover(shop) == {"done": 0, "parked": 1, "waiting": 0}

    assert (recover(shop)["parked"], len(shop.called("POST", CUSTOMERS))) == (0, sent)
    assert [each.getMessage().split()[0] for each in caplog.records] == ["intent.parked"]
    (entry,) = [each for each in shop.billing.audit("ann") if each.action == "intent.parked"]
    assert (entry.actor, entry.before) == ("application", None)
    assert entry.subject == only(shop.rows()["intent"])["idempotency_key"]

    looked = len(shop.called("GET", CUSTOMERS))
    made = shop.billing.customers.ensure("ann")
    assert made.stripe_id == only(shop.objects("customer"))["id"]
    assert len(shop.called("GET", CUSTOMERS)) == looked + 1
    assert only(shop.rows()["intent"])["state"] == "done"


@pytest.mark.parametrize("how", LOST)
def test_recovering_before_the_call_is_repeated_changes_nothing_for_the_caller(shop: Shop, how: str) -> None:
    """However the call was lost: the job first, then the call, and there is one page, which can be paid."""
    lose(shop, how, SESSIONS)
    with pytest.raises(Unavailable):
        shop.upgrade()
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=1)
    recover(shop)
    if how == "a 500 that did nothing":
        with pytest.raises(Unavailable):
            shop.upgrade()
        shop.stripe.advance(hours=25)
        recover(shop)

    opened = shop.upgrade()

    # Where the first page's own day was over, it was made only to be expired.
    assert [each["status"] for each in shop.objects("checkout.session") if each["status"] != "expired"] == ["open"]
    assert shop.stripe.pay(opened).status == "active"


def test_what_is_under_way_is_left_alone(shop: Shop) -> None:
    """Who made an intent has a minute to finish it."""
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()

    assert recover(shop) == {"done": 0, "parked": 0, "waiting": 0}
    assert only(shop.rows()["intent"])["state"] == "pending"


def test_while_stripe_is_down_everything_waits(shop: Shop) -> None:
    """An outage parks nothing: the next run goes on."""
    for reference in ("ann", "bob", "eve"):
        lose(shop, "lost on the way back", CUSTOMERS)
        with pytest.raises(Unavailable):
            shop.billing.customers.ensure(reference)
        shop.stripe.faults.clear()
    shop.stripe.advance(hours=1)
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=CUSTOMERS, skip=1, times=3))

    assert recover(shop) == {"done": 1, "parked": 0, "waiting": 2}
    assert recover(shop, limit=1) == {"done": 1, "parked": 0, "waiting": 0}
    assert recover(shop) == {"done": 1, "parked": 0, "waiting": 0}


def test_an_object_among_too_many_is_parked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the search has to end without an answer, the outcome stays unknown."""
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.advance(hours=1)
    monkeypatch.setattr(intents, "_PAGES", 0)

    assert recover(shop)["parked"] == 1
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    monkeypatch.undo()
    assert shop.billing.customers.ensure("ann").stripe_id == only(shop.objects("customer"))["id"]


def test_what_was_finished_meanwhile_is_not_parked(shop: Shop) -> None:
    """Between the look and the note the caller came to its end: its word counts."""
    row = IntentRow("kernia-1", "customer", "cust_1", CUSTOMERS, {}, "pending", None, 1 * SECOND)
    core = shop.billing._wiring.core
    run_blocking(core.store.transaction(lambda tx: tx.intents.add(row)))
    run_blocking(core.store.transaction(lambda tx: tx.intents.finish(row.key, "done", "cus_1")))

    run_blocking(intents._settle(core, row, "parked", None, None))

    assert only(shop.rows()["intent"])["state"] == "done"
    assert intents.UNDER_WAY == MINUTE


# ── Two subscriptions ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_live_subscription_is_told_of_once(open_shop: Open) -> None:
    """Hooks hear `subscription.duplicate`, the audit log has it, and the mark on the subscription stays."""
    told: list[Any] = []
    shop = open_shop(on_event=told.append)
    shop.buy()
    shop.stripe.advance(hours=1)
    shop.account.buy("price_team", customer=shop.customer())
    shop.stripe.flush()
    shop.billing.jobs.run()

    duplicates = [each for each in told if each.type == "subscription.duplicate"]
    assert [each.subscription.plan for each in duplicates] == ["team"]
    assert [each.action for each in shop.billing.audit("ann")].count("subscription.duplicate") == 1
    assert {each.plan: each.duplicate for each in shop.billing.subscriptions.list("ann")} == {
        "pro": False,
        "team": True,
    }


# ── At once ──────────────────────────────────────────────────────────────────────────────────────────────────────────

FAULTS: dict[str, dict[str, Any] | None] = {
    "nothing lost": None,
    "lost on the way back": LOST["lost on the way back"],
    "a 500 that did it": LOST["a 500 that did it"],
}


@pytest.mark.parametrize("how", FAULTS)
def test_first_calls_at_once_make_one_customer(each_shop: Shop, how: str) -> None:
    """Eight threads ensure the same new customer while answers get lost: one at Stripe, and everybody gets it."""
    rounds, threads, fault = 2, 8, FAULTS[how]
    for number in range(rounds):
        reference = f"org_{number}"
        if fault is not None:
            each_shop.stripe.faults.append(Fault(**fault, method="POST", path=CUSTOMERS, times=2))
        start = threading.Barrier(threads)

        def ensure(reference: str = reference, start: threading.Barrier = start) -> str | None:
            start.wait()
            for _ in range(20):
                with suppress(Unavailable):
                    return each_shop.billing.customers.ensure(reference).stripe_id
            return None

        with ThreadPoolExecutor(threads) as pool:
            made = {task.result() for task in [pool.submit(ensure) for _ in range(threads)]}

        assert made == {each_shop.customer(reference)}
    assert len(each_shop.objects("customer")) == rounds
    assert [each["actor"] for each in each_shop.rows()["audit"]] == ["application"] * rounds
    count("first customers made by eight threads at once", rounds)
