"""The read that every check makes: compiled to text once for each driver, and run on the driver's own cursor.

SQLAlchemy's execution takes several times as long as SQLite needs for the row. Only reads outside of a transaction go
this way; a failing one is repeated through SQLAlchemy, which knows what the failure means for the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Dialect

from .db import Db, Row
from .dialects import AnySelect
from .types import Id, Processor, integer_bind, text_bind

_Plan = tuple[str, Mapping[str, Processor], Callable[[Mapping[str, Any]], Any]]


def _decoded(row: Sequence[Any]) -> Row:
    return [value.decode() if type(value) is bytes else value for value in row]


def _by_name(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


class HotSelect:
    """A SELECT whose parameters are texts and integers, several of them and none NULL."""

    def __init__(self, statement: AnySelect) -> None:
        self._statement = statement
        self._plans: dict[type[Dialect], _Plan] = {}

    def all(self, db: Db, values: Mapping[str, Any]) -> Sequence[Row]:
        """Every row."""
        if db.cursor is None:
            return db.all(self._statement, values)
        dialect = db.connection.dialect
        text, checks, arrange = self._plans.get(type(dialect)) or self._plan(dialect)
        for name, value in values.items():
            checks[name](value)
        try:
            db.cursor.execute(text, arrange(values))
            rows: Sequence[Row] = db.cursor.fetchall()
        except Exception:  # noqa: BLE001 - every driver has its own classes
            return db.all(self._statement, values)
        return [_decoded(row) for row in rows] if db.flavour == "mysql" else rows

    def _plan(self, dialect: Dialect) -> _Plan:
        compiled: Any = self._statement.compile(dialect=dialect)
        checks: dict[str, Processor] = {
            name: text_bind if isinstance(parameter.type, Id) else integer_bind
            for name, parameter in compiled.binds.items()
        }
        names: list[str] | None = compiled.positiontup
        plan = str(compiled), checks, itemgetter(*names) if names else _by_name
        self._plans[type(dialect)] = plan
        return plan
