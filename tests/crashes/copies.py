"""The rows of a database, to be put back as often as they are needed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, delete, insert, select

from kernia_billing.storage.tables import metadata

_TABLES = metadata.sorted_tables


class Copy:
    """Every billing row, as it was at one moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.connect() as connection:
            self.rows: dict[str, list[dict[str, Any]]] = {
                table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in _TABLES
            }
            connection.rollback()

    def put_back(self) -> None:
        """Make the database equal to the copy."""
        with self._engine.begin() as connection:
            for table in reversed(_TABLES):
                connection.execute(delete(table))
            for table in _TABLES:
                if rows := self.rows[table.name]:
                    connection.execute(insert(table), rows)
