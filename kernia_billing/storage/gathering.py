"""Reads that wait while others are on their way are answered by one statement for all of them.

Who finds a place free reads at once, alone. Whoever comes meanwhile waits, and is asked for in the next statement: one
that is sent after they came, so that it sees everything that was committed before they asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import TypeVar

from attrs import define

from ..ports.store import Needs
from .drafts import Alone
from .foreseen import Answer

T = TypeVar("T")
Together = Callable[[Sequence[Needs]], Awaitable[Sequence[Answer]]]
"""Reads for several, and answers in their order."""

PLACES = 2
"""So many reads are on their way at a time: one is prepared while the database works on the other."""
MOST_TOGETHER = 64
"""So many are asked for in one statement at most."""


@define(eq=False)
class _Waiting:
    """A reader, and the future of its answer: None where it has to ask for itself."""

    needs: Needs
    told: asyncio.Future[Answer | None]


class Gathering:
    """The readers of one event loop."""

    def __init__(self, together: Together) -> None:
        self.loop = asyncio.get_running_loop()
        self._together = together
        self._waiting: deque[_Waiting] = deque()
        self._on_their_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, needs: Needs, alone: Callable[[], Awaitable[T]], given: Callable[[Answer], T]) -> T:
        """What `alone` reads, or `given` makes of an answer to `needs` that was read together with those of others.

        Whoever is `Alone` with that answer, or has none because the common statement failed, reads alone after it.
        """
        if self._on_their_way < PLACES:
            self._on_their_way += 1
            try:
                return await alone()
            finally:
                self._go_on()
        mine = _Waiting(needs, self.loop.create_future())
        self._waiting.append(mine)
        answer = await mine.told
        if answer is not None:
            with suppress(Alone):
                return given(answer)
        return await alone()

    def _go_on(self) -> None:
        """Give the place of a read that is over to those who wait, if anybody does."""
        if not self._waiting:
            self._on_their_way -= 1
            return
        # It reads for whoever comes until it begins, not in the context of one of them.
        task = self.loop.create_task(self._read_together(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_together(self) -> None:
        asked: list[_Waiting] = []
        try:
            asked = self._next()
            if asked:
                answers = await self._together([each.needs for each in asked])
                for each, answer in zip(asked, answers, strict=True):
                    _tell(each, answer)
        except Exception:  # noqa: BLE001, S110 - whose it is, only a read of its own tells
            pass
        finally:
            for each in asked:
                _tell(each, None)
            # Those just told go on before the next read begins, and may come back in time for it.
            self._go_on()

    def _next(self) -> list[_Waiting]:
        asked: list[_Waiting] = []
        while self._waiting and len(asked) < MOST_TOGETHER:
            first = self._waiting.popleft()
            if not first.told.done():
                asked.append(first)
        return asked


def _tell(reader: _Waiting, answer: Answer | None) -> None:
    if not reader.told.done():
        reader.told.set_result(answer)
