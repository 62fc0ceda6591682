"""Tables whose rows are copies of Stripe's objects, found by Stripe's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Table

from ..ports.mirror import Change
from .db import Db, Shape
from .dialects import AnySelect, Variants, upsert
from .types import text_param, texts_param


class Copy(Protocol):
    """A row with Stripe's id, and `updated_at`: copies that differ in nothing else are the same."""

    @property
    def id(self) -> str:
        """Stripe's id."""
        ...


C = TypeVar("C", bound=Copy)


class Copies(Generic[C]):
    """The statements that all such tables need."""

    def __init__(self, shape: Shape[C], table: Table) -> None:
        self._shape = shape
        self._one: AnySelect = shape.select().where(table.c.id == text_param("this"))
        self._some: AnySelect = shape.select().where(table.c.id.in_(texts_param("ids")))
        self._put: Variants = upsert(table, "id")

    @property
    def statements(self) -> Sequence[AnySelect | Variants]:
        """All of them."""
        return self._one, self._some, self._put

    def get(self, db: Db, stripe_id: str) -> C | None:
        """One copy."""
        return self._shape.read_or_none(db.one(self._one, {"this": stripe_id}))

    def get_all(self, db: Db, stripe_ids: Sequence[str]) -> Mapping[str, C]:
        """Those that are known."""
        rows = db.all(self._some, {"ids": list(stripe_ids)}) if stripe_ids else ()
        return {copy.id: copy for copy in self._shape.read_all(rows)}

    def put(self, db: Db, row: C) -> Change:
        """Insert or overwrite."""
        change = self._change(row, self.get(db, row.id))
        if change != "unchanged":
            db.run(self._put, self._shape.values(row))
        return change

    def _change(self, row: C, stored: C | None) -> Change:
        if stored is None:
            return "created"
        return "unchanged" if self._told(row) == self._told(stored) else "updated"

    def _told(self, row: C) -> Mapping[str, Any]:
        """What Stripe said: everything but when it was written."""
        return {**self._shape.values(row), "updated_at": None}
