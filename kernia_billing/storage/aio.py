"""The store of `AsyncBilling`.

PostgreSQL and MySQL have drivers for asyncio: a unit runs in one greenlet on the blocking side of such an engine.
SQLite works in threads of its own, which is several times as fast as any wrapping of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeGuard, TypeVar, cast

from sqlalchemy import URL, Connection

from ..errors import ConfigError
from ..ports.pace import Pace
from ..ports.store import Needs, Transaction, Unit
from .connections import Connections, Held, Owned, of_engine, of_url
from .engines import PLACES, async_engine, parse
from .faults import translating
from .foreseen import Answer, Foreseen
from .gathering import Gathering
from .joining import async_connection, usable
from .lanes import TaskLane
from .store import SqlStore

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

_READERS = 4


def _is_async_engine(database: object) -> TypeGuard[AsyncEngine]:
    """Whether it is one. Who has one has loaded SQLAlchemy's asyncio support, which SQLite here does not need."""
    loaded = sys.modules.get("sqlalchemy.ext.asyncio")
    return loaded is not None and isinstance(database, loaded.AsyncEngine)


class AsyncStore(SqlStore):
    """Runs units of work without holding up the event loop. It belongs to the loop that uses it first."""

    lane = TaskLane

    @staticmethod
    def open(database: str | URL | AsyncEngine, *, pace: Pace) -> AsyncStore:
        """A store on a URL, or on the host's engine, which is used as it is and never disposed.

        Nothing connects before the first unit. On SQLite that one creates the tables where they are missing.

        Raises:
            ConfigError: not a URL or an AsyncEngine, a blocking driver, or a driver that is not installed.
        """
        if _is_async_engine(database):
            return GreenletStore(of_engine(database.sync_engine), pace=pace)
        if not isinstance(database, (str, URL)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ConfigError(
                ["database: AsyncBilling takes a SQLAlchemy URL or AsyncEngine; an Engine is for Billing"]
            )
        url = parse(database)
        if url.get_backend_name() == "sqlite":
            return ThreadStore(of_url(url.set(drivername="sqlite")), pace=pace)
        engines = async_engine(url), async_engine(url, "read")
        return GreenletStore(Owned(*(engine.sync_engine for engine in engines)), pace=pace)

    async def _in_host(self, host: object, work: Callable[[Connection], T]) -> T:
        connection = await async_connection(host)
        return await connection.run_sync(lambda blocking: work(usable(blocking, self.engine)))


class GreenletStore(AsyncStore):
    """On a driver for asyncio."""

    def __init__(self, connections: Connections, *, pace: Pace) -> None:
        super().__init__(connections, pace=pace)
        # Tasks take turns on an only connection. Where there are several, they queue here and not in a pool: a thread
        # may wait for a connection, the event loop may not.
        only_one = asyncio.Lock()
        self._writing: AbstractAsyncContextManager[object] = only_one
        self._reading: AbstractAsyncContextManager[object] = only_one
        self._gathering: Gathering | None = None
        if not isinstance(connections, Held):
            queued = isinstance(connections, Owned)
            self._writing, self._reading = (asyncio.Semaphore(PLACES) if queued else nullcontext() for _ in range(2))

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Run a unit that only reads; on PostgreSQL together with others who wait, where it says what it needs.

        Raises:
            Unavailable: the database does not answer.
        """
        if needs is None or self._flavour != "postgresql":
            return await super().read(unit)
        gathering = self._gathering
        if gathering is None or gathering.loop is not asyncio.get_running_loop():
            gathering = self._gathering = Gathering(self._read_together)
        alone = super().read
        return await gathering.read(
            needs, lambda: alone(unit), lambda answer: unit(cast("Transaction", Foreseen(needs, answer)))
        )

    async def _read_together(self, asked: Sequence[Needs]) -> Sequence[Answer]:
        def work() -> Sequence[Answer]:
            with translating, self._connections.reading() as tx:
                return tx.entitlements.of_references(asked)

        return await self._call(work, writes=False)

    async def _call(self, work: Callable[[], T], *, writes: bool) -> T:
        from sqlalchemy.util import greenlet_spawn

        async with self._writing if writes else self._reading:
            return await greenlet_spawn(work)


class ThreadStore(AsyncStore):
    """On SQLite: one thread that writes, because only one can, and some that read."""

    def __init__(self, connections: Connections, *, pace: Pace) -> None:
        super().__init__(connections, pace=pace)
        self._start()

    def _start(self) -> None:
        """Executors start their threads with the first work that they get."""
        self._writer = ThreadPoolExecutor(1, "kernia-billing-writer")
        only_one = isinstance(self._connections, Held)
        self._readers = self._writer if only_one else ThreadPoolExecutor(_READERS, "kernia-billing-reader")

    async def _call(self, work: Callable[[], T], *, writes: bool) -> T:
        executor = self._writer if writes else self._readers
        return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, work)

    async def close(self) -> None:
        """Close the connections, and end the threads; the next call starts others."""
        await super().close()
        ended = (self._writer, self._readers)
        self._start()
        for executor in ended:
            executor.shutdown(wait=False)
