"""What migrations are written with. Every step looks first, so that a migration killed half-way is healed by a rerun.

Migrations that were released call these: what they do must never change.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import CheckConstraint, Column, inspect
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


def text(name: str, length: int | None = 255, *, null: bool = False) -> Column[str]:
    """A column of texts; `length` None stands for a long one."""
    return Column(name, Id(length), nullable=null)


def number(name: str, *, null: bool = False, counted: bool = False) -> Column[int]:
    """A column of whole numbers; the database counts it up where it is `counted`."""
    return Column(name, Amount, nullable=null, autoincrement=counted, primary_key=counted)


def instant(name: str, *, null: bool = False) -> Column[int]:
    """A column of instants."""
    return Column(name, Instant, nullable=null)


def json(name: str) -> Column[Any]:
    """A column of JSON objects."""
    return Column(name, JsonText, nullable=False)


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
