"""Bare drivers: connections as durable as the library's, and the SELECT that the library sends them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Protocol, Self

import psycopg
from attrs import frozen
from sqlalchemy import Engine, create_engine

from kernia_billing import Billing

from .shop import FEATURE, PLANS, Shop


class Cursor(Protocol):
    """What the cursors of both drivers have in common."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement met."""
        ...

    def execute(self, statement: Any, values: Any = ..., /) -> Any:
        """Send a statement."""
        ...

    def fetchall(self) -> list[Any]:
        """Every row of its answer."""
        ...


@contextmanager
def sqlite_cursor(shop: Shop) -> Generator[Cursor]:
    """The one cursor of a connection that waits for the disk at every commit."""
    with closing(sqlite3.connect(str(shop.engine.url.database), isolation_level=None)) as connection:
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection.cursor()


@contextmanager
def postgresql_cursor(shop: Shop) -> Generator[psycopg.Cursor[Any]]:
    """The one cursor of a connection that prepares every statement at its first use."""
    url = shop.engine.url
    with psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True, prepare_threshold=0
    ) as connection:
        yield connection.cursor()


def cursor_of(shop: Shop) -> AbstractContextManager[Cursor]:
    """A kept cursor on the shop's database."""
    return sqlite_cursor(shop) if shop.flavour == "sqlite" else postgresql_cursor(shop)


@frozen
class Select:
    """The SELECT of a check, as the driver gets it, with the parameters for the first customer."""

    text: str
    values: Sequence[Any] | Mapping[str, Any]
    asked: str

    def of(self, reference: str) -> Any:
        """The parameters for another reference."""
        if isinstance(self.values, Mapping):
            return {name: reference if value == self.asked else value for name, value in self.values.items()}
        return tuple(reference if value == self.asked else value for value in self.values)


def select_of_check(shop: Shop) -> Select:
    """Listen at the driver while the library checks the first customer."""
    heard: list[tuple[str, Any]] = []
    engine = _listening(shop, heard)
    asked = shop.references[0]
    with Billing(database=engine, plans=PLANS) as billing:
        billing.check(asked, FEATURE)
    engine.dispose()
    ((text, values),) = [each for each in heard if "billing_bucket" in each[0]]
    return Select(text, values, asked)


def _listening(shop: Shop, heard: list[tuple[str, Any]]) -> Engine:
    """An engine on the shop's database whose cursors note what they are told."""

    class SqliteCursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Self:
            heard.append((sql, parameters))
            return super().execute(sql, parameters)

    class SqliteConnection(sqlite3.Connection):
        def cursor(self, factory: Any = None) -> Any:
            return super().cursor(factory or SqliteCursor)

    class PsycopgCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            heard.append((str(query), params))
            return super().execute(query, params, **options)

    arguments = {"factory": SqliteConnection} if shop.flavour == "sqlite" else {"cursor_factory": PsycopgCursor}
    return create_engine(shop.url, connect_args=arguments)
