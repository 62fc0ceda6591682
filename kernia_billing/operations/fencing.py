"""Work that one process does at a time: whoever lost the right to it writes nothing any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import evolve

from ..domain.instants import MINUTE
from ..domain.upkeep import Lease
from ..errors import Conflict
from ..ports.clock import Clock
from ..ports.store import Needs, Store, Transaction, Unit
from .core import Core

T = TypeVar("T")
TERM = 5 * MINUTE
"""How long a lease lasts without a write of its holder: after that another process takes over."""


class LeaseLost(Conflict):
    """Another process took the work over. Nothing was written."""

    code = "LEASE_LOST"

    def __init__(self) -> None:
        super().__init__("Another process took this work over")


class Fenced:
    """A store whose every write is one of the lease's holder.

    Each transaction first makes the lease last from now on, which holds its row to the end: nobody takes it over while
    something is written under it, and nothing is written once somebody has.
    """

    def __init__(self, store: Store, lease: Lease, clock: Clock, term: int = TERM) -> None:
        self._store = store
        self._lease = lease
        self._clock = clock
        self._term = term

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run a unit in a transaction, which it shares with no other; see `Store`.

        Raises:
            LeaseLost: another process took the lease over.
        """

        def fenced(tx: Transaction) -> T:
            now = self._clock.now()
            if not tx.leases.renew(self._lease.name, self._lease.token, now, now + self._term):
                raise LeaseLost
            return unit(tx)

        return await self._store.transaction(fenced, host=host)

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Run a unit that only reads; see `Store`."""
        return await self._store.read(unit, needs=needs)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


async def alone(core: Core, name: str, work: Callable[[Core], Awaitable[T]], *, term: int = TERM) -> T | None:
    """Do work that one process does at a time; None where another one is at it.

    Whoever died or hangs with the lease is taken over after `term` microseconds. `work` gets a core that writes only
    as long as the lease is its own.

    Raises:
        LeaseLost: it took too long, and another process took over.
    """
    holder, now = core.ids.new("worker"), core.now()
    lease = await core.store.transaction(lambda tx: tx.leases.acquire(name, holder, now, now + term))
    if lease is None:
        return None
    try:
        return await work(evolve(core, store=Fenced(core.store, lease, core.clock, term)))
    finally:
        await core.store.transaction(lambda tx: tx.leases.release(name, lease.token))


async def one_at_a_time(
    core: Core, name: str, work: Callable[[Core], Awaitable[T]], taken: Conflict, *, term: int = TERM
) -> T:
    """`alone`, for work that somebody waits for: raises `taken` where another process is at it."""

    async def held(fenced: Core) -> tuple[T]:
        return (await work(fenced),)

    made = await alone(core, name, held, term=term)
    if made is None:
        raise taken
    return made[0]
