"""Small reads of an SQLite database on the event loop itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from kernia_billing.domain.references import Reference
from kernia_billing.ports.store import Needs, Transaction
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.faults import Again
from tests.storage.conftest import AsyncPace

NEEDS = Needs(Reference("ann", "user"), ("messages",), None, 0)


def _thread(tx: Transaction) -> int:
    """Where a unit runs that reads."""
    tx.settings.get("fact")
    return threading.get_ident()


def _with_store(url: str, story: Callable[[AsyncStore], Awaitable[None]]) -> None:
    async def play() -> None:
        store = AsyncStore.open(url, pace=AsyncPace())
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(play())


def test_small_reads_stay_on_the_loop(sqlite_url: str) -> None:
    """What says what it needs is read on the loop once a connection is open; everything else in a thread."""

    async def story(store: AsyncStore) -> None:
        here = threading.get_ident()
        first = await store.read(_thread, needs=NEEDS)
        assert first != here
        assert [here] * 20 == [await store.read(_thread, needs=NEEDS) for _ in range(20)]
        assert here != await store.read(_thread)
        assert here != await store.transaction(_thread)

    _with_store(sqlite_url, story)


def test_what_is_in_the_way_is_waited_for_elsewhere(sqlite_url: str) -> None:
    """A read that finds the database busy is repeated in a thread, and holds nobody up meanwhile."""
    seen: list[int] = []

    def busy_at_first(tx: Transaction) -> int:
        seen.append(_thread(tx))
        if len(seen) == 1:
            raise Again("busy")
        return len(seen)

    async def story(store: AsyncStore) -> None:
        await store.read(_thread)
        assert 2 == await store.read(busy_at_first, needs=NEEDS)
        assert threading.get_ident() == seen[0] != seen[1]

    _with_store(sqlite_url, story)


def test_who_only_asks_lets_others_go_on(sqlite_url: str) -> None:
    """A task that reads again and again does not keep the loop to itself."""
    reads = 0

    async def story(store: AsyncStore) -> None:
        nonlocal reads
        await store.read(_thread)
        reads_seen: list[int] = []

        async def other() -> None:
            for _ in range(4):
                reads_seen.append(reads)
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(100):
            await store.read(_thread, needs=NEEDS)
            reads += 1
        await task
        assert 50 > reads_seen[-1]

    _with_store(sqlite_url, story)
