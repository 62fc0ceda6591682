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
from kernia_billing.operations import fencing, intents, retention
from kernia_billing.testing import Fault
from tests.harness.counts import count
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop

CUSTOMERS = "/v1/customers"
SESSIONS = "/v1/checkout/sessions"
ENDPOINTS = "/v1/webhook_endpoints"
NEVER_SENT: dict[str, Any] = {"kind": "refuse_connect"}
LOST: dict[str, dict[str, Any]] = {
    "never sent": NEVER_SENT,
    "lost on the way there": {"kind": "timeout_before"},
    "lost on the way back": {"kind": "timeout_after"},
    "connection reset after it": {"kind": "reset_after"},
    "half an answer": {"kind": "torn_after"},
    "a 500 that did it": {"kind": "status", "status": 500, "sticky": True, "apply": True},
    "a 500 that did nothing": {"kind": "status", "status": 500, "sticky": True},
    "a proxy's page behind which it was done": {"kind": "html", "status": 404, "apply": True},
    "a proxy's page": {"kind": "html", "status": 400},
}
HOURS = (0, 22, 23, 25, 36)


def lose(shop: Shop, how: str, path: str, times: int = 3) -> None:
    """Let the attempts at a POST go wrong, and the look that follows too."""
    shop.stripe.faults.append(Fault(**LOST[how], method="POST", path=path, times=times))
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=path, times=3))


def recover(shop: Shop, limit: int = 100) -> dict[str, int]:
    """What the job says."""
    return dict(run_blocking(intents.recover(shop.billing._wiring.core, limit)))


def later(shop: Shop, hours: int) -> None:
    """Let time pass in which no job runs."""
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + hours * 3_600)


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
    later(shop, hours)
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


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_a_page_of_a_proxy_is_no_verdict(shop: Shop, status: int) -> None:
    """What was carried out unheard of is not made once more because something on the way says no."""
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    shop.stripe.faults.append(Fault("html", status, times=None))
    with pytest.raises(Unavailable) as caught:
        shop.billing.customers.ensure("ann")
    assert caught.value.outcome_unknown
    shop.stripe.faults.clear()

    made = shop.billing.customers.ensure("ann")

    assert made.stripe_id == only(shop.objects("customer"))["id"]
    assert only(shop.rows()["intent"])["state"] == "done"


# ── Recovering ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_carried_out_is_finished(each_shop: Shop) -> None:
    """The job finds the object by its metadata, sends nothing, and the next call is answered by it."""
    shop = each_shop
    lose(shop, "lost on the way back", CUSTOMERS)
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    shop.stripe.faults.clear()
    later(shop, 1)
    sent = len(shop.called("POST", CUSTOMERS))

    assert recover(shop) == {"done": 1, "parked": 0, "not_made": 0, "waiting": 0}
    assert recover(shop) == {"done": 0, "parked": 0, "not_made": 0, "waiting": 0}
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
    later(shop, 1)
    sent = len(shop.called("POST", CUSTOMERS))

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="kernia_billing"):
        assert recover(shop) == {"done": 0, "parked": 1, "not_made": 0, "waiting": 0}

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
    later(shop, 1)
    recover(shop)
    if how == "a 500 that did nothing":
        with pytest.raises(Unavailable):
            shop.upgrade()
        later(shop, 25)
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

    assert recover(shop) == {"done": 0, "parked": 0, "not_made": 0, "waiting": 0}
    assert only(shop.rows()["intent"])["state"] == "pending"


def test_while_stripe_is_down_everything_waits(shop: Shop) -> None:
    """An outage parks nothing: the next run goes on."""
    for reference in ("ann", "bob", "eve"):
        lose(shop, "lost on the way back", CUSTOMERS)
        with pytest.raises(Unavailable):
            shop.billing.customers.ensure(reference)
        shop.stripe.faults.clear()
    later(shop, 1)
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=CUSTOMERS, skip=1, times=3))

    assert recover(shop) == {"done": 1, "parked": 0, "not_made": 0, "waiting": 2}
    assert recover(shop, limit=1) == {"done": 1, "parked": 0, "not_made": 0, "waiting": 0}
    assert recover(shop) == {"done": 1, "parked": 0, "not_made": 0, "waiting": 0}


# ── Among many others ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One page of a hundred objects is as much as a caller waits for."""
    monkeypatch.setattr(intents, "_PAGES", 1)


def crowd(shop: Shop) -> None:
    """More new customers than a caller looks at."""
    for number in range(101):
        shop.account.post(CUSTOMERS, {"name": f"Somebody {number}"})


