"""Checkout sessions that we opened: what those that sell a plan and those that sell none have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Table, select, update

from ..domain.instants import Instant
from .db import Noun, Shape
from .dialects import AnySelect, plain_insert
from .types import number_param, text_param


class _Row(Protocol):
    @property
    def id(self) -> str: ...


P = TypeVar("P", bound=_Row)


class Statements(Generic[P]):
    """The statements over one table. `slot_of` is what its column `slot` has for a row."""

    def __init__(
        self,
        shape: Shape[P],
        table: Table,
        *,
        is_open: ColumnElement[bool],
        slot_of: Callable[[P], str],
        overdue: AnySelect,
    ) -> None:
        t = table.c
        self.shape = shape
        self.slot_of = slot_of
        self.overdue = overdue
        self.open = shape.select().where(t.customer_id == text_param("customer"), is_open)
        self.by_id = shape.select().where(t.id == text_param("id"))
        self.by_session = shape.select().where(t.stripe_session_id == text_param("session"))
        self.unfinished = (
            select(t.stripe_session_id)
            .where(t.status.in_(["open", "processing"]), t.stripe_session_id > text_param("after"))
            .order_by(t.stripe_session_id)
            .limit(number_param("limit"))
        )
        self.add = plain_insert(table)
        self.put = update(table).where(t.id == text_param("this"))

    def values(self, row: P) -> dict[str, Any]:
        """The columns of a row."""
        return {**self.shape.values(row), "slot": self.slot_of(row)}


class CheckoutSessions(Noun, Generic[P]):
    """The port of the same name."""

    __slots__ = ()
    _said: ClassVar[Statements[Any]]

    def open(self, customer_id: str, slot: str) -> P | None:
        """The open one of a customer for a slot."""
        return self._one(self._said.open, customer=customer_id, slot=slot)

    def by_id(self, our_id: str) -> P | None:
        """One of them by our id."""
        return self._one(self._said.by_id, id=our_id)

    def by_session(self, stripe_session_id: str) -> P | None:
        """The one that has this Stripe session."""
        return self._one(self._said.by_session, session=stripe_session_id)

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe sessions of unfinished ones that should have expired before an instant.

        Those that were looked at since come again after as long a time as they were overdue then, a day at most.
        """
        rows = self._db.all(self._said.overdue, {"old": before, "now": now, "limit": limit})
        return [str(session_id) for (session_id,) in rows]

    def unfinished(self, limit: int, after: str | None) -> Sequence[str]:
        """The Stripe sessions of those that are open or wait for a payment, in the order of their ids."""
        rows = self._db.all(self._said.unfinished, {"limit": limit, "after": after or ""})
        return [str(session_id) for (session_id,) in rows]

    def add(self, row: P) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one of the slot."""
        self._db.run(self._said.add, self._said.values(row))

    def put(self, row: P) -> None:
        """Overwrite by id."""
        self._db.run(self._said.put, {**self._said.values(row), "this": row.id})

    def _one(self, statement: AnySelect, **values: str) -> P | None:
        row: P | None = self._said.shape.read_or_none(self._db.one(statement, values))
        return row
