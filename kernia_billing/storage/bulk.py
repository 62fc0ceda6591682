"""Many rows at a time, without what SQLAlchemy and the drivers do for each value of each row.

Statements are compiled to text once for each driver. PostgreSQL gets all rows of all tables in one statement, each
column as one array: there every other way of sending many rows is a statement, or a journey, for each of them. Where
each table gets one row, the values are sent as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Insert, Table, Text, TextClause, Update, bindparam, text
from sqlalchemy.types import TypeEngine

from ..domain.ids import MAX_INTEGER
from .db import Db
from .types import (
    Amount,
    JsonText,
    Processor,
    Row,
    array_of_integers,
    array_of_texts,
    integer_bind,
    json_bind,
    text_bind,
)

_Prepared = tuple[str, Callable[[Row], Any]]


class Bulk:
    """An INSERT or UPDATE of one row for each tuple of values; `columns` are those of its parameters, in their order.

    `together` is the same for all rows of the table `given`, as PostgreSQL is told it.
    """

    def __init__(self, statement: Insert | Update, together: str, columns: Mapping[str, Column[Any]]) -> None:
        self._statement = statement
        self._names = tuple(columns)
        self._binds = [_bind(column) for column in columns.values()]
        self._kinds = [_kind(column) for column in columns.values()]
        self._together = together
        self._prepared: dict[type[Dialect], _Prepared] = {}

    def run(self, db: Db, rows: Iterable[Row]) -> None:
        """Run it for each of these rows, which may be none.

        Raises:
            GuardError: a value is not of its column's kind.
            InvalidInput: an integer is too large, or a text is one that databases cannot hold.
        """
        found = list(rows)
        if len(found) > 1 and db.flavour == "postgresql":
            db.run(_at_once((self,), alone=False), self.arrays(found, 0))
        elif len(found) > 1:
            self._execute(db, list(zip(*self._columns(found), strict=True)))
        elif found:
            self._execute(db, [self._bound(found[0])])

    def text(self, number: int, *, alone: bool) -> str:
        """The statement as a part of a larger one, in which it has this number: for all rows, or for one `alone`."""
        if alone:
            given = f"(VALUES ({', '.join(f':{param}' for param in self.params(number))}))"
        else:
            arrays = (f"CAST(:{each} AS {kind}[])" for each, kind in zip(self.params(number), self._kinds, strict=True))
            given = f"unnest({', '.join(arrays)})"
        return self._together.format(given=f"{given} AS given ({', '.join(self._names)})")

    def params(self, number: int) -> Sequence[str]:
        """The names of its parameters there."""
        return [f"{name}_{number}" for name in self._names]

    def types(self, *, alone: bool) -> Sequence[TypeEngine[Any]]:
        """Their types."""
        return [BigInteger() if alone and kind == "BIGINT" else Text() for kind in self._kinds]

    def values(self, row: Row, number: int) -> Mapping[str, Any]:
        """Their values for one row, with the errors of `run`."""
        return dict(zip(self.params(number), self._bound(row), strict=True))

    def arrays(self, rows: Sequence[Row], number: int) -> Mapping[str, str]:
        """Their values for all rows, with the same errors."""
        arrays = map(_array, self._binds, self._columns(rows))
        return dict(zip(self.params(number), arrays, strict=True))

    def _bound(self, row: Row) -> Sequence[Any]:
        """The values of a row as a driver takes them."""
        return [bind(value) for bind, value in zip(self._binds, row, strict=True)]

    def _columns(self, rows: Sequence[Row]) -> Iterable[Sequence[Any]]:
        """The values of each column as a driver takes them."""
        return map(_checked, self._binds, zip(*rows, strict=True))

    def _execute(self, db: Db, rows: Sequence[Row]) -> None:
        dialect = db.connection.dialect
        statement, arrange = self._prepared.get(type(dialect)) or self._prepare(dialect)
        given = [arrange(row) for row in rows]
        db.run_text(statement, given)

    def _prepare(self, dialect: Dialect) -> _Prepared:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(self._names))
        order: Sequence[str] | None = compiled.positiontup
        prepared = str(compiled), self._named if order is None else _arranged(self._names, tuple(order))
        self._prepared[type(dialect)] = prepared
        return prepared

    def _named(self, row: Row) -> Mapping[str, Any]:
        return dict(zip(self._names, row, strict=True))


Part = tuple[Bulk, Sequence[Row]]
"""One of several that are to be run, with its rows."""


def run_all(db: Db, parts: Iterable[Part]) -> None:
    """Run several for their rows, at once where the database can; so they must not depend on each other.

    Raises what `Bulk.run` raises.
    """
    some = [(bulk, rows) for bulk, rows in parts if rows]
    if db.flavour == "postgresql" and len(some) > 1:
        alone = all(len(rows) == 1 for _, rows in some)
        values: dict[str, Any] = {}
        for number, (bulk, rows) in enumerate(some):
            values.update(bulk.values(rows[0], number) if alone else bulk.arrays(rows, number))
        db.run(_at_once(tuple(bulk for bulk, _ in some), alone=alone), values)
    else:
        for bulk, rows in some:
            bulk.run(db, rows)


@lru_cache(maxsize=100)
def _at_once(bulks: Sequence[Bulk], *, alone: bool) -> TextClause:
    """The statements of several as one, for one row each, or for all of theirs."""
    *others, last = [bulk.text(number, alone=alone) for number, bulk in enumerate(bulks)]
    named = ", ".join(f"part_{number} AS ({each})" for number, each in enumerate(others))
    params = [
        bindparam(name, type_=kind)
        for number, bulk in enumerate(bulks)
        for name, kind in zip(bulk.params(number), bulk.types(alone=alone), strict=True)
    ]
    return text(f"WITH {named} {last}" if named else last).bindparams(*params)


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


def _checked(bind: Processor, column: Sequence[Any]) -> Sequence[Any]:
    """What `bind` makes of each value: of all at once where none is out of the ordinary."""
    if bind is json_bind:
        return [json_bind(value) for value in column]
    kinds = set(map(type, column))
    if bind is integer_bind:
        if kinds == {int} and -MAX_INTEGER <= min(column) and max(column) <= MAX_INTEGER:
            return column
    elif kinds == {str} and (joined := "".join(column)).isascii() and "\0" not in joined:
        return column
    return [bind(value) for value in column]


def _array(bind: Processor, column: Sequence[Any]) -> str:
    return array_of_integers(column) if bind is integer_bind else array_of_texts(column)


def _arranged(names: tuple[str, ...], order: tuple[str, ...]) -> Callable[[Row], Any]:
    return tuple if order == names else itemgetter(*(names.index(name) for name in order))
