"""What every billing table is made of: its columns, its options, and the conditions that hold for its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Table, text
from sqlalchemy.schema import SchemaItem

from ...domain.ids import MAX_INTEGER
from ..types import Amount, Id, Instant, JsonText

metadata = MetaData()

KEY = 100
"""The length of the key of a plan or a feature."""
_OPTIONS: dict[str, Any] = {
    "sqlite_strict": True,
    **{
        f"{dialect}_{option}": value
        for dialect in ("mysql", "mariadb")
        for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
    },
}


def id_(
    name: str, length: int = 255, *, primary_key: bool = False, nullable: bool = False, default: str | None = None
) -> Column[str]:
    """A text of at most `length` bytes. The database fills in `default` for code that does not know the column."""
    return Column(name, Id(length), primary_key=primary_key, nullable=nullable, server_default=default)


def long(name: str, *, nullable: bool = True) -> Column[str]:
    """A long text."""
    return Column(name, Id(None), nullable=nullable)


def amount(name: str, *, nullable: bool = False, default: int | None = None) -> Column[int]:
    """A whole number. The database fills in `default` for code that does not know the column."""
    filled = None if default is None else text(str(default))
    return Column(name, Amount, nullable=nullable, server_default=filled)


def counted(name: str) -> Column[int]:
    """The number of a write of a customer, 0 where nobody noted it.

    Numbers that grow by one with every write need no condition, which SQLite cannot add to a table that has rows.
    """
    return Column(name, Amount, nullable=False, server_default=text("0"), info={"counted": True})


def instant(name: str, *, nullable: bool = False, default: int | None = None) -> Column[int]:
    """An instant. The database fills in `default` for code that does not know the column."""
    filled = None if default is None else text(str(default))
    return Column(name, Instant, nullable=nullable, server_default=filled)


def json(name: str, *, nullable: bool = False) -> Column[Any]:
    """A JSON object or list."""
    return Column(name, JsonText, nullable=nullable)


def index(name: str, *columns: str) -> Index:
    """An index."""
    return Index(name, *columns)


def one_of(column: str, *values: str, optional: bool = False) -> str:
    """The condition that a column has one of these values, or NULL where it is `optional`."""
    listed = f"{column} IN ({', '.join(repr(value) for value in values)})"
    return f"{column} IS NULL OR {listed}" if optional else listed


def table(name: str, *items: SchemaItem, flags: Sequence[str] = (), **checks: str) -> Table:
    """A table whose integers are bounded, whose `flags` are 0 or 1, and whose named `checks` hold."""
    columns: list[Column[Any]] = [item for item in items if isinstance(item, Column)]
    # The numbers that the database gives out are its own business, and MySQL refuses to check them.
    given_out = [each for each in columns if each.autoincrement is True or "counted" in each.info]
    numbers = [each.name for each in columns if isinstance(each.type, Amount) and each not in given_out]
    conditions = {f"{flag}_flag": f"{flag} IN (0, 1)" for flag in flags} | checks
    if bounded := [number for number in numbers if number not in flags]:
        conditions["bounds"] = " AND ".join(f"{each} BETWEEN -{MAX_INTEGER} AND {MAX_INTEGER}" for each in bounded)
    constraints = [CheckConstraint(condition, name=f"ck_{name}_{key}") for key, condition in conditions.items()]
    return Table(name, metadata, *items, *constraints, **_OPTIONS)
