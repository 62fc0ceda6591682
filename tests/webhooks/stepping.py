"""A scheduler that drives the coroutines of handlers step by step, with a Stripe that changes in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, evolve, field

from kernia_billing.operations.core import Core
from kernia_billing.ports.store import Needs, Store, Unit
from kernia_billing.ports.stripe import StripePage

T = TypeVar("T")
STEPS = ("ticket", "read", "reply", "write")
"""What a handler does to an object: it takes a ticket, Stripe reads the object, the answer arrives, it is written."""


class _Halt(Awaitable[None]):
    """Suspends the coroutine until the scheduler goes on with it."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __await__(self) -> Generator[str, None, None]:
        yield self._where


@define(eq=False)
class HaltingStore:
    """A store that halts before each transaction, so that the scheduler says when it happens."""

    inner: Store

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Halt, then run the unit."""
        await _Halt("transaction")
        return await self.inner.transaction(unit, host=host, needs=needs)

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Read at once."""
        return await self.inner.read(unit, needs=needs)

    async def close(self) -> None:
        """Nothing: the inner store is somebody else's."""


@define(eq=False)
class HaltingStripe:
    """A Stripe that halts before it reads an object, and again before its answer arrives."""

    objects: dict[str, Mapping[str, Any]] = field(factory=dict[str, Mapping[str, Any]])
    read: list[Mapping[str, Any]] = field(factory=list[Mapping[str, Any]])

    async def request(
        self, method: str, path: str, params: object = None, *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The object at a path, as it was between the two halts."""
        assert (method, idempotency_key) == ("GET", None)
        await _Halt("read")
        answer = dict(self.objects[path])
        self.read.append(answer)
        await _Halt("reply")
        return answer

    async def page(self, path: str, params: object = None, *, after: str | None = None) -> StripePage:
        """No handler lists anything."""
        raise AssertionError(path)

    def in_background(self) -> HaltingStripe:
        """The same: nothing is limited."""
        return self

    async def close(self) -> None:
        """Nothing is open."""


@define(eq=False)
class Handler:
    """One run of a handler, from halt to halt; the last step runs to its end."""

    work: Coroutine[Any, Any, Any]
    first: str = "transaction"
    _taken: int = 0
    _started: bool = False

    def step(self) -> None:
        """Go on to the next halt; the fourth step goes on to the end."""
        if not self._started:
            self._started = True
            assert self.work.send(None) == self.first
        self._taken += 1
        if self._taken < len(STEPS):
            self.work.send(None)
            return
        while True:
            try:
                self.work.send(None)
            except StopIteration:
                return


def halting(core: Core, stripe: HaltingStripe) -> Core:
    """The core with ports that halt."""
    return evolve(core, store=HaltingStore(core.store), stripe=stripe)


def run(order: Sequence[str], changes: Mapping[str, Callable[[], None]], handlers: Mapping[str, Handler]) -> None:
    """Do what `order` says, name by name: make a change, or take the next step of a handler."""
    for name in order:
        if name in changes:
            changes[name]()
        else:
            handlers[name].step()


def interleavings(*chains: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every order of the names of all chains that keeps the order within each."""
    rest = [chain for chain in chains if chain]
    if not rest:
        yield ()
    for number, chain in enumerate(rest):
        others = [*rest[:number], chain[1:], *rest[number + 1 :]]
        for tail in interleavings(*others):
            yield (chain[0], *tail)
