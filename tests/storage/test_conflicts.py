"""Transactions in each other's way: ours are repeated until they are through, the host's is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session, registry

from kernia_billing._drive import run_blocking
from kernia_billing.errors import TransactionConflict, Unavailable
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from tests.storage.conftest import BlockingPace
from tests.storage.test_joining import Host, act, call, host, host_rows, opened, use

__all__ = ["host"]

SHORT_LOCKS = {
    "sqlite": ["PRAGMA busy_timeout = 100"],
    "postgresql": ["SET lock_timeout = '100ms'"],
    "mariadb": ["SET SESSION innodb_lock_wait_timeout = 1"],
}


class CountingPace(BlockingPace):
    """Counts the pauses, and lets somebody else go on during the first."""

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self.pauses = 0
        self.first = first

    async def sleep(self, seconds: float) -> None:
        """Do not wait."""
        self.pauses += 1
        if self.pauses == 1:
            self.first()


def test_opposing_locks(database: str) -> None:
    """Two threads that lock two customers in opposite orders: each unit is through in the end, and counted once."""
    store = BlockingStore.open(database, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)
    driven.each("ab", lambda tx, name: tx.customers.add(rows.customer(name)))
    start = threading.Barrier(2)

    def work(first: str, second: str) -> None:
        def unit(tx: Transaction) -> None:
            tx.customers.lock(f"cus:{first}")
            tx.customers.lock(f"cus:{second}")

        start.wait()
        for _ in range(20):
            driven.transaction(unit)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, "a", "b"), pool.submit(work, "b", "a")]:
            done.result()

    for row in driven.read_each("ab", lambda tx, name: tx.customers.by_id(f"cus:{name}")):
        assert 40 == (row and row.ledger_seq)
    run_blocking(store.close())


def test_one_customer_many_threads(database: str) -> None:
    """Eight threads take from one bucket: exactly what is in it is taken, each position of the ledger once."""
    store = BlockingStore.open(database, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)
    grant = rows.grant(amount=50)

    def prepare(tx: Transaction) -> None:
        tx.customers.add(rows.customer())
        tx.entitlements.add_grant(grant)
        tx.entitlements.add_bucket(rows.bucket(grant))

    def take(tx: Transaction) -> bool:
        customer = tx.customers.lock("cus:org_a")
        [(_, bucket)] = tx.entitlements.of_customer("cus:org_a", ["messages"], rows.NOW)
        assert customer is not None
        assert bucket is not None
        if bucket.used == bucket.amount:
            return False
        tx.entitlements.put_bucket(rows.bucket(grant, used=bucket.used + 1))
        event = rows.usage(customer.ledger_seq)
        tx.usage.add(event, [rows.line(event)])
        return True

    driven.transaction(prepare)
    with ThreadPoolExecutor(8) as pool:
        taken = [each.result() for each in [pool.submit(driven.transaction, take) for _ in range(80)]]

    assert 50 == sum(taken)
    [(_, bucket)] = driven.transaction(lambda tx: tx.entitlements.of_customer("cus:org_a", None, rows.NOW))
    assert 50 == (bucket and bucket.used)
    run_blocking(store.close())


def test_same_insert_many_threads(database: str) -> None:
    """Eight threads add the same customer, event and fact: one of each is there, and nobody sees an error."""
    store = BlockingStore.open(database, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)

    def unit(tx: Transaction) -> tuple[bool, bool, str, int]:
        name = threading.current_thread().name
        customer = tx.customers.add(rows.customer("a", id=name))
        tx.customers.lock_reference(rows.customer("a").reference)
        webhook = tx.inbox.add(rows.webhook())
        return customer, webhook, tx.settings.add("fact", name), tx.objects.take_ticket("sub", "a")

    with ThreadPoolExecutor(8) as pool:
        answers = [each.result() for each in [pool.submit(driven.transaction, unit) for _ in range(16)]]

    assert (1, 1) == (sum(each[0] for each in answers), sum(each[1] for each in answers))
    assert 1 == len({each[2] for each in answers})
    assert list(range(1, 17)) == sorted(each[3] for each in answers)
    run_blocking(store.close())


def test_claims_side_by_side(database: str) -> None:
    """Workers that claim at once never get the same event, nor two events of one customer out of order."""
    store = BlockingStore.open(database, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)
    driven.transaction(lambda tx: tx.outbox.add(rows.event(f"{n:02}", f"cus:{n % 3}") for n in range(30)))
    handed: list[str] = []
    guard = threading.Lock()

    def work(_: int) -> None:
        while claimed := driven.transaction(lambda tx: tx.outbox.claim(rows.NOW, rows.NOW + 10, 2)):
            for row in claimed:
                with guard:
                    handed.append(row.id)
                driven.each([row], lambda tx, row: tx.outbox.sent(row.id, rows.NOW, attempts=row.attempts))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    work(0)

    assert sorted(handed) == [f"{n:02}" for n in range(30)]
    for customer in range(3):
        mine = [each for each in handed if int(each) % 3 == customer]
        assert sorted(mine) == mine
    run_blocking(store.close())


@pytest.fixture
def blocker(host: Host, engine_name: str) -> Iterator[Connection]:
    """Another transaction, which holds the customer's row (on SQLite: the database)."""
    with host.engine.connect() as connection:
        connection.execute(text("UPDATE billing_customer SET name = name WHERE id = 'cus:org_a'"))
        yield connection


