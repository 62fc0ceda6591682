"""`jobs.run` and `jobs.forever`: all that is due, each job for itself, and what is thrown away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import pytest
from attrs import evolve

from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Event
from kernia_billing.domain.instants import DAY, FOREVER, HOUR, MINUTE
from kernia_billing.domain.jobs import JobsReport
from kernia_billing.domain.outbound import IntentRow
from kernia_billing.domain.upkeep import AuditRow
from kernia_billing.errors import ConfigError, StripeRefused
from kernia_billing.operations import fencing, jobs, retention
from kernia_billing.operations.core import Core
from kernia_billing.ports.store import Needs, Store, Transaction, Unit
from kernia_billing.ports.telemetry import QUEUE_DEPTH, Attributes, Instrument, NullTelemetry
from kernia_billing.testing import Fault
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import NoWait, Shop, envelope

T = TypeVar("T")


def core_of(shop: Shop, **changes: Any) -> Core:
    """The core of the application."""
    core: Core = shop.billing._wiring.core
    return evolve(core, **changes) if changes else core


def later(shop: Shop, micros: int) -> None:
    """Let time pass, and nothing else."""
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + micros // 1_000_000)


def post(shop: Shop, number: int) -> None:
    """Let an event of a product come in."""
    shop.post(envelope("product.updated", {"object": "product", "id": f"prod_{number}"}, f"evt_{number:04}"))


def now_and_then(name: str, work: jobs.Job) -> jobs.Job:
    """A job that one replica does every hour."""

    async def share(core: Core) -> jobs.Share:
        number = await work(core)
        return jobs.Share(number, is_all=number == 0)

    async def job(core: Core) -> int:
        return await jobs._now_and_then(core, name, HOUR, share)

    return job


def _add(row: IntentRow | AuditRow, tx: Transaction) -> None:
    if isinstance(row, IntentRow):
        tx.intents.add(row)
    else:
        tx.audit.add(row)


# ── Once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_fails_does_not_keep_others_from_being_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises is named in the report and the log, without its text."""

    async def broken(_core: Core) -> int:
        raise ZeroDivisionError("ann@example.com")

    monkeypatch.setattr(jobs, "JOBS", {"broken": broken, **jobs.JOBS, "worse": broken})
    post(shop, 1)
    report = shop.billing.jobs.run()

    assert dict(report.failed) == {"broken": "ZeroDivisionError", "worse": "ZeroDivisionError"}
    assert set(report.counts) == {"broken", "worse", *jobs.JOBS}
    assert [each.getMessage().split()[0] for each in caplog.records if each.levelname == "ERROR"] == ["job.failed"] * 2
    assert "ann@example.com" not in caplog.text


def test_a_wrong_application_is_told_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no job can be done with is raised at once."""

    async def wrong(_core: Core) -> int:
        raise ConfigError(["database: no"])

    monkeypatch.setattr(jobs, "JOBS", {"wrong": wrong})
    with pytest.raises(ConfigError):
        shop.billing.jobs.run()


def test_calls_whose_answer_was_lost_are_found_again(each_shop: Shop) -> None:
    """Once a minute, on one replica, and again a minute after it failed."""
    shop = each_shop
    core = core_of(shop)
    for number in range(3):
        row = IntentRow(f"k{number}", "customer", "cust_1", "/v1/customers", {}, "pending", None, core.now())
        run_blocking(core.store.transaction(partial(_add, row)))
    shop.billing.jobs.run()
    later(shop, 2 * MINUTE)
    assert shop.billing.jobs.run()["intents"] == 3
    assert {row["state"] for row in shop.rows()["intent"]} == {"parked"}
    assert shop.billing.jobs.run()["intents"] == 0


def test_what_no_webhook_told_of_is_found_every_hour(quiet_shop: Shop) -> None:
    """A lost webhook is found by the jobs; an hour in which nothing was lost costs one call to Stripe."""
    shop = quiet_shop
    shop.billing.jobs.run()
    shop.stripe.pay(shop.upgrade())
    assert shop.billing.subscriptions.get("ann") is None
    later(shop, HOUR)
    assert shop.billing.jobs.run()["reconciled"] > 0
    assert shop.subscription().plan == "pro"
    shop.billing.jobs.run()
    asked = len(shop.stripe.requests)
    shop.billing.jobs.run()
    assert len(shop.stripe.requests) == asked
    later(shop, HOUR)
    assert shop.billing.jobs.run()["reconciled"] == 0
    assert [each.path for each in shop.stripe.requests[asked:]] == ["/v1/events"]


def test_what_one_replica_is_at_no_other_begins(each_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one prunes the other does not; after five minutes without a write it may, and the first one stops."""
    shop = each_shop
    other = shop.open()
    seen: list[JobsReport] = []

    async def slow(core: Core) -> int:
        if not seen:
            seen.append(other.jobs.run())
            later(shop, fencing.TERM + 1_000_000)
            seen.append(other.jobs.run())
        return await retention.prune(core)

    calls: list[Core] = []

    async def counted(core: Core) -> int:
        calls.append(core)
        return await slow(core)

    monkeypatch.setattr(jobs, "JOBS", {"pruned": now_and_then("pruned", counted)})
    shop.billing.jobs.run()
    later(shop, HOUR)
    report = shop.billing.jobs.run()

    assert len(calls) == 2
    assert dict(report.failed) == {"pruned": "LEASE_LOST"}
    assert [dict(each.failed) for each in seen] == [{}, {}]
    (lease,) = [row for row in shop.rows()["lease"] if row["name"] == "job.pruned"]
    assert (lease["holder"], lease["held_until"]) == ("", 0)


