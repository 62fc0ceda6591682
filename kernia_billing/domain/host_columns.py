"""Columns of the host's own tables that are kept in step with what is known of Stripe."""

from __future__ import annotations

import re
from datetime import datetime

from attrs import frozen

from ..errors import InvalidInput

_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,62}"
_COLUMN = re.compile(rf"(?:({_NAME})\.)?({_NAME})\.({_NAME})(?::({_NAME}))?(?!\n)")
_TABLE = re.compile(rf"(?:({_NAME})\.)?({_NAME})(?::({_NAME}))?(?!\n)")


HostValue = str | bool | datetime | None
"""What is written into the host's columns."""


@frozen
class HostTable:
    """A table of the host's, and its column that holds the reference's id."""

    table: str
    key: str = "id"
    schema: str | None = None


@frozen
class HostColumn:
    """A column of the host's, and the one that holds the reference's id."""

    table: str
    column: str
    key: str = "id"
    schema: str | None = None


def host_column(text: str) -> HostColumn:
    """Read `table.column`, `table.column:key` or `schema.table.column:key`; the key is `id` unless it is named.

    Raises:
        InvalidInput: it is something else.
    """
    found = _COLUMN.fullmatch(text)
    if found is None:
        raise InvalidInput("must be 'table.column', 'table.column:key' or 'schema.table.column:key'", field="column")
    schema, table, column, key = found.groups()
    return HostColumn(table, column, key or "id", schema)


def host_table(text: str) -> HostTable:
    """Read `table`, `table:key` or `schema.table:key`; the key is `id` unless it is named.

    Raises:
        InvalidInput: it is something else.
    """
    found = _TABLE.fullmatch(text)
    if found is None:
        raise InvalidInput("must be 'table', 'table:key' or 'schema.table:key'", field="table")
    schema, table, key = found.groups()
    return HostTable(table, key or "id", schema)
