"""What migrations are written with. Every step looks first, so that a migration killed half-way is healed by a rerun.

Migrations that were released call these: what they do must never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import CheckConstraint, Column, inspect
from sqlalchemy import text as literal
from sqlalchemy.schema import SchemaItem

from ..types import Amount, Id, Instant, JsonText

_BOUND = 2**53 - 1
_OPTIONS: dict[str, Any] = {
    "sqlite_strict": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def text(name: str, length: int | None = 255, *, null: bool = False, default: str | None = None) -> Column[str]:
    """A column of texts; `length` None stands for a long one. `default` is for code that does not know the column."""
    return Column(name, Id(length), nullable=null, server_default=default)


def number(name: str, *, null: bool = False, counted: bool = False, default: int | None = None) -> Column[int]:
    """A column of whole numbers; the database counts it up where it is `counted`.

    `default` is for code that does not know the column.
    """
    filled = None if default is None else literal(str(default))
    return Column(name, Amount, nullable=null, autoincrement=counted, primary_key=counted, server_default=filled)


def instant(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    """A column of instants. `default` is for code that does not know the column."""
    filled = None if default is None else literal(str(default))
    return Column(name, Instant, nullable=null, server_default=filled)


def json(name: str, *, null: bool = False) -> Column[Any]:
    """A column of JSON objects."""
    return Column(name, JsonText, nullable=null)


def check(name: str, condition: str) -> CheckConstraint:
    """A condition that every row meets."""
    return CheckConstraint(condition, name=f"ck_billing_{name}")


def flag(table: str, column: str) -> CheckConstraint:
    """The condition that a number is 0 or 1."""
    return check(f"{table}_{column}_flag", f"{column} IN (0, 1)")


def bounds(table: str, *columns: str) -> CheckConstraint:
    """The condition that numbers are within ±(2^53-1)."""
    return check(f"{table}_bounds", " AND ".join(f"{each} BETWEEN -{_BOUND} AND {_BOUND}" for each in columns))


def create_table(name: str, *items: SchemaItem) -> None:
    """Create a table where it is missing."""
    op.create_table(name, *items, if_not_exists=True, **_OPTIONS)


def create_index(name: str, table: str, *columns: str) -> None:
    """Create an index where it is missing."""
    if not op.get_context().as_sql:
        present = inspect(op.get_bind()).get_indexes(table)
        if any(index["name"] == name for index in present):
            return
    op.create_index(name, table, list(columns))


def add_column(table: str, column: Column[Any]) -> None:
    """Add a column where it is missing."""
    if not op.get_context().as_sql:
        present = inspect(op.get_bind()).get_columns(table)
        if any(each["name"] == column.name for each in present):
            return
    op.add_column(table, column)


def is_sqlite() -> bool:
    """Whether this is SQLite, which cannot change the conditions of a table: `rebuild_table` does."""
    return op.get_context().dialect.name == "sqlite"


def replace_check(constraint: CheckConstraint, table: str) -> None:
    """Put a condition in the place of the one that has its name. One statement: there is no state between."""
    name = str(constraint.name)
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK ({constraint.sqltext})")


def add_check(constraint: CheckConstraint, table: str) -> None:
    """Add a condition where it is missing. Not on SQLite: `rebuild_table`."""
    if not op.get_context().as_sql:
        present = inspect(op.get_bind()).get_check_constraints(table)
        if any(each["name"] == constraint.name for each in present):
            return
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint.name} CHECK ({constraint.sqltext})")


def rebuild_table(name: str, kept: Sequence[str], *items: SchemaItem) -> None:
    """Make a table anew from `items`, with its rows: the `kept` columns as they are, the others by their defaults.

    For SQLite, where that is how a table is altered (SQLite, "ALTER TABLE", 7) and where a killed migration leaves
    nothing, because it is one transaction. The indexes of the table have to be created again.
    """
    new, columns = f"{name}_new", ", ".join(kept)
    op.create_table(new, *items, **_OPTIONS)
    op.execute(f"INSERT INTO {new} ({columns}) SELECT {columns} FROM {name}")  # noqa: S608 - names of ours
    op.drop_table(name)
    op.rename_table(new, name)
