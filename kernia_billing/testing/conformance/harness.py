"""A store together with the way in which its coroutines are run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeVar

from attrs import frozen

from ...ports.store import Store, Transaction, Unit

Item = TypeVar("Item")
T = TypeVar("T")


@frozen
class DrivenStore:
    """A store whose methods can be called from plain test functions.

    `drive` runs a coroutine to its end: `kernia_billing._drive.run_blocking` for a blocking store, a runner of the
    event loop for an asynchronous one.
    """

    store: Store
    drive: Callable[[Coroutine[Any, Any, Any]], Any]

    def transaction(self, unit: Unit[T], *, host: object | None = None) -> T:
        """`Store.transaction`."""
        answer: T = self.drive(self.store.transaction(unit, host=host))
        return answer

    def each(self, items: Iterable[Item], write: Callable[[Transaction, Item], T]) -> list[T]:
        """The answers of `write` for every item, each in a transaction of its own."""
        return [self.transaction(partial(_given, write, item)) for item in items]

    def read_each(self, items: Iterable[Item], read: Callable[[Transaction, Item], T]) -> list[T]:
        """The answers of `read` for every item."""
        return [self.read(partial(_given, read, item)) for item in items]

    def read(self, unit: Unit[T]) -> T:
        """`Store.read`."""
        answer: T = self.drive(self.store.read(unit))
        return answer


def _given(function: Callable[[Transaction, Item], T], item: Item, tx: Transaction) -> T:
    return function(tx, item)
