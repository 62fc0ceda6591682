"""Callers of one process share transactions, and each is served as if it were alone."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from kernia_billing import (
    AsyncBilling,
    Billing,
    IdempotencyMismatch,
    InsufficientBalance,
    Metered,
    Plan,
    Unavailable,
    Use,
)
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.grants import LedgerLine
from kernia_billing.errors import GuardError
from kernia_billing.ports.store import Needs, Transaction
from kernia_billing.storage.faults import Again
from kernia_billing.storage.sharing import Ticket
from kernia_billing.storage.store import SqlStore
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.ears import hearing
from tests.harness.house import PRO, open_account, open_billing, options, subscribe
from tests.harness.meeting import FIRST, KINDS, PATIENCE, Call, Kind, Met, meet, sound, store_of, watched
from tests.servers import async_url

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.one_server]


def _is_gap_free(tables: Tables, reference: str) -> None:
    """Every number of the sequence is an event's, but for the first ones, which opened what was bought."""
    numbers = sorted(row["seq"] for row in tables.of(reference, tables.events))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    customer = tables.customer(reference)
    assert customer is not None
    assert customer["ledger_seq"] == numbers[-1]


def _shared(met: Met, calls: int) -> None:
    """All of them went together, after the first one; none had to be run alone."""
    assert met.batches == [1, calls]
    assert met.alone == 0
    count("uses that shared a transaction", calls)


def _consume(billing: Any, reference: str = "acme", quantity: int = 1, key: str | None = None) -> Any:
    return billing.consume(reference, "messages", quantity, idempotency_key=key)


def _track(billing: Any, mode: str, quantity: int, reference: str = "acme") -> Any:
    return billing.track(reference, "messages", quantity, mode=mode)


