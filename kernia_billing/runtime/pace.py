"""Waiting and concurrency, on a thread and on an event loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


class BlockingPace:
    """Waits on its thread, and does one thing after the other."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long; the thread does nothing else."""
        time.sleep(seconds)  # noqa: ASYNC251 - this is the pace of callers that have no event loop

    def jitter(self) -> float:
        """A number of [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """Apply `function` to every item in turn; `limit` cannot matter here."""
        return [await function(item) for item in items]


class AsyncPace:
    """Waits on the event loop, and does up to `limit` things at once."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long; the loop goes on."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A number of [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """Apply `function` to every item, at most `limit` at once, and give the results in the order of the items.

        One that fails does not cut the others short: a call to Stripe that is under way would end without an outcome.
        The first failure is raised once all are done.
        """
        gate = asyncio.Semaphore(limit)

        async def one(item: T) -> R:
            async with gate:
                return await function(item)

        answers = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
        for each in answers:
            if isinstance(each, BaseException):
                raise each
        return cast("list[R]", answers)
