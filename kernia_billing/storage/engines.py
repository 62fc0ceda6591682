"""From a database URL to an engine of our own, with the driver and the settings that the stores rely on."""

from __future__ import annotations

import time
from collections.abc import Callable
from sqlite3 import OperationalError as SqliteError
from sqlite3 import sqlite_version_info
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import StaticPool

from ..errors import ConfigError
from .dialects import Flavour, flavour_of
from .prepared import PreparedStatements

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

E = TypeVar("E")
Use = Literal["write", "read"]

PLACES = 10
"""How many connections of each kind a process has at the most, where a server is at the other end."""
_BUSY_SECONDS = 10.0
_WAL_SECONDS = 10.0
_MAPPED = 2**31 - 2**16
"""So many bytes of the file are read where they lie in memory: all that SQLite allows by default.

Source: SQLite, "Memory-Mapped I/O". Page by page a large file costs a call to the system and a copy for each level of
each index.
"""
_BLOCKING = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_ASYNC = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "aiomysql", "mariadb": "aiomysql"}
_EXTRAS = {"sqlite": "async", "postgresql": "postgresql", "mysql": "mysql"}
_OLDEST_SQLITE = (3, 37, 0)


class _Compiled(dict[tuple[Any, ...], Any]):
    """Statements as SQLAlchemy compiled them, for all engines of a process on one server, or on SQLite.

    A process with many short-lived engines, like a run of tests, would spend half of its time on compiling. There are
    as many as this library has statements, so that none has to be forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.prepared = PreparedStatements()

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        """What was compiled; the first part of a key is the dialect, which is another object for every engine."""
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Any, ...], value: Any) -> None:
        super().__setitem__(key[1:], value)


_COMPILED: dict[URL | str, _Compiled] = {}


def parse(database: str | URL) -> URL:
    """The URL of a text.

    Raises:
        ConfigError: it is none. The message does not repeat it: it may hold a password.
    """
    try:
        url = make_url(database)
    except exc.ArgumentError:
        raise ConfigError(["database: not a SQLAlchemy URL"]) from None
    return url.set(drivername="postgresql") if url.drivername == "postgres" else url


def is_memory(url: URL) -> bool:
    """Whether the URL means an SQLite database in memory."""
    name = url.database
    return name in (None, "", ":memory:", "file::memory:") or url.query.get("mode") == "memory"


def blocking_engine(database: str | URL, use: Use = "write") -> Engine:
    """An engine for `Billing`. With `use="read"` nothing begins a transaction on it.

    Raises:
        ConfigError: not a URL, an asynchronous driver, or a driver that is not installed.
    """
    url = _with_driver(parse(database), _BLOCKING)
    flavour = _flavour(url)
    if url.get_dialect().is_async:
        better = f"{url.get_backend_name()}+{_BLOCKING[url.get_backend_name()]}"
        raise ConfigError([f"database: {url.drivername} is asynchronous; Billing takes {better}, or use AsyncBilling"])
    engine = _made(lambda: create_engine(url, **_options(url, flavour, use)), url, flavour)
    if flavour == "sqlite":
        event.listen(engine, "connect", _memory_settings if is_memory(url) else _file_settings)
    return engine


def async_engine(database: str | URL, use: Use = "write") -> AsyncEngine:
    """An engine for `AsyncBilling` on PostgreSQL or MySQL; SQLite has a blocking one there too, in a thread.

    Raises:
        ConfigError: not a URL, a blocking driver, or a driver that is not installed.
    """
    from sqlalchemy.ext.asyncio import create_async_engine

    url = _with_driver(parse(database), _ASYNC)
    flavour = _flavour(url)
    if not url.get_dialect().get_async_dialect_cls(url).is_async:
        better = f"{url.get_backend_name()}+{_ASYNC[url.get_backend_name()]}"
        raise ConfigError([f"database: {url.drivername} is blocking; AsyncBilling takes {better}, or use Billing"])
    return _made(lambda: create_async_engine(url, **_options(url, flavour, use)), url, flavour)


def _with_driver(url: URL, drivers: dict[str, str]) -> URL:
    driver = drivers.get(url.drivername)
    return url.set(drivername=f"{url.drivername}+{driver}") if driver else url


def _flavour(url: URL) -> Flavour:
    try:
        url.get_dialect()
    except exc.NoSuchModuleError:
        raise ConfigError([f"database: there is no driver {url.drivername}"]) from None
    flavour = flavour_of(url.get_backend_name())
    if flavour == "sqlite" and sqlite_version_info < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        raise ConfigError([f"database: Python's SQLite is older than {oldest}, which knows STRICT tables"])
    return flavour


def _made(make: Callable[[], E], url: URL, flavour: Flavour) -> E:
    try:
        return make()
    except ImportError as missing:
        package = missing.name or "greenlet"
        extra = "async" if package == "greenlet" else _EXTRAS[flavour]
        raise ConfigError(
            [f'database: {url.drivername} needs {package}: pip install "kernia-billing[{extra}]"']
        ) from missing
    except (exc.ArgumentError, TypeError):
        raise ConfigError(["database: the URL has an option that the driver does not know"]) from None


def _options(url: URL, flavour: Flavour, use: Use) -> dict[str, Any]:
    # Every transaction is committed or rolled back before its connection goes back: a reset would be a wasted journey.
    options: dict[str, Any] = {"hide_parameters": True, "pool_reset_on_return": None}
    options["execution_options"] = {"compiled_cache": _compiled_for(url, flavour)}
    if flavour == "sqlite":
        options["connect_args"] = {"isolation_level": None, "timeout": _BUSY_SECONDS}
        if is_memory(url):
            options["poolclass"] = StaticPool
            options["connect_args"]["check_same_thread"] = False
        return options
    options["pool_size"], options["max_overflow"] = PLACES, 0
    options["isolation_level"] = "AUTOCOMMIT" if use == "read" else "READ COMMITTED"
    options["skip_autocommit_rollback"] = True
    if flavour == "mysql" and "charset" not in url.query:
        options["connect_args"] = {"charset": "utf8mb4"}
    return options


def statements_of(engine: Engine) -> PreparedStatements:
    """The statements of the engine's server; of an engine that is not ours new ones, which the caller keeps."""
    compiled = engine.get_execution_options().get("compiled_cache")
    return compiled.prepared if isinstance(compiled, _Compiled) else PreparedStatements()


def _compiled_for(url: URL, flavour: Flavour) -> _Compiled:
    # What a dialect learns of a server at the first connection decides how it writes statements.
    return _COMPILED.setdefault(url.drivername if flavour == "sqlite" else url.set(database=None), _Compiled())


def _memory_settings(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _file_settings(connection: Any, record: object) -> None:
    _memory_settings(connection, record)
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA mmap_size = {_MAPPED}")


def _write_ahead(connection: Any) -> None:
    """Readers must not wait for writers, which is what WAL is for; network file systems do not grant it."""
    deadline = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except SqliteError:
            # Another process is changing it right now, and SQLite does not wait for that.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise ConfigError([f"database: SQLite did not grant write-ahead logging (journal_mode is {mode!r})"])
        return