def test_a_limit_is_met_exactly(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Of 120 callers in one transaction as many are granted as there are units, and the others are denied."""
    subscribe(engine_url, stripe, "acme")
    calls: list[Call] = [_consume] * 120
    met = meet(kind, engine_url, calls)
    _shared(met, len(calls))
    assert len(met.receipts) == PRO
    assert met.errors(InsufficientBalance) == len(calls) - PRO
    assert sorted(each.balance.used for each in met.receipts) == list(range(1, PRO + 1))
    tables = coherent(engine, stripe)
    assert tables.used("acme") == tables.funded("acme") == tables.moved("acme") == PRO
    assert len(tables.of("acme", tables.events)) == PRO
    _is_gap_free(tables, "acme")


def test_mixed_modes_are_each_as_if_alone(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """What was funded, used and left in each receipt is what the order of the events says."""
    subscribe(engine_url, stripe, "acme")
    modes = [("require", 7), ("cap", 5), ("record", 3), ("require", 40)] * 10
    met = meet(kind, engine_url, [partial(_track, mode=mode, quantity=quantity) for mode, quantity in modes])
    _shared(met, len(modes))
    tables = coherent(engine, stripe)
    _is_gap_free(tables, "acme")
    by_id = {each.event_id: each for each in met.receipts}
    used = 0
    for row in sorted(tables.of("acme", tables.events), key=lambda row: row["seq"]):
        receipt = by_id.pop(row["id"])
        fits = min(row["quantity"], PRO - used)
        assert (row["funded"], receipt.funded, receipt.unfunded) == (fits, fits, row["quantity"] - fits)
        assert row["mode"] != "require" or fits == row["quantity"]
        used += fits
        assert (receipt.balance.used, receipt.balance.remaining) == (used, PRO - used)
    assert not by_id
    assert used == PRO == tables.used("acme")
    recorded = [each for each in met.receipts if each.quantity == 3]
    assert len(recorded) == 10
    assert len(met.receipts) + met.errors(InsufficientBalance) == len(modes)


def test_one_key_has_one_effect(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Callers with one key and one request get one receipt; those who ask for something else hear just that."""
    subscribe(engine_url, stripe, "acme")
    wanted = [(f"key-{number % 8}", 1 + number % 3 // 2) for number in range(48)]
    met = meet(kind, engine_url, [partial(_consume, quantity=quantity, key=key) for key, quantity in wanted])
    _shared(met, len(wanted))
    tables = coherent(engine, stripe)
    _is_gap_free(tables, "acme")
    events = {row["idempotency_key"]: row for row in tables.of("acme", tables.events)}
    assert len(events) == 8
    for key, stored in events.items():
        mine = [(answer, each[1]) for answer, each in zip(met.answers, wanted, strict=True) if each[0] == key]
        receipts = [answer for answer, quantity in mine if quantity == stored["quantity"]]
        assert all(isinstance(answer, Usage) for answer in receipts)
        told = [answer for answer in receipts if isinstance(answer, Usage)]
        assert [each.replayed for each in told].count(False) == 1
        assert all(evolve(each, replayed=False) == evolve(told[0], replayed=False) for each in told)
        assert told[0].event_id == stored["id"]
        others = [answer for answer, quantity in mine if quantity != stored["quantity"]]
        assert others
        assert all(isinstance(answer, IdempotencyMismatch) for answer in others)
    assert tables.used("acme") == sum(row["quantity"] for row in events.values())


def test_keys_that_were_used_before_are_replayed(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """A receipt of an earlier transaction comes back to the letter, beside uses that are new."""
    subscribe(engine_url, stripe, "acme")
    with open_billing(engine_url, stripe) as billing:
        before = [billing.consume("acme", "messages", 2, idempotency_key=f"key-{number}") for number in range(3)]
    store_reads: list[Call] = [partial(_consume, quantity=2, key=f"key-{number}") for number in range(3)]
    # Those who find their key by the first look need no transaction.
    met = meet(kind, engine_url, [partial(_consume, key=f"new-{number}") for number in range(10)])
    _shared(met, 10)
    with open_billing(engine_url, stripe) as billing:
        assert [call(billing) for call in store_reads] == [evolve(each, replayed=True) for each in before]
    assert coherent(engine, stripe).used("acme") == 16


def test_many_customers_are_each_counted_by_themselves(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """Thirty customers with four uses each, of whom some are denied, in one transaction."""
    open_account(engine_url, stripe)
    names = [f"user-{number}" for number in range(30)]
    with open_billing(engine_url, stripe) as billing:
        for name in names:
            billing.track(name, "messages", 2)
    calls: list[Call] = [partial(_consume, reference=name, quantity=3) for _ in range(4) for name in names]
    met = meet(kind, engine_url, calls)
    _shared(met, len(calls))
    tables = coherent(engine)
    assert met.errors(InsufficientBalance) == 2 * len(names)
    for name in names:
        assert tables.used(name) == tables.funded(name) == tables.moved(name) == 8
        _is_gap_free(tables, name)


def test_the_first_use_of_the_default_plan_is_shared(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """Customers who hold nothing yet get one grant and one bucket, whoever of the callers was first."""
    open_account(engine_url, stripe)
    names = [f"user-{number}" for number in range(10)]
    with open_billing(engine_url, stripe) as billing:
        for name in names:
            billing.set_usage(name, "projects", 0)
    calls: list[Call] = [partial(_consume, reference=name, quantity=4) for _ in range(3) for name in names]
    met = meet(kind, engine_url, calls)
    _shared(met, len(calls))
    tables = coherent(engine)
    for name in names:
        assert tables.used(name) == 8
        mine = [row for row in tables.of(name, tables.entitlements) if row["feature_key"] == "messages"]
        assert len(mine) == 1
    assert met.errors(InsufficientBalance) == len(names)


def test_the_first_use_of_unknown_customers_is_run_alone(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """Somebody nobody has seen is inserted once, and hinders nobody who goes along."""
    open_account(engine_url, stripe)
    calls: list[Call] = [partial(_consume, reference=f"new-{number % 5}", quantity=4) for number in range(15)]
    met = meet(kind, engine_url, [*calls, partial(_track, mode="record", quantity=1, reference=FIRST)])
    assert met.batches == [1, 16]
    assert met.alone == 15
    tables = coherent(engine)
    assert len(tables.customers) == 6
    assert all(tables.used(f"new-{number}") == 8 for number in range(5))
    assert met.errors(InsufficientBalance) == 5
    assert tables.used(FIRST) == 3


RICH = (
    Plan(
        "free",
        features={
            "messages": Metered(10),
            "calls": Metered(10, alerts=(50, 100), overage="free", overage_limit=100),
            "tokens": Metered(1_000, limits=()),
        },
    ),
)


def test_alerts_fire_once(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Whichever of the callers reaches a threshold tells it, nobody else does, and all of them share."""
    more: dict[str, Any] = {"plans": RICH}
    with open_billing(engine_url, stripe, **more) as billing:
        billing.track("acme", "calls")
    calls: list[Call] = [lambda billing: billing.track("acme", "calls")] * 20
    met = meet(kind, engine_url, calls, **more)
    _shared(met, len(calls))
    told = Counter(threshold for each in met.receipts for threshold in each.alerts)
    assert told == {50: 1, 100: 1}
    tables = coherent(engine)
    assert [row["topic"] for row in tables.outbox] == ["balance.threshold"] * 2
    again = meet(kind, engine_url, calls, **more)
    _shared(again, len(calls))
    assert not any(each.alerts for each in again.receipts)


_SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]


@pytest.mark.parametrize("engine_name", _SERVERS, indirect=True)
def test_a_locked_customer_holds_up_nobody_else(
    kind: Kind, engine_name: str, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """While a host's transaction has counted for a customer, others are served at once, and it after the commit."""
    open_account(engine_url, stripe)
    host = create_engine(engine_url)
    served: list[Usage] = []
    with open_billing(engine_url, stripe) as billing:
        for name in ("acme", "other"):
            billing.track(name, "messages")
        _fill(billing, engine)
        with host.connect() as connection:
            billing.track("acme", "messages", 5, transaction=connection)
            if kind == "threads":
                _threads_beside(billing, connection.commit, served)
            else:
                asyncio.run(_tasks_beside(engine_url, connection.commit, served))
    host.dispose()
    tables = coherent(engine)
    assert [each.balance.used for each in served] == [2, 3, 7, 8, 9]
    assert (tables.used("acme"), tables.used("other")) == (9, 3)


def _fill(billing: Billing, engine: Engine) -> None:
    """Let there be so many customers that MariaDB looks one up, where it would lock all of a few by going through."""
    billing.track_many([Use(f"filler-{number}", "messages") for number in range(300)])
    if engine.dialect.name == "mysql":
        with engine.connect() as connection:
            connection.execute(text("ANALYZE TABLE billing_entitlement, billing_bucket")).all()


def _threads_beside(billing: Billing, commit: Callable[[], None], served: list[Usage]) -> None:
    store, waits = store_of(billing), threading.Event()

    async def run(tickets: Sequence[Ticket], *, wait: bool) -> None:
        if wait:
            waits.set()
        await store._together(tickets, wait=wait)

    def use(name: str) -> None:
        served.append(billing.track(name, "messages"))

    def come(*names: str) -> list[threading.Thread]:
        threads = [threading.Thread(target=use, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        return threads

    def gone(threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "it waits for another customer"

    watched(store, run)
    waiting = come(*["acme"] * 3)
    assert waits.wait(PATIENCE)
    gone(come("other"))
    gone(come("other"))
    assert len(served) == 2
    commit()
    gone(waiting)


async def _tasks_beside(url: str, commit: Callable[[], None], served: list[Usage]) -> None:
    async with AsyncBilling(**options(async_url(url), AsyncStripeSimulator())) as billing:
        store, waits = store_of(billing), asyncio.Event()

        async def run(tickets: Sequence[Ticket], *, wait: bool) -> None:
            if wait:
                waits.set()
            await store._together(tickets, wait=wait)

        async def use(name: str) -> None:
            served.append(await billing.track(name, "messages"))

        watched(store, run)
        waiting = [asyncio.create_task(use("acme")) for _ in range(3)]
        await asyncio.wait_for(waits.wait(), PATIENCE)
        await asyncio.wait_for(use("other"), PATIENCE)
        await asyncio.wait_for(use("other"), PATIENCE)
        assert len(served) == 2
        commit()
        await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)


def test_crowds_that_come_again_and_again(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Whoever meets whom in the lanes as they are: everything acknowledged is stored, and nothing else."""
    subscribe(engine_url, stripe, "acme")
    open_account(engine_url, stripe)
    names = ["acme", "acme", *(f"user-{number}" for number in range(4))]
    told: list[Usage | InsufficientBalance] = (
        _crowd_of_threads(engine_url, stripe, names)
        if kind == "threads"
        else asyncio.run(_crowd_of_tasks(engine_url, names))
    )
    tables = coherent(engine, stripe)
    receipts = [each for each in told if isinstance(each, Usage)]
    assert {each.event_id for each in receipts} == {row["id"] for row in tables.events}
    assert sum(each.funded for each in receipts) == sum(row["used"] for row in tables.buckets)
    assert len(told) == 24 * 15
    for name in names:
        _is_gap_free(tables, name)


def _uses(names: Sequence[str], caller: int) -> list[Call]:
    return [
        partial(_consume, reference=names[(caller + number) % len(names)], quantity=1 + number % 2)
        for number in range(15)
    ]


def _crowd_of_threads(url: str, stripe: StripeSimulator, names: Sequence[str]) -> list[Any]:
    told: list[Any] = []
    with open_billing(url, stripe) as billing:

        def come(caller: int) -> None:
            for call in _uses(names, caller):
                try:
                    told.append(call(billing))
                except InsufficientBalance as error:
                    told.append(error)

        threads = [threading.Thread(target=come, args=(caller,), daemon=True) for caller in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert sound(billing.doctor())
    return told


async def _crowd_of_tasks(url: str, names: Sequence[str]) -> list[Any]:
    told: list[Any] = []
    async with AsyncBilling(**options(async_url(url), AsyncStripeSimulator())) as billing:

        async def come(caller: int) -> None:
            for call in _uses(names, caller):
                try:
                    told.append(await call(billing))
                except InsufficientBalance as error:
                    told.append(error)

        await asyncio.wait_for(asyncio.gather(*(come(caller) for caller in range(24))), PATIENCE)
        assert sound(await billing.doctor())
    return told


# ── What fails ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _second(happens: Callable[[SqlStore], None]) -> Callable[[SqlStore, int], None]:
    """Something that happens before the transaction that is shared."""

    def before(store: SqlStore, number: int) -> None:
        if number == 2:
            happens(store)

    return before


def test_nobody_knows_whether_a_commit_was_made(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """Where a commit is not confirmed every caller hears so, by an error of its own; a repetition counts once."""
    subscribe(engine_url, stripe, "acme")
    calls: list[Call] = [partial(_consume, quantity=10, key=f"key-{number}") for number in range(12)]

    def lose(_connection: Connection) -> None:
        raise exc.OperationalError("COMMIT", {}, Exception("the line is cut"))

    met = meet(kind, engine_url, calls, _second(lambda store: event.listen(store.engine, "commit", lose, once=True)))
    errors = [each for each in met.answers if isinstance(each, Unavailable)]
    assert len(errors) == len(calls)
    assert len({id(each) for each in errors}) == len(calls)
    assert all(each.outcome_unknown for each in errors)
    assert coherent(engine, stripe).used("acme") == 0
    again = meet(kind, engine_url, calls)
    _shared(again, len(calls))
    assert (len(again.receipts), again.errors(InsufficientBalance)) == (10, 2)
    assert coherent(engine, stripe).used("acme") == PRO


@pytest.mark.parametrize("times", [1, 3])
def test_a_conflict_is_nobodys_concern(
    times: int, kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """A transaction that met another one is repeated whole, and nothing is counted twice."""
    subscribe(engine_url, stripe, "acme")
    struck: list[str] = []

    def disturb(statement: str) -> None:
        if "billing_ledger" in statement and len(struck) < times:
            struck.append(statement)
            raise Again("conflict")

    calls: list[Call] = [partial(_consume, quantity=10)] * 12
    with ExitStack() as heard:
        met = meet(kind, engine_url, calls, _second(lambda store: heard.enter_context(hearing(disturb, store.engine))))
    _shared(met, len(calls))
    assert len(struck) == times
    assert (len(met.receipts), met.errors(InsufficientBalance)) == (10, 2)
    tables = coherent(engine, stripe)
    assert tables.used("acme") == PRO
    _is_gap_free(tables, "acme")


def _poison(billing: Any) -> Any:
    """A unit that writes what no database takes: a line of which nobody knows what it is."""

    def unit(tx: Transaction) -> None:
        customer = tx.customers.lock_reference(reference)
        assert customer is not None
        line = LedgerLine(customer.id, customer.ledger_seq, 0, "none", "nonsense", 0, 0, "")  # type: ignore[arg-type]  # on purpose
        tx.usage.add_lines([line])

    core = billing._wiring.core
    reference = core.reference("acme")
    answer = store_of(billing).transaction(unit, needs=Needs(reference, ("messages",), None, core.now()))
    return run_blocking(answer) if isinstance(billing, Billing) else answer


def test_what_the_database_refuses_is_one_callers_error(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """A caller whose rows violate a CHECK hears so; those who went with it are served."""
    subscribe(engine_url, stripe, "acme")
    with open_billing(engine_url, stripe) as billing:
        billing.track("acme", "messages")
    calls: list[Call] = [*[partial(_consume, quantity=9)] * 5, _poison, *[partial(_consume, quantity=9)] * 7]
    met = meet(kind, engine_url, calls)
    assert met.batches == [1, len(calls)]
    assert isinstance(met.answers[5], GuardError)
    assert (len(met.receipts), met.errors(InsufficientBalance), met.errors(GuardError)) == (11, 1, 1)
    tables = coherent(engine, stripe)
    assert tables.used("acme") == 100
    _is_gap_free(tables, "acme")


def test_what_a_unit_raises_is_one_callers_error(
    kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """An error of one unit reaches its caller, leaves nothing of it, and the others share all the same."""
    subscribe(engine_url, stripe, "acme")

    def fail(billing: Any) -> Any:
        def unit(tx: Transaction) -> None:
            tx.customers.lock_reference(reference)
            raise ZeroDivisionError

        core = billing._wiring.core
        reference = core.reference("acme")
        answer = store_of(billing).transaction(unit, needs=Needs(reference, ("messages",), None, core.now()))
        return run_blocking(answer) if isinstance(billing, Billing) else answer

    calls: list[Call] = [_consume, fail, _consume, fail, _consume]
    met = meet(kind, engine_url, calls)
    _shared(met, len(calls))
    assert (len(met.receipts), met.errors(ZeroDivisionError)) == (3, 2)
    tables = coherent(engine, stripe)
    assert tables.used("acme") == 3
    _is_gap_free(tables, "acme")


def test_only_denials_leave_nothing(kind: Kind, engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Where all that share are refused not even a number of the sequence is taken."""
    subscribe(engine_url, stripe, "acme")
    with open_billing(engine_url, stripe) as billing:
        billing.track("acme", "messages", PRO)
    before = coherent(engine, stripe).customer("acme")
    met = meet(kind, engine_url, [_consume] * 10)
    _shared(met, 10)
    assert met.errors(InsufficientBalance) == 10
    assert coherent(engine, stripe).customer("acme") == before
