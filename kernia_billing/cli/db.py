"""`kernia-billing db`: the billing tables."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..config import BillingConfig
from .application import APP, ASYNC_DRIVERS, load
from .command import failures

if TYPE_CHECKING:
    from sqlalchemy import Engine

_DATABASE = click.option(
    "--database",
    envvar="KERNIA_BILLING_DATABASE",
    help="SQLAlchemy URL. Without it, the database of --app.",
)


@click.group()
def db() -> None:
    """Create, upgrade and check the billing tables."""


@db.command()
@_DATABASE
@APP
def upgrade(database: str | None, app: str | None) -> None:
    """Bring the billing tables up to date. Safe to repeat, and to run on several machines at once."""
    from ..storage.migrations import current
    from ..storage.migrations import upgrade as run

    with _engine(database, app) as engine:
        before = current(engine)
        run(engine)
        after = current(engine)
    click.echo(f"at {after} already" if before == after else f"{before or 'nothing'} → {after}")


@db.command()
@_DATABASE
@APP
def current(database: str | None, app: str | None) -> None:
    """Say which revision the billing tables are at."""
    from ..storage.migrations import current as read

    with _engine(database, app) as engine:
        click.echo(read(engine) or "no billing tables")


@db.command()
@_DATABASE
@APP
def check(database: str | None, app: str | None) -> None:
    """Compare the billing tables with what this version expects; exit code 1 where they differ."""
    from ..storage.migrations import check as compare

    with _engine(database, app) as engine:
        problems = compare(engine)
    for each in problems:
        click.echo(each)
    if problems:
        raise SystemExit(1)
    click.echo("the billing tables are as they should be")


@db.command()
@click.argument("dialect", type=click.Choice(["sqlite", "postgresql", "mysql", "mariadb"]))
@click.option("--since", metavar="REVISION", help="The revision that the database is at: see `db current`.")
def sql(dialect: str, since: str | None) -> None:
    """Print the statements that create the billing tables, for those who run migrations by hand."""
    from ..storage.migrations import sql as statements

    click.echo(statements(dialect, since=since))


@contextmanager
def _engine(database: str | None, app: str | None) -> Generator[Engine]:
    """A blocking engine on the named database; errors of ours become messages of the command."""
    from ..storage.engines import blocking_engine

    with failures():
        engine = blocking_engine(_blocking(database or _database_of(app)))
        try:
            yield engine
        finally:
            engine.dispose()


def _database_of(app: str | None) -> Any:
    found = load(app, "give --database, or --app (or set KERNIA_BILLING_DATABASE or KERNIA_BILLING_APP)")
    config: BillingConfig = found if isinstance(found, BillingConfig) else found.config
    return config.database


def _blocking(database: Any) -> Any:
    """The URL of a database, without the driver where that is an asynchronous one."""
    from sqlalchemy import make_url

    url = make_url(getattr(database, "url", database))
    return url.set(drivername=url.get_backend_name()) if url.get_driver_name() in ASYNC_DRIVERS else url
