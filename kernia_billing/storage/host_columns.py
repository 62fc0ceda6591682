"""Columns of the host's own tables, in the same database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import Column, Engine, MetaData, Table, update
from sqlalchemy.exc import NoSuchTableError

from ..domain.host_columns import HostColumn, HostTable, HostValue
from ..errors import ConfigError
from .db import Noun

_KNOWN: WeakKeyDictionary[Engine, dict[HostTable, Table]] = WeakKeyDictionary()


class HostColumns(Noun):
    """The port of the same name."""

    __slots__ = ()

    def put(self, where: HostColumn, reference_id: str, stripe_customer_id: str | None) -> bool:
        """Write Stripe's id into the row of a reference; says whether there is one."""
        table = HostTable(where.table, where.key, where.schema)
        return self._write("mirror_columns", table, reference_id, {where.column: stripe_customer_id})

    def fill(self, where: HostTable, reference_id: str, values: Mapping[str, HostValue]) -> bool:
        """Write columns into the row of a reference; says whether there is one."""
        return self._write("kavach_columns", where, reference_id, values)

    def _write(self, option: str, where: HostTable, reference_id: str, values: Mapping[str, HostValue]) -> bool:
        table = self._table(option, where)
        for name in (*values, where.key):
            if name not in table.c:
                # It may be added while we run.
                del _KNOWN[self._db.connection.engine][where]
                raise ConfigError([f"{option}: the table {where.table} has no column {name}"])
        key = _key(table, where, reference_id)
        if key is None:
            return False
        held = {name: _held(table.c[name], value) for name, value in values.items()}
        return self._db.run_once(update(table).where(table.c[where.key] == key).values(held)) > 0

    def _table(self, option: str, where: HostTable) -> Table:
        """The host's table as it is: its types say how an id is compared, and a date is written."""
        known = _KNOWN.setdefault(self._db.connection.engine, {})
        if where not in known:
            try:
                known[where] = Table(where.table, MetaData(), schema=where.schema, autoload_with=self._db.connection)
            except NoSuchTableError as missing:
                raise ConfigError([f"{option}: there is no table {where.table}"]) from missing
        return known[where]


def _key(table: Table, where: HostTable, reference_id: str) -> object:
    """A reference's id as the host's column holds it; None where it cannot hold it."""
    kind = table.c[where.key].type.python_type
    try:
        return int(reference_id) if kind is int else UUID(reference_id) if kind is UUID else reference_id
    except ValueError:
        return None


def _held(column: Column[object], value: HostValue) -> object:
    """A value as the host's column takes it."""
    if isinstance(value, datetime):
        kind = column.type.python_type
        if kind is datetime:
            return value if getattr(column.type, "timezone", False) else value.replace(tzinfo=None)
        return int(value.timestamp()) if kind is int else value.isoformat()
    if isinstance(value, bool):
        return value if column.type.python_type is bool else int(value)
    return value
