"""The tables of an embedded database, which nobody has to create."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, exc

from .migrations import upgrade, upgrade_inside
from .recipe import begin_immediate
from .revision import CURRENT, HEAD


def ensure_schema(engine: Engine) -> None:
    """Create the billing tables, or bring them up to date, unless they are. Any number of processes may do so at once.

    Raises:
        ConfigError: the tables were made by a newer version of the library.
    """
    if not _is_current(engine):
        upgrade(engine)


def ensure_schema_inside(connection: Connection) -> None:
    """The same inside of the host's transaction on SQLite: the tables are there if and only if the host commits.

    A transaction of our own could wait for the host's for ever, because SQLite has one writer.
    """
    begin_immediate(connection)
    if not _is_head(connection):
        upgrade_inside(connection)


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return _is_head(connection)


def _is_head(connection: Connection) -> bool:
    try:
        return connection.execute(CURRENT).scalar() == HEAD
    except exc.DBAPIError:
        return False
