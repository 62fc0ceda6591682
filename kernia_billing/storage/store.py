"""What the blocking and the asynchronous store share: the order of things."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar, cast

from sqlalchemy import Connection, Engine

from ..errors import Unavailable
from ..ports.pace import Pace
from ..ports.store import Needs, Transaction, Unit
from .connections import Connections, Held
from .dialects import Flavour
from .faults import Again, translating
from .lanes import Lane, Lanes
from .recipe import insist, persist, run_joined, run_own
from .schema import ensure_schema, ensure_schema_inside
from .sharing import Ticket, share
from .transaction import SqlTransaction

T = TypeVar("T")

PLACES_IN_LANE = 2
"""So many shared transactions are on their way at a time on a server: one is prepared while the other commits."""


class SqlStore(ABC):
    """Units of work over the connections of one database."""

    lane: ClassVar[type[Lane]]
    """How its callers wait for each other."""

    def __init__(self, connections: Connections, *, pace: Pace) -> None:
        self._connections = connections
        self._flavour: Flavour = connections.flavour
        self._pace = pace
        self._ready = self._flavour != "sqlite"
        # The one connection of a database in memory may be one for each thread, and a commit costs nothing there.
        self._shares = not isinstance(connections, Held)
        self._lanes = Lanes(self.lane, self._together, 1 if self._flavour == "sqlite" else PLACES_IN_LANE)

    @property
    def engine(self) -> Engine:
        """The engine that writes, for migrations and diagnosis; of an asynchronous one its blocking side."""
        return self._connections.engine

    @abstractmethod
    async def _call(self, work: Callable[[], T], *, writes: bool) -> T:
        """Run blocking work where it may block."""

    @abstractmethod
    async def _in_host(self, host: object, work: Callable[[Connection], T]) -> T:
        """Run blocking work on the connection of the host's transaction, once that has been judged."""

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run `unit` in a transaction of its own, in one with other units that say what they need, or in the host's.

        An own transaction commits when the unit returns, rolls back when it raises, and is repeated whole after a
        serialization failure, a deadlock, a lock timeout or a busy database. In the host's transaction the unit runs
        once, inside a savepoint, and the host decides what becomes of it.

        Raises:
            DuplicateKey: the unit met a unique key; nothing of it is left.
            TransactionConflict: the host's transaction met another one.
            Unavailable: the database does not answer, or stays busy.
            InvalidInput: `host` is not a transaction on this database (field "transaction").
        """

        def joined(connection: Connection) -> T:
            with translating:
                if not self._ready:
                    ensure_schema_inside(connection)
                return run_joined(connection, self._flavour, unit)

        if host is not None:
            return await self._in_host(host, joined)
        if not self._ready:
            await self._prepare()
        if needs is not None and self._shares:
            ticket = Ticket(unit, needs)
            await self._lanes.take(ticket)
            if not ticket.alone:
                shared: T = ticket.answer()
                return shared

        def work() -> T:
            with translating, self._connections.writing() as connection:
                return self._run(connection, unit)

        return await persist(lambda: self._call(work, writes=True), self._pace)

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Run a unit that only reads, outside of any transaction; see the port for its `needs`.

        Raises:
            Unavailable: the database does not answer.
        """
        if not self._ready:
            await self._prepare()

        def work() -> T:
            with translating, self._connections.reading() as tx:
                return unit(tx)

        try:
            return await self._call(work, writes=False)
        except Again as again:
            return await insist(lambda: self._call(work, writes=False), self._pace, again.reason)

    async def _together(self, tickets: Sequence[Ticket], *, wait: bool) -> None:
        """Run the units of these tickets in one transaction; where that fails, each is to be run in one of its own."""

        def together(tx: Transaction) -> None:
            share(cast("SqlTransaction", tx), tickets, wait=wait)

        def work() -> None:
            with translating, self._connections.writing() as connection:
                if self._flavour == "sqlite" and len(tickets) == 1:
                    # Nobody's lock holds it up, and nobody waits for it: nothing has to be read ahead.
                    tickets[0].value = self._run(connection, tickets[0].unit)
                else:
                    self._run(connection, together)

        try:
            await persist(lambda: self._call(work, writes=True), self._pace)
        except Unavailable as error:
            for each in tickets:
                each.fail(error)
        except Exception:  # noqa: BLE001 - whose it is, only a transaction of its own tells
            for each in tickets:
                each.reset(alone=True)

    def _run(self, connection: Connection, unit: Unit[T]) -> T:
        return run_own(connection, self._flavour, unit, direct=self._connections.direct)

    async def close(self) -> None:
        """Close the connections that the store opened."""
        await self._call(self._connections.close, writes=True)

    async def _prepare(self) -> None:
        def work() -> None:
            with translating:
                ensure_schema(self._connections.engine)

        await persist(lambda: self._call(work, writes=True), self._pace)
        self._ready = True