class _Overtaken:
    """A store whose first answer comes when another replica has done the job meanwhile."""

    def __init__(self, store: Store, other: Callable[[], Awaitable[object]]) -> None:
        self._store = store
        self._other: Callable[[], Awaitable[object]] | None = other
        self.transaction = store.transaction
        self.close = store.close

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Read, and let the other one work before the answer is heard."""
        answer = await self._store.read(unit, needs=needs)
        other, self._other = self._other, None
        if other is not None:
            await other()
        return answer


def test_what_another_replica_has_just_done_is_not_done_again(shop: Shop) -> None:
    """Two see that it is time; the second has its turn when the first has done all of it."""
    core, done = core_of(shop), list[str]()

    async def work(_core: Core) -> int:
        done.append("once")
        return 0

    async def job(core: Core) -> int:
        return await now_and_then("upkeep", work)(core)

    run_blocking(job(core))
    later(shop, HOUR)
    run_blocking(job(evolve(core, store=_Overtaken(core.store, lambda: job(core)))))
    assert done == ["once"]


def test_a_job_that_failed_is_tried_again_after_a_minute(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By any replica, and not before; one that found nothing is not due for its whole interval."""
    outcomes: list[Exception | int] = [ZeroDivisionError(), 5, 0, 0]

    async def work(_core: Core) -> int:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(jobs, "JOBS", {"x": now_and_then("x", work)})
    run = shop.billing.jobs.run
    assert (run().failed, len(outcomes)) == ({}, 4)
    later(shop, HOUR)
    assert dict(run().failed) == {"x": "ZeroDivisionError"}
    assert (run().failed, len(outcomes)) == ({}, 3)
    later(shop, MINUTE)
    assert run()["x"] == 5
    assert (run()["x"], len(outcomes)) == (0, 1)
    later(shop, HOUR - MINUTE)
    run()
    assert len(outcomes) == 1
    later(shop, MINUTE)
    run()
    assert outcomes == []


# ── For ever ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Steps(NoWait):
    """A pace whose rests are noted, and which says when it is enough."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.rests: list[float] = []
        self._limit = limit

    async def sleep(self, seconds: float) -> None:
        """Do not."""
        self.rests.append(seconds)

    def jitter(self) -> float:
        """The most."""
        return 1.0

    def enough(self) -> bool:
        """Whether there were as many rests as wanted."""
        return len(self.rests) >= self._limit


def test_a_worker_goes_on_at_once_while_there_is_work(open_shop: Open) -> None:
    """It rests only when nothing is left, longer every time, and in naps."""
    shop = open_shop(deliver="manual", webhook_mode="worker")
    for number in range(230):
        post(shop, number)
    reports: list[JobsReport] = []
    pace = Steps(limit=200)
    run_blocking(jobs.forever(core_of(shop, pace=pace), pace.enough, reports.append))

    assert [each["webhooks"] for each in reports] == [100, 100, 30]
    assert shop.billing.webhooks.health().waiting == 0
    assert sum(pace.rests[:3]) == pytest.approx(0.5)
    assert max(pace.rests) == jobs._NAP


def test_a_worker_ends_between_two_items(open_shop: Open) -> None:
    """What it had not begun is left, or given back, for the next one to begin at once."""
    heard: list[Event] = []
    shop = open_shop(deliver="manual", webhook_mode="worker", on_event=heard.append)
    for number in range(20):
        post(shop, number)
    run_blocking(jobs.forever(core_of(shop), lambda: len(shop.stripe.requests) >= 7))
    statuses = [row["status"] for row in shop.inbox().values()]
    assert (statuses.count("processed"), statuses.count("received")) == (7, 13)

    run_blocking(jobs.forever(core_of(shop), lambda: len(heard) >= 5))
    assert len(heard) == 5
    now = core_of(shop).now()
    unsent = [row["lease_until"] for row in shop.rows()["outbox"] if row["sent_at"] == FOREVER]
    assert len(unsent) == 15
    assert max(unsent) <= now
    shop.billing.jobs.run()
    assert (len(heard), len({each.id for each in heard})) == (20, 20)


# ── What is thrown away ──────────────────────────────────────────────────────────────────────────────────────────────


class Depths(NullTelemetry):
    """A telemetry that keeps how deep each queue was."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    def record(self, instrument: Instrument, value: float, attributes: Attributes | None = None) -> None:
        """Keep it."""
        if instrument is QUEUE_DEPTH and attributes is not None:
            self.of.setdefault(str(attributes["kernia_billing.queue"]), []).append(value)


