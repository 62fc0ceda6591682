"""Buses of every kind, blocking and asynchronous, on real servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import create_engine

from kernia_billing._drive import run_blocking
from kernia_billing.bus.lanes import Patience
from kernia_billing.bus.listening import listener
from kernia_billing.bus.memory import MemoryBus
from kernia_billing.bus.postgresql import PostgreSQLBus
from kernia_billing.ports.bus import Bus
from kernia_billing.runtime.clock import SystemClock
from kernia_billing.runtime.ids import TimeOrderedIds
from kernia_billing.runtime.pace import AsyncPace, BlockingPace
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from tests.harness.tables import make_tables
from tests.servers import ServerMissing, Servers, async_url
from tests.strictness import missing

pytest.register_assert_rewrite("kernia_billing.testing.conformance")

from kernia_billing.testing.conformance.bus import Connect, DrivenBus  # noqa: E402 - after its asserts are made readable

_prefixes = (f"t{os.getpid()}n{number}" for number in count())


class Loop:
    """An event loop on a thread of its own: the consumers of a test wait for each other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __call__(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    """Whether the bus is for `AsyncBilling`."""
    return bool(request.param)


@pytest.fixture
def broker_url(servers: Servers) -> Callable[[str], str]:
    """The URL of the run's server of a bus."""

    def url(bus: str) -> str:
        try:
            return servers.url_of(bus)
        except ServerMissing as error:
            return missing(str(error))

    return url


Maker = Callable[[Patience], Bus]


@pytest.fixture
def driven(asynchronous: bool) -> Iterator[Callable[[Maker], Connect]]:
    """From a function that makes a bus to one that makes one with its driver; all of them are closed at the end."""
    made: list[DrivenBus] = []
    loops: list[Loop] = []

    def connect(make: Maker, patience: Patience) -> DrivenBus:
        drive: Callable[[Coroutine[Any, Any, Any]], Any] = run_blocking
        if asynchronous:
            loops.append(drive := Loop())
        made.append(DrivenBus(make(patience), drive))
        return made[-1]

    yield lambda make: partial(connect, make)
    for each in made:
        with suppress(Exception):
            each.drive(each.bus.close())
    for loop in loops:
        loop.close()


@pytest.fixture
def prefix() -> str:
    """What keeps the messages of one test apart from those of others."""
    return next(_prefixes)


@pytest.fixture
def memory_bus() -> Maker:
    """Gives the one bus within this process."""
    bus = MemoryBus()

    def give(patience: Patience) -> MemoryBus:
        bus.patience = patience
        return bus

    return give


@pytest.fixture
def redis_bus(broker_url: Callable[[str], str], prefix: str, asynchronous: bool) -> Maker:
    """Makes buses on the run's Redis."""
    from kernia_billing.bus.redis import RedisBus

    return lambda patience: RedisBus(broker_url("redis"), prefix=prefix, patience=patience, asynchronous=asynchronous)


@pytest.fixture
def nats_bus(broker_url: Callable[[str], str], prefix: str, asynchronous: bool) -> Maker:
    """Makes buses on the run's NATS server."""
    from kernia_billing.bus.nats import NatsBus

    return lambda patience: NatsBus(broker_url("nats"), prefix=prefix, patience=patience, asynchronous=asynchronous)


@pytest.fixture
def postgresql_bus(postgresql_url: str, asynchronous: bool) -> Maker:
    """Makes buses that are a table of a PostgreSQL database."""
    engine = create_engine(postgresql_url)
    make_tables(engine)
    engine.dispose()
    return lambda patience: open_postgresql(postgresql_url, patience, asynchronous=asynchronous)


def open_postgresql(url: str, patience: Patience, *, asynchronous: bool) -> PostgreSQLBus:
    """A bus with a store of its own."""
    clock, ids = SystemClock(), TimeOrderedIds()
    given = async_url(url) if asynchronous else url
    ear = listener(given, asynchronous=asynchronous)
    assert ear is not None
    store = AsyncStore.open(given, pace=AsyncPace()) if asynchronous else BlockingStore.open(given, pace=BlockingPace())

    async def hang_up() -> None:
        await ear.close()
        await store.close()

    return PostgreSQLBus(store, clock, ids, ear.listen, hang_up, patience=patience)
