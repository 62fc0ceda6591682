"""A lease in the memory of a process, for any number of its threads or tasks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from ..domain.answers import Usage
from ..domain.instants import Instant
from ..domain.tally import Tally
from ..errors import Conflict, FeatureDenied
from ..operations.core import Core
from ..operations.leasing import renew
from ..operations.reserving import Reserved, Wanted
from .finishing import finish

T = TypeVar("T")


class _ThreadTurn:
    """`asyncio.Lock` for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Leased:
    """Counts units in memory, and asks the database where there are no more, or where half of their time is over.

    The other half remains to store what was used while it is held still, and covers clocks that differ.
    """

    def __init__(self, core: Core, wanted: Wanted, *, asynchronous: bool) -> None:
        self._core = core
        self._wanted = wanted
        self._asynchronous = asynchronous
        self._tally = Tally()
        self._counting = threading.Lock()
        self._hold: Reserved | None = None
        self._is_over = False
        self._process = os.getpid()
        self._storing: AbstractAsyncContextManager[None] = asyncio.Lock() if asynchronous else _ThreadTurn()

    @property
    def quantity(self) -> int:
        """How many units are taken at a time."""
        return self._wanted.quantity

    @property
    def left(self) -> int:
        """How many units are taken and not used."""
        return self._tally.left

    @property
    def unflushed(self) -> int:
        """How many units were used and are not known to be stored."""
        return self._tally.used

    async def begin(self) -> None:
        """Take the first units: as many as there are, one at the least. Raises what `renew` raises."""
        await self._renew(least=1)

    async def consume(self, units: int) -> None:
        """Use so many units, all of them or none. Raises `Conflict` after the end, and what `renew` raises."""
        self._guard()
        if not self._take(units, self._core.now()):
            await self._whole(self._fetch(units))

    async def flush(self) -> Usage | None:
        """Store what was used; None for nothing. Raises `Conflict` after the end, and `Unavailable`: flush again."""
        self._guard()
        return await self._whole(self._store())

    async def end(self) -> Usage | None:
        """Store what was used and give back the rest, once; None for nothing. Raises `Unavailable`: end it again."""
        return await self._whole(self._end()) if self._is_ours else None

    @property
    def _is_ours(self) -> bool:
        """Whether this is the process that took it. One that was forked has a copy of the units: they are not its."""
        return os.getpid() == self._process

    def _guard(self) -> None:
        if self._is_over or not self._is_ours:
            raise Conflict("The lease has ended, or is another process's", code="LEASE_ENDED")

    async def _fetch(self, units: int) -> None:
        async with self._storing:
            while not self._take(units, self._core.now()):
                await self._renew(least=units)
                hold = self._hold
                # However long it took to hear of them: where they are held still, they are there.
                if hold is not None and self._core.now() < hold.expires_at and self._take(units, self._made_at(hold)):
                    return

    async def _store(self) -> Usage | None:
        async with self._storing:
            return await self._renew() if self._tally.used or self._tally.frozen else None

    async def _end(self) -> Usage | None:
        async with self._storing:
            self._is_over = True
            usage = None
            # After the first there is another hold where nobody knew that it had been made.
            while self._hold is not None:
                usage = await self._put(most=0) or usage
            return usage

    async def _renew(self, *, least: int = 0) -> Usage | None:
        self._guard()
        return await self._put(most=max(self._wanted.quantity, least), least=least)

    async def _put(self, *, most: int, least: int = 0) -> Usage | None:
        """Store what was used. Nothing is used meanwhile, and until it is known what happened."""
        with self._counting:
            used = self._tally.freeze()
        try:
            renewed = await renew(self._core, self._wanted, self._hold, used, most=most, least=least)
        except FeatureDenied:
            with self._counting:
                self._tally.thaw()
            raise
        row = renewed.hold
        self._hold = None if row is None else Reserved.of(self._wanted.reference, row)
        with self._counting:
            if row is None:
                self._tally.begin(0, 0)
            else:
                self._tally.begin(row.quantity, row.expires_at - self._wanted.lasting // 2)
        return renewed.usage

    def _take(self, units: int, now: Instant) -> bool:
        with self._counting:
            return self._tally.take(units, now)

    def _made_at(self, hold: Reserved) -> Instant:
        return hold.expires_at - self._wanted.lasting

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end: a task that is cancelled in the middle would leave the others without units."""
        return await (finish(work) if self._asynchronous else work)
