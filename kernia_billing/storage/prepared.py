"""SQLAlchemy's statements on a driver's own cursor: compiled to text once for each server.

SQLAlchemy's execution takes several times as long as SQLite needs for a row, and as the drivers need to send one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, exc
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.base import Executable
from sqlalchemy.types import TypeEngine

from .types import Processor, Row, Values

_LONGEST_KEPT = 64
"""The text about a longer list is made anew: there would be one for each length."""


class PreparedStatement:
    """The text of a statement for a driver, and how its values and its rows are turned into what the other side takes.

    `constants` are the values that stand in the statement, under their positions or names, and None for the others.
    """

    __slots__ = ("_constants", "_given", "_lists", "_readers", "_types", "text")

    def __init__(self, compiled: Any, values: Values, types: Sequence[TypeEngine[Any]]) -> None:
        dialect: Dialect = compiled.dialect
        state = compiled.construct_expanded_state(dict(values))
        self.text: str = state.statement
        self._types = types
        self._readers: Sequence[tuple[int, Processor]] | None = None
        self._given: list[tuple[Any, str, Processor | None]] = []
        self._lists: list[tuple[Sequence[tuple[Any, ...]], str, Processor | None]] = []
        names: Sequence[str] | None = state.positiontup
        self._constants: Any = {} if names is None else [None] * len(names)
        for name, value in compiled.params.items():
            process = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            is_list = name in state.parameter_expansion
            parts: Sequence[str] = state.parameter_expansion[name] if is_list else [name]
            places = [_places(part, names) for part in parts]
            if name not in values:
                _put(self._constants, places, value if is_list else [value], process)
            elif is_list:
                self._lists.append((places, name, process))
            else:
                self._given += [(place, name, process) for place in places[0]]

    def bind(self, values: Values) -> Any:
        """The values as the driver takes them.

        Raises what a column's type raises for a value that it cannot hold.
        """
        bound = self._constants.copy()
        for place, name, process in self._given:
            bound[place] = values[name] if process is None else process(values[name])
        for places, name, process in self._lists:
            _put(bound, places, values[name], process)
        return bound

    def read(self, rows: Sequence[Row], cursor: DBAPICursor, dialect: Dialect) -> Sequence[Row]:
        """The rows as callers take them."""
        if self._readers is None:
            self._readers = self._made_readers(cursor, dialect)
        return [self._read(row) for row in rows] if self._readers else rows

    def _read(self, row: Row) -> Row:
        read = list(row)
        for index, process in self._readers or ():
            read[index] = process(read[index])
        return read

    def _made_readers(self, cursor: DBAPICursor, dialect: Dialect) -> Sequence[tuple[int, Processor]]:
        if not self._types:
            return ()
        kinds = [column[1] for column in cursor.description]
        types = [type_.dialect_impl(dialect) for type_ in self._types]
        made = [type_.result_processor(dialect, kind) for type_, kind in zip(types, kinds, strict=True)]
        return [(index, process) for index, process in enumerate(made) if process is not None]


def _put(bound: Any, places: Sequence[tuple[Any, ...]], values: Sequence[Any], process: Processor | None) -> None:
    """Put each of these values where it stands, which may be several places."""
    for at, value in zip(places, values, strict=True):
        for place in at:
            bound[place] = value if process is None else process(value)


def _places(name: str, names: Sequence[str] | None) -> tuple[Any, ...]:
    if names is None:
        return (name,)
    return tuple(index for index, each in enumerate(names) if each == name)


class Form:
    """One statement, for values of the same names."""

    __slots__ = ("_by_lengths", "_compiled", "_lists", "_types")

    def __init__(self, statement: Any, names: Sequence[str], dialect: Dialect) -> None:
        self._compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        self._types = [column.type for column in getattr(statement, "exported_columns", ())]
        self._lists = [name for name in names if self._is_list(name)]
        self._by_lengths: dict[tuple[int, ...], PreparedStatement] = {}

    def prepared(self, values: Values) -> PreparedStatement:
        """It for lists as long as those of `values`."""
        lengths = tuple([len(values[name]) for name in self._lists])
        prepared = self._by_lengths.get(lengths)
        if prepared is None:
            prepared = PreparedStatement(self._compiled, values, self._types)
            if max(lengths, default=0) <= _LONGEST_KEPT:
                self._by_lengths[lengths] = prepared
        return prepared

    def _is_list(self, name: str) -> bool:
        return name in self._compiled.binds and self._compiled.binds[name].expanding


class PreparedStatements:
    """The statements of this library as one server is told them, by the names of their values."""

    __slots__ = ("_forms",)

    def __init__(self) -> None:
        self._forms: dict[Executable, dict[tuple[str, ...], Form]] = {}

    def of(self, statement: Executable, values: Values, dialect: Dialect) -> PreparedStatement:
        """A statement, which is kept: so it must not be one that was made for a single call."""
        names = tuple(values)
        try:
            form = self._forms[statement][names]
        except KeyError:
            form = Form(statement, names, dialect)
            self._forms.setdefault(statement, {})[names] = form
        return form.prepared(values)


class PreparedCursor:
    """A cursor of a driver that runs SQLAlchemy's statements, and answers for the last one as their results do.

    The connection must be in a transaction already, or begin none.
    """

    __slots__ = ("_connection", "_cursor", "_dialect", "_known", "_last")

    def __init__(self, connection: Connection, known: PreparedStatements) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._cursor: DBAPICursor = connection.connection.cursor()
        self._known = known
        self._last: PreparedStatement | None = None

    def execute(self, statement: Executable, values: Values | Sequence[Values]) -> None:
        """Run a statement, or run it for each of several.

        Raises:
            DBAPIError: the database refused it.
        """
        if isinstance(values, Mapping):
            prepared = self._last = self._known.of(statement, values, self._dialect)
            self._run(self._cursor.execute, prepared.text, prepared.bind(values))
        else:
            prepared = self._last = self._known.of(statement, values[0], self._dialect)
            self._run(self._cursor.executemany, prepared.text, [prepared.bind(each) for each in values])

    def execute_text(self, text: str, rows: Sequence[Any]) -> None:
        """Run a statement as the driver takes it for each of these rows; the same errors."""
        self._last = None
        if len(rows) == 1:
            self._run(self._cursor.execute, text, rows[0])
        else:
            self._run(self._cursor.executemany, text, rows)

    def fetchall(self) -> Sequence[Row]:
        """Every row."""
        rows: Sequence[Row] = self._cursor.fetchall()
        return rows if self._last is None else self._last.read(rows, self._cursor, self._dialect)

    def fetchone(self) -> Row | None:
        """The first row."""
        # A driver that is left with rows to give may keep the statement open.
        rows = self.fetchall()
        return rows[0] if rows else None

    @property
    def rowcount(self) -> int:
        """How many rows were met."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number that MySQL gave out."""
        return self._cursor.lastrowid

    def close(self) -> None:
        """Close the driver's cursor."""
        self._cursor.close()

    def _run(self, run: Callable[..., object], text: str, values: Any) -> None:
        try:
            run(text, values)
        except Exception as error:  # noqa: BLE001 - every driver has its own classes
            self._judge(error)
            raise exc.DBAPIError(None, None, error, hide_parameters=True) from None
        except BaseException:
            # Interrupted or cancelled in the middle of an answer.
            self._connection.invalidate()
            raise

    def _judge(self, error: Exception) -> None:
        """Let SQLAlchemy draw its conclusions where the connection is lost; an error not of the driver goes on."""
        if not isinstance(error, self._dialect.loaded_dbapi.Error):
            raise error
        lost: Any = self._connection.connection.dbapi_connection
        if self._dialect.is_disconnect(error, lost, self._cursor):
            # It fails, whatever it is told: then the connections beside it in the pool are done with too.
            self._connection.exec_driver_sql("SELECT 1")