def test_the_depth_of_every_queue_is_measured(open_shop: Open) -> None:
    """After every run it is told what waits: events of Stripe's, events for hooks, and usage for meters."""
    shop = open_shop(webhook_mode="worker", deliver="manual")
    told = Depths()
    core = core_of(shop, telemetry=told)

    @shop.billing.on("product.updated")
    def fragile(_: Event) -> None:
        raise RuntimeError

    run_blocking(jobs.run(core))
    assert told.of == {"inbox": [0], "outbox": [0], "meter_events": [0]}
    post(shop, 1)
    post(shop, 2)
    shop.stripe.faults.append(Fault("status", 500, path="/v1/products/prod_2", times=None))
    run_blocking(jobs.run(core))
    assert told.of == {"inbox": [0, 1], "outbox": [0, 2], "meter_events": [0, 0]}


def test_only_what_is_done_with_is_thrown_away(each_shop: Shop) -> None:
    """After 30 days: worked-on webhooks and handed-over events. Failed and unmatched ones and the audit log stay."""
    shop = each_shop
    shop.buy()
    shop.stripe.faults.append(Fault("status", 400, path="/v1/products/prod_bad", times=None))
    with pytest.raises(StripeRefused):
        shop.post(envelope("product.updated", {"object": "product", "id": "prod_bad"}, "evt_bad"))
    kept = {"failed", "unmatched", "dead", "received"}
    done = [id for id, row in shop.inbox().items() if row["status"] not in kept]
    events = len(shop.rows()["outbox"])
    audited = len(shop.rows()["audit"])
    assert done
    assert shop.billing.jobs.run()["pruned"] == 0

    later(shop, 30 * DAY + HOUR)
    assert shop.billing.jobs.run()["pruned"] >= len(done) + events - 1
    assert not set(done) & set(shop.inbox())
    assert "evt_bad" in shop.inbox()
    assert len(shop.rows()["audit"]) >= audited
    assert shop.subscription().plan == "pro"


def test_retention_is_an_option(open_shop: Open) -> None:
    """Events and audit rows have lengths of their own."""
    shop = open_shop(event_retention="4d", audit_retention="1d")
    core = core_of(shop)
    for number in range(5):
        row = AuditRow(f"a{number}", core.now() + number, "cli:me", "price.mapped", "", "price_1", None, {"plan": "x"})
        run_blocking(core.store.transaction(partial(_add, row)))
    post(shop, 1)
    shop.billing.jobs.run()
    later(shop, 2 * DAY)
    assert shop.billing.jobs.run()["pruned"] == 5
    assert shop.rows()["audit"] == []
    assert len(shop.inbox()) == 1
    later(shop, 3 * DAY)
    shop.billing.jobs.run()
    assert shop.inbox() == {}


def test_much_is_thrown_away_in_small_transactions(open_shop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run deletes so many rows at most, oldest first; the next one goes on at once."""
    monkeypatch.setattr(retention, "BATCH", 10)
    monkeypatch.setattr(retention, "_BATCHES", 3)
    shop = open_shop(audit_retention="1d")
    core = core_of(shop)

    def fill(tx: Any) -> None:
        for number in range(75):
            tx.audit.add(AuditRow(f"a{number:02}", number, "cli:me", "price.mapped", "", "p", None, {"plan": "x"}))

    run_blocking(core.store.transaction(fill))
    shop.billing.jobs.run()
    later(shop, HOUR)
    left: list[int] = []
    for _ in range(4):
        shop.billing.jobs.run()
        left.append(len(shop.rows()["audit"]))
    assert left == [45, 15, 0, 0]