def test_own_transaction_is_repeated(host: Host, database: str, engine_name: str, blocker: Connection) -> None:
    """A lock timeout leads to another try, after the connection was given back."""
    pace = CountingPace(blocker.rollback)
    engine = create_engine(database, **_short(engine_name))
    store = BlockingStore.open(engine, pace=pace)

    assert run_blocking(store.transaction(use))
    assert 1 == pace.pauses
    engine.dispose()


def test_own_transaction_gives_up(host: Host, database: str, engine_name: str, blocker: Connection) -> None:
    """A database that stays busy is `Unavailable`, after at most eight tries, and nothing is left."""
    pace = CountingPace()
    engine = create_engine(database, **_short(engine_name))
    store = BlockingStore.open(engine, pace=pace)

    with pytest.raises(Unavailable):
        run_blocking(store.transaction(use))
    assert pace.pauses < 8
    blocker.rollback()
    assert (0, 0) == host.seen()
    engine.dispose()


def _short(engine_name: str) -> dict[str, Any]:
    """Options of an engine that does not wait long for locks."""
    if engine_name == "sqlite":
        return {"connect_args": {"timeout": 0.1}}
    if engine_name == "postgresql":
        return {"connect_args": {"options": "-c lock_timeout=100ms"}}
    return {"connect_args": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"}}


@pytest.mark.parametrize("kind", ["begin", "session"])
def test_host_meets_a_lock(host: Host, engine_name: str, kind: str, blocker: Connection) -> None:
    """A lock timeout in the host's transaction is a conflict to repeat; its own rows are still there to commit."""
    with opened(host.engine, kind) as theirs:
        for statement in SHORT_LOCKS[engine_name]:
            theirs.execute(text(statement))
        if engine_name == "sqlite":
            # A deferred transaction that has read before another one wrote can never write.
            theirs.rollback()
        else:
            act(theirs, "write")
        with pytest.raises(TransactionConflict) as raised:
            call(host.store, theirs, use)
        assert (True, False) == (raised.value.retryable, raised.value.transaction_lost)
        blocker.rollback()
        theirs.commit()

    assert (int(engine_name != "sqlite"), 0) == host.seen()


def test_host_with_a_stale_snapshot(host: Host, engine_name: str) -> None:
    """SQLite: a host that read before somebody else wrote cannot write any more, and is told so at once."""
    if engine_name != "sqlite":
        return
    with host.engine.connect() as theirs:
        theirs.exec_driver_sql("BEGIN")
        act(theirs, "read")
        call(host.store, None, use)
        with pytest.raises(TransactionConflict):
            call(host.store, theirs, use)
        theirs.rollback()

    assert (0, 1) == host.seen()


@pytest.mark.parametrize("kind", ["begin", "session"])
def test_host_in_a_deadlock(host: Host, engine_name: str, kind: str) -> None:
    """The victim of a deadlock is told whether its transaction is gone; what is gone cannot be committed in part."""
    if engine_name == "sqlite":
        return
    call(host.store, None, lambda tx: str(tx.customers.add(rows.customer("b"))))
    with host.engine.connect() as other, opened(host.engine, kind) as theirs:
        act(theirs, "write")
        call(host.store, theirs, use)
        if engine_name == "postgresql":
            # There the one that notices first is sacrificed.
            other.execute(text("SET deadlock_timeout = '1min'"))
        other.execute(text("UPDATE billing_customer SET name = name WHERE id = 'cus:b'"))
        for n in range(50):
            # MariaDB sacrifices the transaction that wrote less.
            other.execute(host_rows.insert().values(id=100 + n))
        waits = threading.Thread(
            target=other.execute, args=(text("UPDATE billing_customer SET name = name WHERE id = 'cus:org_a'"),)
        )
        waits.start()
        _wait_for_lock(host, engine_name)

        def unit(tx: Transaction) -> str:
            return str(tx.customers.lock("cus:b"))

        with pytest.raises(TransactionConflict) as raised:
            call(host.store, theirs, unit)
        lost = raised.value.transaction_lost
        assert (engine_name == "mariadb") == lost
        if lost:
            with pytest.raises(Exception, match="rolled back"):
                theirs.execute(host_rows.insert().values(id=2))
            with pytest.raises(Exception, match=r"rolled back|inactive"):
                theirs.commit()
        theirs.rollback()
        waits.join()
        other.rollback()

    assert (0, 0) == host.seen()


def _wait_for_lock(host: Host, engine_name: str) -> None:
    """Until a statement waits for a lock."""
    question = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        if engine_name == "postgresql"
        else "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    )
    with host.engine.connect() as connection:
        while not connection.execute(text(question)).scalar():
            connection.rollback()
            # MariaDB renews what it says of its transactions only where nobody has asked for a tenth of a second.
            threading.Event().wait(0.15)


class Note:
    """A row of the host, as an object."""

    def __init__(self, id: int) -> None:
        self.id = id


registry().map_imperatively(Note, host_rows)


def test_session_keeps_its_state(host: Host) -> None:
    """A session's pending objects are neither flushed nor expired by us."""
    with Session(host.engine) as session:
        loaded = Note(id=1)
        session.add(loaded)
        session.flush()
        pending = Note(id=2)
        session.add(pending)
        call(host.store, session, use)

        assert pending in session.new
        assert 1 == loaded.__dict__["id"]
        session.commit()

    assert (2, 1) == host.seen()


def test_host_savepoint(host: Host) -> None:
    """Inside of the host's own savepoint, what the host rolls back is rolled back."""
    with host.engine.begin() as connection:
        act(connection, "write")
        inner = connection.begin_nested()
        call(host.store, connection, use)
        inner.rollback()
        with connection.begin_nested():
            call(host.store, connection, use)

    assert (1, 1) == host.seen()
