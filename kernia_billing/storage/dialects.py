"""Where the databases differ: one statement, as each of them has to be told it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    func,
    literal_column,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean

from ..errors import ConfigError
from .types import MYSQL, Amount, JsonText, TextArray, texts_param

AnySelect = Select[*tuple[Any, ...]]
Flavour = Literal["sqlite", "postgresql", "mysql"]

_MET = 2
"""What MySQL answers as "last insert id" when an insert met an existing row. Without an AUTO_INCREMENT column it is 0
after a real insert. Affected rows would not tell: drivers that count found rows say 1 in both cases."""


def _fixed(number: int) -> Any:
    """A number that stands in the statement itself.

    MySQL's drivers send many rows at once, and fail where what follows the rows has parameters too.
    """
    return literal_column(str(number), Amount())


def flavour_of(dialect: str) -> Flavour:
    """Which of the three kinds of database SQLAlchemy means by the name of a dialect.

    Raises:
        ConfigError: none of them.
    """
    if dialect in MYSQL:
        return "mysql"
    match dialect:
        case "sqlite" | "postgresql":
            return dialect
        case _:
            pass
    raise ConfigError([f"database: {dialect} is not one of SQLite, PostgreSQL, MySQL and MariaDB"])


@frozen(eq=False)
class Variants:
    """One statement in its three forms."""

    sqlite: Executable
    postgresql: Executable
    mysql: Executable

    def of(self, flavour: Flavour) -> Executable:
        """The form for a database."""
        form: Executable = getattr(self, flavour)
        return form


@frozen(eq=False)
class Change:
    """An UPDATE of at most one row that answers with the row after it: at once, or by a SELECT where it cannot."""

    update: Executable
    returning: Executable
    select: Executable


def insert_new(table: Table, *key: str) -> Variants:
    """Insert a row unless `key` is taken; every other failure stays one. See `was_inserted`."""

    def form(insert: Any) -> Any:
        return insert.on_conflict_do_nothing(index_elements=key).execution_options(preserve_rowcount=True)

    duplicate = func.IF(func.LAST_INSERT_ID(_fixed(_MET)), table.c[key[0]], table.c[key[0]])
    return Variants(
        sqlite=form(sqlite.insert(table)),
        postgresql=form(postgresql.insert(table)),
        mysql=mysql.insert(table).on_duplicate_key_update({key[0]: duplicate}),
    )


def was_inserted(flavour: Flavour, rows: int, last_insert_id: Callable[[], int | None]) -> bool:
    """Whether an `insert_new` inserted its row."""
    return last_insert_id() != _MET if flavour == "mysql" else rows == 1


def upsert(table: Table, *key: str, keep: Sequence[str] = ()) -> Variants:
    """Insert a row, or overwrite everything but its key and `keep` where the key is taken."""
    columns = [column.name for column in table.columns if column.name not in (*key, *keep)]

    def forms(insert: Any) -> Any:
        return insert.on_conflict_do_update(index_elements=key, set_={name: insert.excluded[name] for name in columns})

    on_mysql = mysql.insert(table)
    return Variants(
        sqlite=forms(sqlite.insert(table)),
        postgresql=forms(postgresql.insert(table)),
        mysql=on_mysql.on_duplicate_key_update({name: on_mysql.inserted[name] for name in columns}),
    )


def count_up(table: Table, column: str, *key: str) -> Variants:
    """Insert a row, or raise its `column` by one where `key` is taken."""

    def forms(insert: Any) -> Any:
        return insert.on_conflict_do_update(index_elements=key, set_={column: table.c[column] + 1})

    return Variants(
        sqlite=forms(sqlite.insert(table)),
        postgresql=forms(postgresql.insert(table)),
        mysql=mysql.insert(table).on_duplicate_key_update({column: table.c[column] + _fixed(1)}),
    )


def returning(statement: Variants, column: Column[Any]) -> Variants:
    """The same insert, answering with a column of the row, but on MySQL, which cannot."""
    given: Any = statement
    return Variants(given.sqlite.returning(column), given.postgresql.returning(column), given.mysql)


def locking(select: AnySelect, *, on_postgresql: bool = False) -> Variants:
    """A read that sees the newest rows and holds them.

    On MySQL an older snapshot of the transaction would hide what was committed since. On PostgreSQL every statement
    under READ COMMITTED sees the newest, so that only rows which must be held need it. SQLite has one writer.
    """
    held = select.with_for_update()
    return Variants(sqlite=select, postgresql=held if on_postgresql else select, mysql=held)


Among = Callable[[ColumnElement[Any], str], ColumnElement[bool]]
"""The condition that a column has one of the texts that a parameter of a name lists."""


def among_many(form: Callable[[Among], Any]) -> Variants:
    """A statement about many texts in its three forms.

    On PostgreSQL they are one parameter, so that the statement stays the same however many there are: it would be
    rendered, read and planned anew for each number.
    """
    listed = form(lambda column, name: column.in_(texts_param(name)))
    return Variants(listed, form(_among_array), listed)


def _among_array(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    array: Any = cast(bindparam(name, type_=TextArray()), postgresql.ARRAY(Text))
    return column == func.any(array)


def free(select: AnySelect) -> AnySelect:
    """A read that holds the rows it gives, and gives those only that nobody else holds. Not for SQLite."""
    return select.with_for_update(skip_locked=True)


def change(update: Update, select: AnySelect) -> Change:
    """`update`, and `select` for what the row is after it: the same columns, found by the same parameters."""
    return Change(update, update.returning(*select.selected_columns), select)


def plain_insert(table: Table) -> Insert:
    """Insert a row; a taken key is an error."""
    return table.insert()


class _HasMembers(FunctionElement[bool]):
    """Whether a flat object has every member of another one."""

    inherit_cache = True
    type = Boolean()


_HAS_MEMBERS = {
    # A boolean and a number have the same value there, so the type is compared too.
    "sqlite": "NOT EXISTS (SELECT 1 FROM json_each({1}) AS wanted WHERE NOT EXISTS (SELECT 1 FROM json_each({0}) AS had"
    " WHERE had.key = wanted.key AND had.type = wanted.type AND had.atom = wanted.atom))",
    "postgresql": "CAST({0} AS JSONB) @> CAST({1} AS JSONB)",
    "mysql": "JSON_CONTAINS({0}, {1})",
}


@compiles(_HasMembers)
def _compile_has_members(element: _HasMembers, compiler: SQLCompiler, **options: Any) -> str:
    both = (compiler.process(each, **options) for each in element.clauses)
    return _HAS_MEMBERS[flavour_of(compiler.dialect.name)].format(*both)


def has_members(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether an object of texts, integers and booleans has every member of the object that a parameter gives."""
    return _HasMembers(column, bindparam(name, type_=JsonText()))
