"""The history of the billing tables, and how a database is brought up to date.

Alembic does the work, with a version table of its own, so that the host's migrations and ours never meet. Two processes
may call `upgrade` at once: one waits for the other. A run that was killed is healed by the next one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text

from ...errors import ConfigError, Unavailable
from ..dialects import Flavour, flavour_of
from ..recipe import begin_immediate
from ..revision import CURRENT, HEAD, VERSION_TABLE
from ..tables import metadata

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_LOCK = 0x6B65726E6961
_LOCK_SECONDS = 120
_ONE_AT_A_TIME = Lock()
"""Alembic keeps what it is at in its own module: two threads of a process would take each other's."""


def include_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    """For `context.configure(include_name=…)` in the host's Alembic: keeps its autogenerate off the billing tables.

    Without it Alembic would see tables that the host's metadata does not have, and write their removal.
    """
    return not (type_ == "table" and name is not None and (name in metadata.tables or name == VERSION_TABLE))


def current(engine: Engine) -> str | None:
    """The revision that the database is at; None where there are no billing tables yet."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        version: str | None = connection.execute(CURRENT).scalar()
        return version


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Create or change the billing tables up to a revision. Nothing happens where the database is there already.

    Raises:
        ConfigError: the database is at a revision that this version of the library does not know, or there is no such.
        Unavailable: another process is upgrading, and does not come to an end.
    """
    with alone(engine) as connection:
        upgrade_inside(connection, revision)


def upgrade_inside(connection: Connection, revision: str = "head") -> None:
    """`upgrade` in a transaction that is open on a connection, and stays open."""
    _run(revision, connection=connection, transactional_ddl=True)


def sql(dialect: str, revision: str = "head", *, since: str | None = None) -> str:
    """The statements that create the billing tables on "sqlite", "postgresql", "mysql" or "mariadb".

    With `since` those that bring a database from that revision to this one.

    Raises:
        ConfigError: there is no such revision.
    """
    # MySQL commits with every statement that changes a table; on the others the script is one transaction.
    whole = flavour_of(dialect) != "mysql"
    output = StringIO()
    _run(revision, as_sql=True, since=since, dialect_name=dialect, output_buffer=output, transactional_ddl=whole)
    return output.getvalue()


def check(engine: Engine) -> Sequence[str]:
    """What is wrong with the billing tables of a database, in words; nothing where they are as they should be."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    version = current(engine)
    if version is None:
        return ["the billing tables are missing: run `kernia-billing db upgrade`"]
    if version != HEAD:
        return [f"the billing tables are at {version} instead of {HEAD}: run `kernia-billing db upgrade`"]
    options = {"include_name": _is_ours, "version_table": VERSION_TABLE}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return [f"differs from what it should be: {difference}" for difference in compare_metadata(context, metadata)]


def _is_ours(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    return type_ != "table" or not include_name(name, type_, parent_names)


def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    here = Path(__file__).parent
    return ScriptDirectory(str(here), version_locations=[str(here / "versions")])


def _run(revision: str, *, as_sql: bool = False, since: str | None = None, **options: Any) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.util import CommandError

    script: Any = _script()

    def steps(now_at: Any, _context: Any) -> Any:
        # What alembic.command.upgrade calls, which would need a file beside ours to be run.
        return script._upgrade_revs(revision, now_at)  # noqa: SLF001 - Alembic's own commands do so

    with (
        _ONE_AT_A_TIME,
        EnvironmentContext(Config(), script, fn=steps, as_sql=as_sql, starting_rev=since) as environment,
    ):
        environment.configure(target_metadata=metadata, version_table=VERSION_TABLE, **options)
        try:
            with environment.begin_transaction():
                environment.run_migrations()
        except CommandError as unknown:
            raise ConfigError([f"database: cannot be upgraded to {revision}: {unknown}"]) from unknown


@contextmanager
def alone(engine: Engine) -> Generator[Connection]:
    """A connection in a transaction, while no other process creates or changes the billing tables.

    Raises:
        Unavailable: another process does, and does not come to an end.
    """
    flavour = flavour_of(engine.dialect.name)
    with engine.connect() as connection:
        try:
            with connection.begin():
                _take_turn(connection, flavour)
                yield connection
        finally:
            if flavour == "mysql":
                # That lock belongs to the session, not to the transaction: it must not go back to a pool.
                connection.invalidate()


def _take_turn(connection: Connection, flavour: Flavour) -> None:
    if flavour == "sqlite":
        begin_immediate(connection)
    elif flavour == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    else:
        wait = text("SELECT GET_LOCK(CONCAT('billing.', MD5(DATABASE())), :seconds)")
        if connection.execute(wait, {"seconds": _LOCK_SECONDS}).scalar() != 1:
            raise Unavailable("Another process is upgrading the billing tables")
