"""Tables in the databases of tests."""

from __future__ import annotations

from sqlalchemy import Engine, inspect

from kernia_billing.storage.migrations import alone
from kernia_billing.storage.revision import VERSION_TABLE
from kernia_billing.storage.schema import create, ensure_schema


def make_tables(engine: Engine) -> None:
    """What `ensure_schema` does, on MariaDB too without the detour through history, which has tests of its own."""
    if engine.dialect.name == "mysql" and not inspect(engine).has_table(VERSION_TABLE):
        with alone(engine) as connection:
            create(connection)
    ensure_schema(engine)
