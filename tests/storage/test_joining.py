"""The host's transaction: usage is there exactly when the host commits, and the host's own rows are its own.

The engines are as hosts make them: no events of ours, default isolation, default driver modes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from attrs import frozen
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, func, select
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from kernia_billing._drive import run_blocking
from kernia_billing.ports.store import DuplicateKey, Rollback, Transaction
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from tests.servers import async_url
from tests.storage.conftest import AsyncPace, BlockingPace

Before = Literal["nothing", "read", "write"]
BEFORE: tuple[Before, ...] = ("nothing", "read", "write")
BLOCKING_KINDS = ("connection", "begin", "session", "scoped_session")
ASYNC_KINDS = ("connection", "begin", "session", "scoped_session")

host_rows = Table("host_row", MetaData(), Column("id", Integer, primary_key=True, autoincrement=False))


def use(tx: Transaction) -> str:
    """Record a use, locking its customer first, as the engine does."""
    customer = tx.customers.lock("cus:org_a")
    assert customer is not None
    used = rows.usage(customer.ledger_seq)
    tx.usage.add(used, [rows.line(used)])
    return used.id


def deny(tx: Transaction) -> str:
    """Record a use, and undo it."""
    use(tx)
    raise Rollback("denied")


def collide(tx: Transaction) -> str:
    """Record a use under a key that is taken."""
    customer = tx.customers.lock("cus:org_a")
    assert customer is not None
    tx.usage.add(rows.usage(customer.ledger_seq + 100, idempotency_key="taken"), ())
    return "never"


@frozen
class Host:
    """A host application's view of the database, and a store of ours beside it."""

    engine: Engine
    store: BlockingStore

    def seen(self) -> tuple[int, int]:
        """How many rows of the host are committed, and how many uses, apart from the one under the key "taken"."""
        with self.engine.connect() as connection:
            theirs = connection.execute(select(func.count()).select_from(host_rows)).scalar_one()
        found = run_blocking(
            self.store.read(
                lambda tx: tx.usage.page(
                    "cus:org_a", feature=None, properties=None, start=None, end=None, limit=99, before=None
                )
            )
        )
        return theirs, sum(each.idempotency_key != "taken" for each in found)


def _prepare(store: BlockingStore) -> None:
    def unit(tx: Transaction) -> None:
        tx.customers.add(rows.customer())
        tx.usage.add(rows.usage(500, idempotency_key="taken"), ())

    run_blocking(store.transaction(unit))


@pytest.fixture
def host(database: str) -> Iterator[Host]:
    """A host with tables of its own, and a store on the same database."""
    engine = create_engine(database)
    store = BlockingStore.open(database, pace=BlockingPace())
    with engine.begin() as connection:
        host_rows.create(connection, checkfirst=True)
        connection.execute(host_rows.delete())
    _prepare(store)
    yield Host(engine, store)
    run_blocking(store.close())
    engine.dispose()


@contextmanager
def opened(engine: Engine, kind: str) -> Generator[Any]:
    """What a host passes as `transaction=`, which ends when the block does."""
    if kind == "connection":
        with engine.connect() as connection:
            yield connection
    elif kind == "begin":
        with engine.connect() as connection:
            connection.begin()
            yield connection
    elif kind == "session":
        with Session(engine) as session:
            yield session
    else:
        registry = scoped_session(sessionmaker(engine))
        try:
            yield registry
        finally:
            registry.remove()


def act(host: Any, before: Before) -> None:
    """What the host does before it calls us."""
    if before == "read":
        host.execute(select(host_rows)).fetchall()
    elif before == "write":
        host.execute(host_rows.insert().values(id=1))


