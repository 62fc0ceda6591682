"""What is no transaction to join, and is refused before a statement is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from kernia_billing._drive import run_blocking
from kernia_billing.errors import InvalidInput
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from tests.servers import async_url
from tests.storage.conftest import AsyncPace, BlockingPace
from tests.storage.test_joining import Host, call, host, host_rows, use

__all__ = ["host"]


def _never(_tx: Transaction) -> str:
    pytest.fail("the unit must not run")


def _refused(store: BlockingStore, theirs: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        call(store, theirs, _never)
    assert "transaction" == raised.value.field


@pytest.mark.parametrize("thing", ["connection", 7, object(), Connection, True])
def test_wrong_kind(host: Host, thing: object) -> None:
    """Something else than a Connection, Session or scoped_session."""
    _refused(host.store, thing)


def test_autocommit_engine(host: Host, database: str) -> None:
    """A host in AUTOCOMMIT has no transaction that could take our writes back."""
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        _refused(host.store, connection)
    with Session(engine) as session:
        _refused(host.store, session)
    engine.dispose()


def test_autocommit_connection(host: Host) -> None:
    """The same, set for one connection."""
    with host.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _refused(host.store, connection)


def test_closed(host: Host) -> None:
    """A connection that was closed, and a session that has to be rolled back first."""
    with host.engine.connect() as connection:
        pass
    _refused(host.store, connection)

    with Session(host.engine) as session:
        session.execute(host_rows.insert().values(id=1))
        session.connection().invalidate()
        _refused(host.store, session)
        session.rollback()


def test_other_encoding(host: Host, database: str, engine_name: str) -> None:
    """MySQL compares ids byte by byte, so that they must be sent in one encoding."""
    if engine_name != "mariadb":
        return
    engine = create_engine(database, connect_args={"charset": "latin1"})
    with engine.connect() as connection:
        _refused(host.store, connection)
    engine.dispose()


def test_unbound_session(host: Host) -> None:
    """A session without an engine."""
    with Session() as session:
        _refused(host.store, session)


def test_other_database(host: Host, engine_name: str, make_database: Callable[[str], str]) -> None:
    """A database that does not hold the billing tables of this store."""
    engine = create_engine(make_database(engine_name))
    with engine.connect() as connection:
        _refused(host.store, connection)
    engine.dispose()
    memory = create_engine("sqlite://", poolclass=StaticPool)
    with memory.connect() as connection:
        _refused(host.store, connection)
    memory.dispose()


def test_same_database_by_another_name(host: Host, database: str, engine_name: str) -> None:
    """The host's engine may have a driver and options of its own."""
    url = database
    if engine_name == "sqlite":
        path = database.removeprefix("sqlite:///")
        url = f"sqlite:///file:{path}?uri=true"
    engine = create_engine(url, pool_size=1)
    with engine.begin() as connection:
        call(host.store, connection, use)
    engine.dispose()

    assert (0, 1) == host.seen()


def test_asynchronous_host(host: Host, database: str) -> None:
    """Billing takes no AsyncConnection, AsyncBilling no Connection."""

    async def work() -> None:
        engine = create_async_engine(async_url(database))
        store = AsyncStore.open(engine, pace=AsyncPace())
        async with engine.connect() as connection:
            _refused(host.store, connection)
        with pytest.raises(InvalidInput):
            await store.transaction(_never, host=connection)
        with host.engine.connect() as blocking, pytest.raises(InvalidInput):
            await store.transaction(_never, host=blocking)
        await store.close()
        await engine.dispose()

    asyncio.run(work())


def test_recommended_sqlite_events(host: Host, database: str, engine_name: str) -> None:
    """SQLAlchemy's recipe (no level at the driver, BEGIN in an event) is a transaction; without the event none is."""
    if engine_name != "sqlite":
        return
    engine = create_engine(database, connect_args={"isolation_level": None})
    with engine.connect() as connection:
        _refused(host.store, connection)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    event.listen(engine, "begin", begin)
    with engine.begin() as connection:
        connection.execute(host_rows.insert().values(id=1))
        call(host.store, connection, use)
        connection.rollback()
    with engine.connect() as connection:
        call(host.store, connection, use)
        connection.commit()
    engine.dispose()

    assert (0, 1) == host.seen()


def test_memory_of_the_host() -> None:
    """One connection for the host and us: joined it is one transaction; else ours is refused while theirs is on."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    store = BlockingStore.open(engine, pace=BlockingPace())
    run_blocking(store.transaction(lambda tx: tx.customers.add(rows.customer())))
    with engine.begin() as connection:
        host_rows.create(connection)

    with engine.connect() as connection:
        connection.execute(host_rows.insert().values(id=1))
        with pytest.raises(InvalidInput):
            run_blocking(store.transaction(use))
        assert run_blocking(store.read(lambda tx: tx.customers.by_id("cus:org_a"))) is not None
        call(store, connection, use)
        connection.commit()

    with engine.connect() as connection:
        assert 1 == len(connection.execute(host_rows.select()).fetchall())
    assert run_blocking(store.read(lambda tx: tx.usage.by_key(rows.customer().reference, "key:1"))) is not None
    run_blocking(store.close())
    engine.dispose()
