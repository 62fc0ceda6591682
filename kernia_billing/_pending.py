"""What `AsyncBilling.check` returns: to be awaited, never to be judged."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

from .errors import GuardError

T_co = TypeVar("T_co", covariant=True)


class Pending(Coroutine[Any, Any, T_co]):
    """A coroutine whose truth value raises.

    A plain coroutine is true, so `if billing.check(...)` with a forgotten `await` would open the gate for everybody.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, T_co]) -> None:
        self._coroutine = coroutine

    def __bool__(self) -> bool:
        self._coroutine.close()
        raise GuardError("billing.check() was not awaited: write `if await billing.check(...)`")

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Go on with the coroutine."""
        return self._coroutine.send(value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> Any:
        """Raise an exception in the coroutine."""
        error: BaseException = kind if value is None else value
        return self._coroutine.throw(error)

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()
