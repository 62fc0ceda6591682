"""The tables of a database, which nobody has to create: they are there, and up to date, at its first use."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Dialect, Engine, exc, insert, inspect
from sqlalchemy.schema import CreateIndex, CreateTable

from .dialects import flavour_of
from .migrations import alone, upgrade_inside
from .recipe import begin_immediate
from .revision import CURRENT, HEAD, version_table
from .tables import metadata

_STATEMENTS: dict[tuple[str, str], Sequence[str]] = {}


def ensure_schema(engine: Engine) -> None:
    """Create the billing tables, or bring them up to date, unless they are. Any number of processes may do so at once.

    Raises:
        ConfigError: the tables were made by a newer version of the library.
        Unavailable: another process is creating them, and does not come to an end.
    """
    with engine.connect() as connection:
        is_current = _is_head(connection)
    if not is_current:
        with alone(engine) as connection:
            _bring_up_to_date(connection)


def ensure_schema_inside(connection: Connection) -> None:
    """The same inside of the host's transaction on SQLite: the tables are there if and only if the host commits.

    A transaction of our own could wait for the host's for ever, because SQLite has one writer.
    """
    begin_immediate(connection)
    if not _is_head(connection):
        _bring_up_to_date(connection)


def create(connection: Connection) -> None:
    """Create the billing tables as they are today in a database that has none, without walking through their history.

    On MySQL every statement is a commit: one that is killed halfway leaves what only the migrations can heal.
    """
    dialect = connection.dialect
    known = _STATEMENTS.get((dialect.name, dialect.driver))
    if known is None:
        known = _STATEMENTS[dialect.name, dialect.driver] = _statements(dialect)
    for statement in known:
        connection.exec_driver_sql(statement)
    connection.execute(insert(version_table).values(version_num=HEAD))


def _bring_up_to_date(connection: Connection) -> None:
    if flavour_of(connection.dialect.name) == "mysql" or _has_tables(connection):
        upgrade_inside(connection)
    else:
        create(connection)


def _has_tables(connection: Connection) -> bool:
    ours = {version_table.name, *metadata.tables}
    return not ours.isdisjoint(inspect(connection).get_table_names())


def _statements(dialect: Dialect) -> Sequence[str]:
    """What creates the tables and their indexes.

    It is text, because compiling it takes five times as long as running it, and a run of tests makes many databases.
    """
    elements: list[CreateTable | CreateIndex] = []
    for table in (*metadata.sorted_tables, version_table):
        elements.append(CreateTable(table))
        elements.extend(CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name)))
    return [str(element.compile(dialect=dialect)) for element in elements]


def _is_head(connection: Connection) -> bool:
    try:
        return connection.execute(CURRENT).scalar() == HEAD
    except exc.DBAPIError:
        return False
