"""The host's transaction: what may be joined, and what is refused before a statement is sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, exc

from ..errors import InvalidInput
from .dialects import flavour_of
from .engines import is_memory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_UNUSABLE = "must be a session that can be used: it is not bound, or has to be rolled back first"
_LOCAL = ("", "localhost", "127.0.0.1", "::1")
_PORTS = {"postgresql": "5432", "mysql": "3306"}


def blocking_connection(host: object) -> Connection:
    """The connection of a Connection, Session or scoped_session.

    Raises:
        InvalidInput: it is none of these, or cannot be used (field "transaction").
    """
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(host, (Session, scoped_session)):
        session: Any = host  # pyright: ignore[reportUnknownVariableType]  # a session of any kind
        try:
            connection: Connection = session.connection()
        except exc.InvalidRequestError:
            raise _refused(_UNUSABLE) from None
        return connection
    if isinstance(host, Connection):
        return host
    raise _refused("must be a SQLAlchemy Connection, Session or scoped_session")


async def async_connection(host: object) -> AsyncConnection:
    """The connection of an AsyncConnection, AsyncSession or async_scoped_session.

    Raises:
        InvalidInput: it is none of these, or cannot be used (field "transaction").
    """
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    if isinstance(host, (AsyncSession, async_scoped_session)):
        session: Any = host  # pyright: ignore[reportUnknownVariableType]  # a session of any kind
        try:
            connection: AsyncConnection = await session.connection()
        except exc.InvalidRequestError:
            raise _refused(_UNUSABLE) from None
        return connection
    if isinstance(host, AsyncConnection):
        if host.sync_connection is None:
            raise _refused("must be a connection that is open")
        return host
    raise _refused("must be a SQLAlchemy AsyncConnection, AsyncSession or async_scoped_session")


def _refused(why: str) -> InvalidInput:
    return InvalidInput(why, field="transaction")


def usable(connection: Connection, engine: Engine) -> Connection:
    """The connection, in a transaction on the database of `engine` that can be joined. No statement is sent.

    Raises:
        InvalidInput: it is closed, on another database, or in AUTOCOMMIT (field "transaction").
    """
    # One that was lost and then rolled back connects anew by itself.
    if connection.closed or (connection.invalidated and connection.in_transaction()):
        raise _refused("must be a connection that is open")
    if not _same_database(connection.engine, engine):
        raise _refused("must be on the database that holds the billing tables")
    if not str(getattr(connection.connection.driver_connection, "charset", "utf8")).startswith("utf8"):
        raise _refused("must be on a connection in utf8mb4: ids would be stored as other bytes")
    begun = None if connection.in_transaction() else connection.begin()
    if _is_autocommit(connection):
        if begun is not None:
            begun.rollback()
        raise _refused("must not be in AUTOCOMMIT: what is counted would stay when your work does not")
    return connection


def _is_autocommit(connection: Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        # Without a level the driver begins nothing by itself; a host may begin in an event of its own, as recommended.
        begins_nothing = driver.isolation_level is None or getattr(driver, "autocommit", None) is True
        return begins_nothing and not driver.in_transaction
    dbapi: Any = connection.connection.dbapi_connection
    return connection.dialect.detect_autocommit_setting(dbapi)


def _same_database(theirs: Engine, ours: Engine) -> bool:
    if theirs.pool is ours.pool:
        return True
    flavour = flavour_of(ours.dialect.name)
    if theirs.dialect.name != ours.dialect.name and flavour_of(theirs.dialect.name) != flavour:
        return False
    if flavour == "sqlite":
        return not is_memory(theirs.url) and not is_memory(ours.url) and _file(theirs.url) == _file(ours.url)
    return _same_server(theirs.url, ours.url, _PORTS[flavour])


def _file(url: URL) -> str:
    name = (url.database or "").removeprefix("file:").partition("?")[0]
    return os.path.realpath(name)


def _same_server(theirs: URL, ours: URL, port: str) -> bool:
    if not ours.database or theirs.database != ours.database:
        return False
    hosts = _host(theirs), _host(ours)
    sockets = [host.startswith("/") for host in hosts]
    if all(sockets) or not any(sockets):
        local = all(host in _LOCAL for host in hosts)
        return (hosts[0] == hosts[1] or local) and _port(theirs, port) == _port(ours, port)
    # A socket and an address: the same server if the address is this machine's.
    return any(host in _LOCAL for host in hosts)


def _host(url: URL) -> str:
    for name in ("unix_socket", "host"):
        value = url.query.get(name)
        if value:
            return value if isinstance(value, str) else ",".join(value)
    return (url.host or "").lower()


def _port(url: URL, default: str) -> str:
    return str(url.port or url.query.get("port") or default)
