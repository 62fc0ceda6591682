"""Run one of our coroutines to its end on this thread, without an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from .errors import GuardError

T = TypeVar("T")


class SuspendedError(GuardError):
    """A coroutine driven by `run_blocking` waited for something: a port, a hook or a callback that is asynchronous.

    `suspended_on` is what it waited for.
    """

    code = "SUSPENDED"

    def __init__(self, coroutine: Coroutine[Any, Any, Any], suspended_on: object) -> None:
        super().__init__(
            f"{getattr(coroutine, '__qualname__', coroutine)!s} waited for {suspended_on!r} under Billing, which has "
            "no event loop: give Billing blocking adapters and plain functions, or use AsyncBilling"
        )
        self.suspended_on = suspended_on


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive `coroutine` to its result with a single `send(None)`.

    Works with no event loop, inside a running one, in threads and in notebooks, as long as nothing under it waits.

    Raises:
        SuspendedError: something under it waited. The coroutine is closed first, so that its `finally` blocks ran; a
            clean-up that waits as well cannot hide the first culprit.
    """
    try:
        suspended_on: object = coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    try:
        coroutine.close()
    except RuntimeError as ignored_exit:
        raise SuspendedError(coroutine, suspended_on) from ignored_exit
    raise SuspendedError(coroutine, suspended_on)


def iterate_blocking(iterator: AsyncIterator[T]) -> Iterator[T]:
    """Every item of one of our asynchronous iterators, driven on this thread."""
    while True:
        try:
            yield run_blocking(_next(iterator))
        except StopAsyncIteration:
            return


async def _next(iterator: AsyncIterator[T]) -> T:
    return await iterator.__anext__()
