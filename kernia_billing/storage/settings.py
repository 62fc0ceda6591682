"""billing_setting: facts about this database."""

from __future__ import annotations

from sqlalchemy import select

from .db import Noun
from .dialects import insert_new
from .tables import setting as t
from .types import text_param

_GET = select(t.c.value).where(t.c.name == text_param("of"))
_ADD = insert_new(t, "name")


class Settings(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, name: str) -> str | None:
        """One fact."""
        row = self._db.one(_GET, {"of": name})
        return None if row is None else str(row[0])

    def add(self, name: str, value: str) -> str:
        """Record a fact unless it is recorded already, and give what is recorded."""
        self._db.insert_new(_ADD, {"name": name, "value": value})
        kept = self.get(name)
        return value if kept is None else kept
