"""Running a coroutine of the event loop from a thread beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from kernia_billing.errors import GuardError

T = TypeVar("T")


class LoopBridge:
    """How a gate on a plain function, which frameworks run in a worker thread, waits for the loop of its request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result.

        Raises:
            GuardError: called on the loop's own thread, where waiting would never end.
        """
        if _running() is self._loop:
            coroutine.close()
            raise GuardError(
                "A gate on a plain function was called on the event loop itself: make the function `async def`, or run "
                "it in a thread (asyncio.to_thread)"
            )
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
