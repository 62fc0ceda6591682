"""Walking over all pages of a list."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from .domain.answers import Page

T = TypeVar("T")


class Walk(AsyncIterator[T]):
    """Every item of a list, fetched page by page as it is needed. A class, because it may be left half-way."""

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[T]]]) -> None:
        self._fetch = fetch
        self._cursor: str | None = None
        self._started = False
        self._items: deque[T] = deque()

    async def __anext__(self) -> T:
        while not self._items:
            if self._started and self._cursor is None:
                raise StopAsyncIteration
            page = await self._fetch(self._cursor)
            self._items.extend(page.items)
            self._cursor = page.next_cursor
            self._started = True
        return self._items.popleft()
