"""A store that tells the snapshots of `check` whose books are written to.

Everything that counts is written under the lock of the customer's row, so whoever locks it writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..domain.references import Reference
from ..ports.snapshots import Snapshots
from ..ports.store import Customers, Needs, Store, Transaction, Unit

T = TypeVar("T")
_Note = Callable[[CustomerRow | None], None]


class Watched:
    """A store, and the snapshots that its writes make worthless.

    A write ends with the call that made it. Nobody here sees the end of three kinds: one in the host's transaction, one
    that failed, because it may have been committed nevertheless, and one whose caller was cancelled.
    """

    def __init__(self, store: Store, snapshots: Snapshots) -> None:
        self._store = store
        self._snapshots = snapshots

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run a unit in a transaction; see `Store`."""
        writes: dict[Reference, object] = {}

        def note(customer: CustomerRow | None) -> None:
            if customer is not None:
                writes[customer.reference] = self._snapshots.begin(customer.reference)

        def noted(tx: Transaction) -> T:
            return unit(cast("Transaction", _NotedTransaction(tx, note)))

        answer = await self._store.transaction(noted, host=host, needs=needs)
        if host is None:
            for reference, write in writes.items():
                self._snapshots.end(reference, write)
        return answer

    async def read(self, unit: Unit[T], *, needs: Needs | None = None) -> T:
        """Run a unit that only reads; see `Store`."""
        return await self._store.read(unit, needs=needs)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


class _NotedTransaction:
    """All of a `Transaction`, in which it is noted who is locked."""

    __slots__ = ("_note", "_tx")

    def __init__(self, tx: Transaction, note: _Note) -> None:
        self._tx = tx
        self._note = note

    @property
    def customers(self) -> _NotedCustomers:
        return _NotedCustomers(self._tx.customers, self._note)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class _NotedCustomers:
    """All of `Customers`, in which it is noted who is locked."""

    __slots__ = ("_customers", "_note")

    def __init__(self, customers: Customers, note: _Note) -> None:
        self._customers = customers
        self._note = note

    def lock(self, customer_id: str, now: Instant | None = None) -> CustomerRow | None:
        found = self._customers.lock(customer_id, now)
        self._note(found)
        return found

    def lock_reference(self, reference: Reference, now: Instant | None = None) -> CustomerRow | None:
        found = self._customers.lock_reference(reference, now)
        self._note(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._customers, name)