def call(store: BlockingStore, host: Any, unit: Callable[[Transaction], str]) -> str:
    """Run a unit inside of the host's transaction."""
    return run_blocking(store.transaction(unit, host=host))


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kind", BLOCKING_KINDS)
class TestBlocking:
    """Connection, Session and scoped_session."""

    def test_commit(self, host: Host, kind: str, before: Before) -> None:
        """The host commits: its rows and the use are there, and were not before."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            call(host.store, theirs, use)
            theirs.execute(host_rows.insert().values(id=2))
            assert (0, 0) == host.seen()
            theirs.commit()

        assert (1 + (before == "write"), 1) == host.seen()

    def test_rollback(self, host: Host, kind: str, before: Before) -> None:
        """The host rolls back: nothing is there, and another transaction is not in the way."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            call(host.store, theirs, use)
            theirs.execute(host_rows.insert().values(id=2))
            theirs.rollback()
            assert (0, 0) == host.seen()

        assert call(host.store, None, use)

    def test_forgotten(self, host: Host, kind: str, before: Before) -> None:
        """The host closes without a commit: nothing is there."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            call(host.store, theirs, use)

        assert (0, 0) == host.seen()

    def test_denial(self, host: Host, kind: str, before: Before) -> None:
        """A refusal undoes our writes alone; the host goes on and decides about its own."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            assert "denied" == call(host.store, theirs, deny)
            theirs.execute(host_rows.insert().values(id=2))
            assert (0, 0) == host.seen()
            theirs.commit()

        assert (1 + (before == "write"), 0) == host.seen()

    def test_denial_then_rollback(self, host: Host, kind: str, before: Before) -> None:
        """A refusal commits nothing by itself."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            call(host.store, theirs, deny)
            theirs.rollback()

        assert (0, 0) == host.seen()

    def test_taken_key(self, host: Host, kind: str, before: Before) -> None:
        """A taken key undoes our writes alone; the unit can be tried another way in the same transaction."""
        with opened(host.engine, kind) as theirs:
            act(theirs, before)
            with pytest.raises(DuplicateKey):
                call(host.store, theirs, collide)
            call(host.store, theirs, use)
            call(host.store, theirs, use)
            theirs.commit()

        assert (int(before == "write"), 2) == host.seen()


class AsyncHost:
    """A host on asyncio."""

    def __init__(self, engine: AsyncEngine, store: AsyncStore, seen: Callable[[], tuple[int, int]]) -> None:
        self.engine = engine
        self.store = store
        self.seen = seen


@contextmanager
def _async_host(host: Host, database: str) -> Generator[tuple[asyncio.Runner, AsyncHost]]:
    url = async_url(database)
    with asyncio.Runner() as runner:

        async def make() -> AsyncHost:
            store = AsyncStore.open(url if "sqlite" not in url else database, pace=AsyncPace())
            return AsyncHost(create_async_engine(url), store, host.seen)

        async_host = runner.run(make())
        yield runner, async_host
        runner.run(async_host.store.close())
        runner.run(async_host.engine.dispose())


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("kind", ASYNC_KINDS)
@pytest.mark.parametrize(("unit", "end"), [(use, "commit"), (use, "rollback"), (deny, "commit")])
def test_async(host: Host, database: str, kind: str, before: Before, unit: Any, end: str) -> None:
    """AsyncConnection, AsyncSession and async_scoped_session, on every driver: the same as blocking."""

    async def work(theirs: AsyncHost) -> None:
        async with OpenedAsync(theirs.engine, kind) as transaction:
            if before == "read":
                (await transaction.execute(select(host_rows))).fetchall()
            elif before == "write":
                await transaction.execute(host_rows.insert().values(id=1))
            await theirs.store.transaction(unit, host=transaction)
            await transaction.execute(host_rows.insert().values(id=2))
            assert (0, 0) == theirs.seen()
            await getattr(transaction, end)()

    with _async_host(host, database) as (runner, theirs):
        runner.run(work(theirs))

    committed = end == "commit"
    assert ((1 + (before == "write")) * committed, committed and unit is use) == host.seen()


class OpenedAsync:
    """What a host on asyncio passes as `transaction=`."""

    def __init__(self, engine: AsyncEngine, kind: str) -> None:
        self.engine, self.kind = engine, kind

    async def __aenter__(self) -> Any:
        if self.kind == "session":
            self.theirs: Any = AsyncSession(self.engine)
        elif self.kind == "scoped_session":
            self.theirs = async_scoped_session(async_sessionmaker(self.engine), scopefunc=asyncio.current_task)
        else:
            self.theirs = await self.engine.connect()
            if self.kind == "begin":
                await self.theirs.begin()
        return self.theirs

    async def __aexit__(self, *_error: object) -> None:
        if self.kind == "scoped_session":
            await self.theirs.remove()
        else:
            await self.theirs.close()
