"""What `AsyncBilling.check`, `reserve` and `lease` return: to be awaited, never to be judged."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from .errors import GuardError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Held(Protocol):
    """What is held by `async with`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


C_co = TypeVar("C_co", bound=Held, covariant=True)


class Pending(Coroutine[Any, Any, T_co]):
    """A coroutine whose truth value raises.

    A plain coroutine is true, so `if billing.check(...)` with a forgotten `await` would open the gate for everybody.
    """

    __slots__ = ("_coroutine", "_forgotten")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T_co],
        forgotten: str = "billing.check() was not awaited: write `if await billing.check(...)`",
    ) -> None:
        self._coroutine = coroutine
        self._forgotten = forgotten

    def __bool__(self) -> bool:
        self._coroutine.close()
        raise GuardError(self._forgotten)

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


async def answered(value: T) -> T:
    """An answer that is there already."""
    return value


class PendingContext(Pending[C_co]):
    """The same for what can be held: `await` it, or enter it at once by `async with`."""

    __slots__ = ("_entered",)

    def __init__(self, coroutine: Coroutine[Any, Any, C_co], name: str) -> None:
        super().__init__(
            coroutine, f"billing.{name}() was not awaited: write `await billing.{name}(...)`, or `async with` it"
        )

    async def __aenter__(self) -> C_co:
        self._entered = await self
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, error, trace)
