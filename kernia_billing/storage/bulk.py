"""Many rows at a time, without what SQLAlchemy and the drivers do for each value of each row.

Statements are compiled to text once for each driver. PostgreSQL gets all rows in one statement, as one JSON text: there
every other way of sending many rows is a statement for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Dialect, Insert, Table, Text, TextClause, Update, bindparam, text

from ..domain.ids import MAX_INTEGER
from .db import Db, Row
from .types import Amount, JsonText, Processor, integer_bind, json_bind, text_bind

_Plan = tuple[str, Callable[[Row], Any]]


class Bulk:
    """An INSERT or UPDATE of one row for each tuple of values; `names` are its parameters, in their order."""

    def __init__(self, statement: Insert | Update, together: str, columns: Mapping[str, Column[Any]]) -> None:
        self._statement = statement
        self._names = tuple(columns)
        self._binds = [_bind(column) for column in columns.values()]
        self._jsons = [index for index, bind in enumerate(self._binds) if bind is json_bind]
        kinds = ", ".join(f"{name} {_kind(column)}" for name, column in columns.items())
        self._together: TextClause = text(
            together.format(given=f"json_to_recordset(CAST(:rows AS JSON)) AS given ({kinds})")
        ).bindparams(bindparam("rows", type_=Text()))
        self._plans: dict[type[Dialect], _Plan] = {}

    def run(self, db: Db, rows: Iterable[Row]) -> None:
        """Run it for each of these rows, which may be none.

        Raises:
            GuardError: a value is not of its column's kind.
            InvalidInput: an integer is too large, or a text is one that databases cannot hold.
        """
        checked = self._checked(list(rows))
        if len(checked) > 1 and db.flavour == "postgresql":
            named = [dict(zip(self._names, row, strict=True)) for row in checked]
            db.run(self._together, {"rows": json.dumps(named, check_circular=False)})
        elif checked:
            dialect = db.connection.dialect
            statement, arrange = self._plans.get(type(dialect)) or self._plan(dialect)
            given = [arrange(row) for row in checked]
            db.connection.exec_driver_sql(statement, given[0] if len(given) == 1 else given)

    def _checked(self, rows: list[Row]) -> Sequence[Row]:
        """The rows as a driver takes them."""
        if len(rows) <= 1:
            return [[bind(value) for bind, value in zip(self._binds, row, strict=True)] for row in rows]
        columns = list(zip(*rows, strict=True))
        for index in self._jsons:
            columns[index] = tuple(map(json_bind, columns[index]))
        for bind, column in zip(self._binds, columns, strict=True):
            _check(bind, column)
        return list(zip(*columns, strict=True)) if self._jsons else rows

    def _plan(self, dialect: Dialect) -> _Plan:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(self._names))
        order: Sequence[str] | None = compiled.positiontup
        plan = str(compiled), self._named if order is None else _arranged(self._names, tuple(order))
        self._plans[type(dialect)] = plan
        return plan

    def _named(self, row: Row) -> Mapping[str, Any]:
        return dict(zip(self._names, row, strict=True))


def inserting(table: Table, columns: Sequence[Column[Any]]) -> Bulk:
    """Insert rows of these columns; a taken key is an error."""
    names = ", ".join(column.name for column in columns)
    together = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {{given}}"  # noqa: S608 - names of ours
    return Bulk(table.insert(), together, {column.name: column for column in columns})


def updating(table: Table, *names: str) -> Bulk:
    """Overwrite these columns of rows; before their values comes the id of the row."""
    changes = ", ".join(f"{name} = given.{name}" for name in names)
    together = f"UPDATE {table.name} SET {changes} FROM {{given}} WHERE {table.name}.id = given.this"  # noqa: S608 - the same
    statement = table.update().where(table.c.id == bindparam("this", type_=table.c.id.type))
    return Bulk(statement, together, {"this": table.c.id, **{name: table.c[name] for name in names}})


def _kind(column: Column[Any]) -> str:
    return "BIGINT" if isinstance(column.type, Amount) else "TEXT"


def _bind(column: Column[Any]) -> Processor:
    if isinstance(column.type, JsonText):
        return json_bind
    return integer_bind if isinstance(column.type, Amount) else text_bind


def _check(bind: Processor, column: Sequence[Any]) -> None:
    """What `bind` checks of each value, of all values of a column at once where none is out of the ordinary."""
    kinds = set(map(type, column))
    if bind is integer_bind:
        if kinds == {int} and -MAX_INTEGER <= min(column) and max(column) <= MAX_INTEGER:
            return
    elif kinds == {str} and (joined := "".join(column)).isascii() and "\0" not in joined:
        return
    for value in column:
        (text_bind if bind is json_bind else bind)(value)


def _arranged(names: tuple[str, ...], order: tuple[str, ...]) -> Callable[[Row], Any]:
    return tuple if order == names else itemgetter(*(names.index(name) for name in order))
