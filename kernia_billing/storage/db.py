"""Running prepared statements on one connection, and rows as values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

import attrs
from sqlalchemy import Column, Connection, CursorResult, Table, select
from sqlalchemy.sql.base import Executable

from ..domain.instants import Instant
from .dialects import AnySelect, Change, Flavour, Variants, was_inserted
from .prepared import PreparedCursor
from .types import Row, Values

T = TypeVar("T")
Statement = Executable | Variants


class Db:
    """A connection inside a unit, with the flavour of its database.

    Where there is a `cursor`, statements bypass SQLAlchemy's execution: on connections of ours, and to read. In the
    host's transaction, and to write on the host's engine, its events see every statement.
    """

    __slots__ = ("connection", "cursor", "flavour")

    def __init__(self, connection: Connection, flavour: Flavour, cursor: PreparedCursor | None = None) -> None:
        self.connection = connection
        self.flavour: Flavour = flavour
        self.cursor = cursor

    def one(self, statement: Statement, values: Values) -> Row | None:
        """The first row."""
        row: Row | None = self._execute(statement, values).fetchone()
        return row

    def only(self, statement: Statement, values: Values) -> Row:
        """The one row of a statement that always answers, such as a count without groups."""
        row = self.one(statement, values)
        if row is None:
            raise AssertionError("the statement has no answer")
        return row

    def all(self, statement: Statement, values: Values) -> Sequence[Row]:
        """Every row."""
        return self._execute(statement, values).fetchall()

    def run(self, statement: Statement, values: Values | Sequence[Values]) -> int:
        """How many rows it met."""
        return self._execute(statement, values).rowcount

    def run_all(self, statement: Statement, rows: Sequence[Values]) -> None:
        """Run it for each of these, which may be none."""
        if rows:
            # One alone takes a shorter way through SQLAlchemy and the drivers than a list of one.
            self._execute(statement, rows[0] if len(rows) == 1 else rows)

    def insert_new(self, statement: Variants, values: Values) -> bool:
        """Whether the row is new; see `dialects.insert_new`."""
        result = self._execute(statement, values)
        return was_inserted(self.flavour, result.rowcount, lambda: result.lastrowid)

    def change(self, change: Change, values: Values) -> Row | None:
        """The row after the change, None where there is no such row."""
        if self.flavour != "mysql":
            return self.one(change.returning, values)
        return self.one(change.select, values) if self.run(change.update, values) else None

    def run_text(self, text: str, rows: Sequence[Any]) -> None:
        """Run a statement as the driver takes it for each of these, which are its values as the driver takes them."""
        if self.cursor is None:
            self.connection.exec_driver_sql(text, rows[0] if len(rows) == 1 else list(rows))
        else:
            self.cursor.execute_text(text, rows)

    def run_once(self, statement: Executable) -> int:
        """Run a statement that was made for this call, with its values in it; how many rows it met."""
        return self.connection.execute(statement).rowcount

    def _execute(self, statement: Statement, values: Values | Sequence[Values]) -> CursorResult[Any] | PreparedCursor:
        form = statement.of(self.flavour) if isinstance(statement, Variants) else statement
        if self.cursor is None:
            return self.connection.execute(form, values)
        self.cursor.execute(form, values)
        return self.cursor


class Noun:
    """What every noun of a transaction is: statements over one `Db`."""

    __slots__ = ("_db",)

    def __init__(self, db: Db) -> None:
        self._db = db

    def _prune(self, old: Statement, delete: Statement, before: Instant, limit: int) -> int:
        """Delete what is old, so many rows at most; how many. `old` finds their ids, `delete` takes these as `ids`."""
        ids = [str(id_) for (id_,) in self._db.all(old, {"old": before, "limit": limit})]
        return self._db.run(delete, {"ids": ids}) if ids else 0


class Shape(Generic[T]):
    """How an attrs class is kept in a table: field for field, in the same order.

    `columns` names the columns that are called otherwise than their field; `flags` are the fields kept as 0 or 1, and
    `skip` those that the caller cares for.
    """

    def __init__(
        self, kind: type[T], table: Table, *, flags: Sequence[str] = (), skip: Sequence[str] = (), **columns: str
    ) -> None:
        fields: list[str] = [field.name for field in attrs.fields(kind) if field.name not in skip]  # type: ignore[arg-type]  # every kind is an attrs class
        self._kind = kind
        self._pairs: list[tuple[str, str]] = [(field, columns.get(field, field)) for field in fields]
        self._flags = [fields.index(flag) for flag in flags]
        self._flag_columns = [columns.get(flag, flag) for flag in flags]
        self.columns: list[Column[Any]] = [table.c[column] for _, column in self._pairs]
        self._get: Callable[[T], Row] = attrgetter(*fields)

    def select(self) -> AnySelect:
        """A SELECT of the columns that `read` wants."""
        return select(*self.columns)

    def read(self, row: Row) -> T:
        """The value of a row."""
        if not self._flags:
            return self._kind(*row)
        values = list(row)
        for index in self._flags:
            values[index] = bool(values[index])
        return self._kind(*values)

    def read_or_none(self, row: Row | None) -> T | None:
        """The value of a row, None where there is none."""
        return None if row is None else self.read(row)

    def read_all(self, rows: Sequence[Row]) -> list[T]:
        """The values of rows."""
        return [self.read(row) for row in rows]

    def row(self, value: T) -> Row:
        """The values of the columns in their order, of a class without flags."""
        return self._get(value)

    def values(self, value: T) -> dict[str, Any]:
        """The columns of a value."""
        values = {column: getattr(value, field) for field, column in self._pairs}
        for column in self._flag_columns:
            values[column] = int(values[column])
        return values
