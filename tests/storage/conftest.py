"""Stores on every database, blocking and asynchronous."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from kernia_billing._drive import run_blocking
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.storage.tables import metadata
from tests.harness.tables import make_tables
from tests.servers import Servers, async_url
from tests.strictness import missing

pytest.register_assert_rewrite("kernia_billing.testing.conformance")

from kernia_billing.testing.conformance.harness import DrivenStore  # noqa: E402 - after its asserts are made readable

T = TypeVar("T")
R = TypeVar("R")


class BlockingPace:
    """Sleeps on its thread."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)  # noqa: ASYNC251 - driven without an event loop

    def jitter(self) -> float:
        """Spread."""
        return random.random()

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """One after the other."""
        return [await function(item) for item in items]


class AsyncPace(BlockingPace):
    """Sleeps on its loop."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@pytest.fixture(scope="session")
def migrated(servers: Servers) -> Iterator[Callable[[str], str]]:
    """A function: engine name to the URL of a database with billing tables, one for all tests, emptied at each call."""
    urls: dict[str, str] = {}
    engines: dict[str, Engine] = {}

    def empty(name: str) -> str:
        if name not in urls:
            try:
                urls[name] = servers.create_database(name)
            except Exception as error:  # noqa: BLE001 - it is raised in the test's thread
                missing(str(error))
            engines[name] = create_engine(urls[name], poolclass=NullPool)
            make_tables(engines[name])
        with engines[name].begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        return urls[name]

    yield empty
    for name, engine in engines.items():
        engine.dispose()
        servers.drop_database(urls[name])


@pytest.fixture
def database(engine_name: str, migrated: Callable[[str], str]) -> str:
    """The URL of a database whose billing tables are empty; the test runs once per engine."""
    return migrated(engine_name)


def _blocking(database: str) -> Iterator[DrivenStore]:
    store = BlockingStore.open(database, pace=BlockingPace())
    yield DrivenStore(store, run_blocking)
    run_blocking(store.close())


def _async(database: str) -> Iterator[DrivenStore]:
    with asyncio.Runner() as runner:
        store = AsyncStore.open(database, pace=AsyncPace())
        yield DrivenStore(store, runner.run)
        runner.run(store.close())


@pytest.fixture
def blocking_store(database: str) -> Iterator[DrivenStore]:
    """A BlockingStore."""
    yield from _blocking(database)


@pytest.fixture
def memory_store() -> Iterator[DrivenStore]:
    """A BlockingStore on SQLite in memory."""
    yield from _blocking("sqlite://")


@pytest.fixture
def async_store(database: str) -> Iterator[DrivenStore]:
    """An AsyncStore."""
    yield from _async(async_url(database))


@pytest.fixture
def async_memory_store() -> Iterator[DrivenStore]:
    """An AsyncStore on SQLite in memory."""
    yield from _async("sqlite://")
