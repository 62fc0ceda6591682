"""Waiting, chance and concurrency as the core sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Pace(Protocol):
    """Waits, spreads and parallelises; the blocking one sleeps on its thread, the async one on its loop."""

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        ...

    def jitter(self) -> float:
        """A number of [0, 1) that spreads the retries of many callers."""
        ...

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """Apply `function` to every item, at most `limit` at once, and give the results in the order of the items."""
        ...