def not_yet(shop: Shop, **who: Any) -> None:
    """A call that goes on later."""
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann", **who)


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("hours", [1, 25])
def test_an_object_among_many_is_found_by_the_job(shop: Shop, hours: int) -> None:
    """The caller of a late call is not kept waiting for all of Stripe's lists, the job reads them to the end."""
    lose(shop, "lost on the way back", CUSTOMERS)
    not_yet(shop)
    shop.stripe.faults.clear()
    later(shop, hours)
    crowd(shop)
    if hours > 23:
        not_yet(shop)

    assert recover(shop) == {"done": 1, "parked": 0, "not_made": 0, "waiting": 0}

    made = shop.billing.customers.ensure("ann")
    (ours,) = [each for each in shop.objects("customer") if each["metadata"]]
    assert made.stripe_id == ours["id"]


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("parked", [True, False])
def test_what_was_not_made_is_made_after_a_day(each_shop: Shop, parked: bool) -> None:
    """However many customers are newer: what Stripe did not make while it knew the key is forgotten, and made anew."""
    shop = each_shop
    lose(shop, "never sent", CUSTOMERS)
    not_yet(shop, email="jane.canary@example.com")
    shop.stripe.faults.clear()
    if parked:
        later(shop, 1)
        assert recover(shop)["parked"] == 1
    later(shop, 25)
    crowd(shop)
    not_yet(shop)

    assert recover(shop) == {"done": 0, "parked": 0, "not_made": 1, "waiting": 0}
    assert "canary" not in str(shop.rows())

    shop.billing.customers.ensure("ann", email="ann@example.com")
    (ours,) = [each for each in shop.objects("customer") if each["metadata"]]
    assert (ours["email"], only(shop.rows()["intent"])["state"]) == ("ann@example.com", "done")


def test_a_late_call_that_is_lost_again_is_known_for_a_day_again(shop: Shop) -> None:
    """The key counts from when it is sent again: what was made then is neither looked for nor made once more."""
    lose(shop, "never sent", CUSTOMERS)
    not_yet(shop)
    shop.stripe.faults.clear()
    later(shop, 30)
    shop.stripe.faults.append(Fault("timeout_after", method="POST", path=CUSTOMERS, times=3))
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=CUSTOMERS, skip=1, times=3))
    not_yet(shop)
    shop.stripe.faults.clear()
    later(shop, 1)
    looked = len(shop.called("GET", CUSTOMERS))

    made = shop.billing.customers.ensure("ann")

    assert made.stripe_id == only(shop.objects("customer"))["id"]
    assert len(shop.called("GET", CUSTOMERS)) == looked


def test_of_two_late_callers_the_second_goes_on_with_the_first(shop: Shop) -> None:
    """What another call began anew meanwhile is sent as that one wrote it."""
    core = shop.billing._wiring.core
    old = IntentRow("kernia-1", "customer", "cust_1", CUSTOMERS, {}, "parked", None, core.now() - 30 * HOUR)
    run_blocking(core.store.transaction(lambda tx: tx.intents.add(old)))

    first = run_blocking(intents._begun_anew(core, old, {"name": "first"}))
    second = run_blocking(intents._begun_anew(core, old, {"name": "second"}))

    assert first == second == evolve(old, params={"name": "first"}, state="pending", created_at=core.now())


def test_an_interrupted_look_parks_nothing(shop: Shop) -> None:
    """A worker that is to stop ends between two pages, and the next one goes on."""
    lose(shop, "lost on the way back", CUSTOMERS)
    not_yet(shop)
    shop.stripe.faults.clear()
    later(shop, 1)
    core = evolve(shop.billing._wiring.core, stopping=lambda: True)

    assert run_blocking(intents.recover(core))["waiting"] == 1
    assert recover(shop)["done"] == 1


@pytest.mark.usefixtures("busy")
def test_a_long_look_keeps_its_lease(shop: Shop) -> None:
    """However long the list, nobody else begins to read it while it is read."""
    lose(shop, "lost on the way back", CUSTOMERS)
    not_yet(shop)
    shop.stripe.faults.clear()
    later(shop, 1)
    crowd(shop)
    core = shop.billing._wiring.core
    stripe: Any = core.stripe
    exchange = stripe._exchange
    taken: list[Any] = []

    async def slow(call: Any, deadline: float) -> Any:
        reply = await exchange(call, deadline)
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 240)
        now = core.now()
        taken.append(await core.store.transaction(lambda tx: tx.leases.acquire("look", "other", now, now + MINUTE)))
        return reply

    stripe._exchange = slow

    found = run_blocking(fencing.alone(core, "look", intents.recover))

    assert (found or {}).get("done") == 1
    assert taken == [None, None]


