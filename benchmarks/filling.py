"""A million rows like one, made where they are kept: to send them would take longer than what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Integer, Table, Text, cast, literal, select

Number = ColumnElement[int]
Column = Callable[[Number], ColumnElement[Any]]
"""What a column of a copy has, by the number of the copy."""


def numbered(text: str) -> Column:
    """The text with the number behind it."""
    return lambda number: literal(text, Text()).concat(cast(number, Text()))


def fill(
    connection: Connection, table: Table, row: Mapping[str, Any], copies: int, varying: Mapping[str, Column]
) -> None:
    """Insert so many copies of a row, numbered from 1, that differ in the columns that are `varying`."""
    numbers = select(literal(1, Integer()).label("number")).cte("numbers", recursive=True)
    counted = numbers.union_all(select(numbers.c.number + 1).where(numbers.c.number < copies))
    number: Number = counted.c.number
    values = [
        varying[name](number) if name in varying else literal(value, table.c[name].type) for name, value in row.items()
    ]
    connection.execute(table.insert().from_select(list(row), select(*values)))


def settle(engine: Engine) -> None:
    """Let the database know what it has, as it would after a while."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
