"""Counting inside of an asyncio host's transaction: usage is there exactly when the host committed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from kernia_billing import AsyncBilling, IdempotencyMismatch, InsufficientBalance, InvalidInput
from kernia_billing.testing import AsyncStripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.host import ASYNC_HOSTS, AsyncHost, AsyncOpens, metadata, names, project, write
from tests.harness.house import options
from tests.servers import async_url

pytestmark = pytest.mark.anyio

Before = Literal["nothing", "a read", "a write"]
BEFORE: tuple[Before, ...] = ("nothing", "a read", "a write")
OTHER_DRIVERS = {"postgresql": "asyncpg", "mariadb": "asyncmy"}


@pytest.fixture
def host_tables(engine: Engine) -> None:
    """The host's own table."""
    metadata.create_all(engine)


@asynccontextmanager
async def _application(url: str, *, shared: bool) -> AsyncGenerator[tuple[AsyncEngine, AsyncBilling]]:
    """A host's engine as hosts make them, and an `AsyncBilling` on it, or on the URL."""
    host_engine = create_async_engine(url)
    try:
        async with AsyncBilling(**options(host_engine if shared else url, AsyncStripeSimulator())) as billing:
            yield host_engine, billing
    finally:
        await host_engine.dispose()


async def _begin(host: AsyncHost, before: Before) -> list[str]:
    """What the host does first; the names of the rows that it wrote."""
    if before == "a read":
        (await host.execute(select(project.c.name))).all()
    if before == "a write":
        await host.execute(write("before"))
        return ["before"]
    return []


@pytest.mark.parametrize("shared", [False, True], ids=["its own engine", "the host's engine"])
@pytest.mark.parametrize("before", BEFORE)
async def test_it_counts_exactly_when_the_host_commits(
    before: Before, shared: bool, engine: Engine, engine_url: str, host_tables: None
) -> None:
    """Commit, rollback, denial and repetition, in both kinds of transaction that a host may hold."""
    async with _application(async_url(engine_url), shared=shared) as (host_engine, billing):
        for kind, opens in ASYNC_HOSTS.items():
            await _every_ending(_Case(f"acme-{kind}", before, opens, billing, host_engine, engine))


@pytest.mark.parametrize("before", BEFORE)
async def test_it_counts_with_the_other_drivers(
    before: Before, engine_name: str, engine: Engine, engine_url: str, host_tables: None
) -> None:
    """The same when the host uses asyncpg or asyncmy, and the library its own driver."""
    driver = OTHER_DRIVERS.get(engine_name, "aiosqlite")
    host_engine = create_async_engine(async_url(engine_url, driver))
    async with AsyncBilling(**options(async_url(engine_url), AsyncStripeSimulator())) as billing:
        for kind, opens in ASYNC_HOSTS.items():
            await _every_ending(_Case(f"acme-{kind}", before, opens, billing, host_engine, engine))
    await host_engine.dispose()


async def _every_ending(case: _Case) -> None:
    await case.commits()
    await case.rolls_back()
    await case.is_denied()
    await case.repeats()
    count("joined transactions", 4)


class _Case:
    """A host that does something, counts, and ends its transaction in one of four ways."""

    def __init__(
        self,
        who: str,
        before: Before,
        opens: AsyncOpens,
        billing: AsyncBilling,
        host_engine: AsyncEngine,
        engine: Engine,
    ) -> None:
        self._who = who
        self._before: Before = before
        self._opens = opens
        self._billing = billing
        self._host_engine = host_engine
        self._engine = engine

    def _state(self) -> tuple[list[str], int]:
        return names(self._engine), coherent(self._engine).used(self._who)

    async def commits(self) -> None:
        """After the commit both are there; before it nobody else sees either."""
        rows, used = self._state()
        async with self._opens(self._host_engine) as host:
            written = await _begin(host, self._before)
            receipt = await self._billing.track(self._who, "messages", 4, idempotency_key="k", transaction=host)
            await host.execute(write("after"))
            assert (receipt.funded, receipt.balance.used, receipt.replayed) == (4, 4, False)
            assert self._state() == (rows, used)
            await host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), 4)
        again = await self._billing.track(self._who, "messages", 4, idempotency_key="k")
        assert (again.event_id, again.replayed) == (receipt.event_id, True)

    async def rolls_back(self) -> None:
        """After the rollback neither is there, and the key is as good as new."""
        before = self._state()
        async with self._opens(self._host_engine) as host:
            await _begin(host, self._before)
            await self._billing.track(self._who, "messages", 2, idempotency_key="other", transaction=host)
            await host.execute(write("after"))
            await host.rollback()
        assert self._state() == before
        assert not (await self._billing.track(self._who, "messages", 1, idempotency_key="other")).replayed
        assert self._state() == (before[0], 5)

    async def is_denied(self) -> None:
        """A host that hears no may go on, and commit what it wrote before and after."""
        rows, used = self._state()
        async with self._opens(self._host_engine) as host:
            written = await _begin(host, self._before)
            with pytest.raises(InsufficientBalance):
                await self._billing.consume(self._who, "messages", 6, transaction=host)
            await host.execute(write("after"))
            assert self._state() == (rows, used)
            await host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), used)

    async def repeats(self) -> None:
        """A used key gives the first receipt, for another request an error; the host's work stays its own."""
        rows, used = self._state()
        async with self._opens(self._host_engine) as host:
            written = await _begin(host, self._before)
            again = await self._billing.track(self._who, "messages", 4, idempotency_key="k", transaction=host)
            assert (again.funded, again.balance.used, again.replayed) == (4, 4, True)
            with pytest.raises(IdempotencyMismatch):
                await self._billing.track(self._who, "messages", 5, idempotency_key="k", transaction=host)
            await host.execute(write("after"))
            assert self._state() == (rows, used)
            await host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), used)


async def test_what_cannot_be_joined_is_refused(
    engine: Engine, engine_url: str, engine_name: str, host_tables: None, make_database: Callable[[str], str]
) -> None:
    """A blocking transaction, one elsewhere, and one that commits by itself."""
    other = create_async_engine(async_url(make_database(engine_name)))
    async with _application(async_url(engine_url), shared=False) as (host_engine, billing):
        await billing.track("acme", "messages", 1)

        async def is_refused(host: object) -> None:
            with pytest.raises(InvalidInput) as refused:
                await billing.track("acme", "messages", 2, transaction=host)
            assert refused.value.field == "transaction"

        with engine.connect() as blocking:
            await is_refused(blocking)
        async with other.connect() as elsewhere, AsyncSession(other) as session_elsewhere:
            await is_refused(elsewhere)
            await is_refused(session_elsewhere)
        async with host_engine.connect() as host:
            await is_refused(await host.execution_options(isolation_level="AUTOCOMMIT"))
        await is_refused(host)
        await is_refused(host_engine)
        await is_refused(host_engine.sync_engine)
    await other.dispose()
    assert coherent(engine).used("acme") == 1