def test_clocks_of_hosts_may_differ_by_hours(shop: Shop) -> None:
    """An intent of a host that is ahead is looked for among what is older, too."""
    lose(shop, "lost on the way back", CUSTOMERS)
    not_yet(shop)
    shop.stripe.faults.clear()
    core = shop.billing._wiring.core
    (intent,) = run_blocking(core.store.read(lambda tx: tx.intents.unfinished(core.now() + 1, 1)))
    later(shop, 24)

    found = run_blocking(intents.find(core, evolve(intent, created_at=intent.created_at + 20 * HOUR)))

    assert found is not None


# ── What tells of a person ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_look_is_not_repeated_for_ever(shop: Shop) -> None:
    """Where Stripe refuses the list, an intent is parked; after a second refusal a day later it has no parameters."""
    lose(shop, "never sent", CUSTOMERS)
    not_yet(shop, email="jane.canary@example.com")
    shop.stripe.faults.clear()
    shop.stripe.faults.append(Fault("status", 400, method="GET", path=CUSTOMERS, times=2))
    later(shop, 1)
    assert recover(shop)["parked"] == 1
    assert recover(shop)["parked"] == 0
    later(shop, 24)
    assert recover(shop)["parked"] == 0
    assert "canary" not in str(shop.rows()["intent"])
    looked = len(shop.called("GET", CUSTOMERS))
    recover(shop)
    assert (only(shop.rows()["intent"])["state"], len(shop.called("GET", CUSTOMERS))) == ("parked", looked)

    shop.billing.customers.ensure("ann", email="ann@example.com")
    assert only(shop.objects("customer"))["email"] == "ann@example.com"


def test_parked_parameters_are_kept_as_long_as_events(open_shop: Open) -> None:
    """Where nobody could look for so long, what the call would have said of a person is thrown away all the same."""
    shop = open_shop(event_retention="4d")
    lose(shop, "never sent", CUSTOMERS)
    not_yet(shop, email="jane.canary@example.com", name="Jane Canary")
    shop.stripe.faults.clear()
    later(shop, 1)
    recover(shop)
    core = shop.billing._wiring.core
    later(shop, 94)
    run_blocking(retention.prune(core))
    assert "anary" in str(shop.rows()["intent"])
    later(shop, 2)
    run_blocking(retention.prune(core))

    assert "anary" not in str(shop.rows()["intent"])
    assert only(shop.rows()["intent"])["state"] == "parked"
    shop.billing.customers.ensure("ann", email="ann@example.com")
    assert only(shop.objects("customer"))["email"] == "ann@example.com"


def test_what_was_finished_meanwhile_is_not_parked(shop: Shop) -> None:
    """Between the look and the note the caller came to its end: its word counts."""
    row = IntentRow("kernia-1", "customer", "cust_1", CUSTOMERS, {}, "pending", None, 1 * SECOND)
    core = shop.billing._wiring.core
    run_blocking(core.store.transaction(lambda tx: tx.intents.add(row)))
    run_blocking(core.store.transaction(lambda tx: tx.intents.finish(row.key, "done", "cus_1")))

    run_blocking(intents._settle(core, row, "parked", None, None))

    assert only(shop.rows()["intent"])["state"] == "done"
    assert intents.UNDER_WAY == MINUTE


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


# ── Lists that Stripe does not narrow down ───────────────────────────────────────────────────────────────────────────


def test_an_endpoint_whose_answer_was_lost_is_found(quiet_shop: Shop) -> None:
    """Stripe lists endpoints without a filter by time: the one that was made is given, without the lost secret."""
    quiet_shop.stripe.faults.append(Fault(**LOST["lost on the way back"], method="POST", path=ENDPOINTS, times=3))

    made = quiet_shop.billing.webhooks.create_endpoint()

    assert made.id == only(quiet_shop.objects("webhook_endpoint"))["id"]
    assert (made.created, made.secret) == (True, None)
    assert only(quiet_shop.rows()["intent"])["state"] == "done"


def test_an_endpoint_that_was_not_made_is_found_out_too(quiet_shop: Shop) -> None:
    """The caller hears of the outage and of no refusal; the intent is parked, and thrown away after a day."""
    quiet_shop.stripe.faults.append(Fault(**LOST["lost on the way there"], method="POST", path=ENDPOINTS, times=3))
    with pytest.raises(Unavailable):
        quiet_shop.billing.webhooks.create_endpoint()
    later(quiet_shop, 1)
    assert recover(quiet_shop)["parked"] == 1
    later(quiet_shop, 25)
    assert recover(quiet_shop)["not_made"] == 1
