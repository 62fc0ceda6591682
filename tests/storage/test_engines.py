"""From a URL to an engine, and the SQLite settings that promises rest on."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, bindparam, create_engine, literal, select, text
from sqlalchemy.engine.interfaces import CacheStats

from kernia_billing._drive import run_blocking
from kernia_billing.errors import ConfigError
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.storage.engines import async_engine, blocking_engine
from tests.storage.conftest import AsyncPace, BlockingPace


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite://", "pysqlite"),
        ("postgresql://h/d", "psycopg"),
        ("postgres://h/d", "psycopg"),
        ("mysql://h/d", "pymysql"),
        ("mariadb://h/d", "pymysql"),
        ("mysql+pymysql://h/d", "pymysql"),
    ],
)
def test_blocking_driver(url: str, driver: str) -> None:
    """A bare URL gets the driver that the extra installs."""
    assert driver == blocking_engine(url).dialect.driver


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://h/d", "psycopg"),
        ("postgresql+asyncpg://h/d", "asyncpg"),
        ("mysql://h/d", "aiomysql"),
        ("mariadb://h/d", "aiomysql"),
        ("mysql+asyncmy://h/d", "asyncmy"),
    ],
)
def test_async_driver(url: str, driver: str) -> None:
    """The same for AsyncBilling."""
    engine = async_engine(url)
    assert (driver, True) == (engine.dialect.driver, engine.dialect.is_async)


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("postgresql+asyncpg://h/d", ["asyncpg is asynchronous", "postgresql+psycopg", "AsyncBilling"]),
        ("sqlite+aiosqlite://", ["asynchronous", "sqlite+pysqlite"]),
        ("oracle://h/d", ["oracle", "SQLite, PostgreSQL"]),
        ("nonsense://h/d", ["no driver nonsense"]),
        ("not a url with s3cret", ["not a SQLAlchemy URL"]),
        (7, ["URL or Engine"]),
    ],
)
def test_blocking_refusals(database: Any, words: Sequence[str]) -> None:
    """What Billing cannot use is refused when it is made, with the fix and no secret."""
    with pytest.raises(ConfigError) as raised:
        BlockingStore.open(database, pace=BlockingPace())
    assert all(word in str(raised.value) for word in words)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("postgresql+psycopg2://h/d", ["blocking", "postgresql+psycopg"]),
        ("mysql+pymysql://h/d", ["blocking", "mysql+aiomysql"]),
        ("oracle://h/d", ["oracle"]),
        (7, ["URL or AsyncEngine"]),
    ],
)
def test_async_refusals(database: Any, words: Sequence[str]) -> None:
    """The same for AsyncBilling."""
    with pytest.raises(ConfigError) as raised:
        AsyncStore.open(database, pace=AsyncPace())
    assert all(word in str(raised.value) for word in words)


def test_engines_of_the_wrong_kind() -> None:
    """A blocking engine is for Billing, an asynchronous one for AsyncBilling."""
    engine, asynchronous = create_engine("sqlite://"), async_engine("postgresql://h/d")
    with pytest.raises(ConfigError):
        AsyncStore.open(engine, pace=AsyncPace())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose
    with pytest.raises(ConfigError):
        BlockingStore.open(asynchronous, pace=BlockingPace())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose
    with pytest.raises(ConfigError):
        BlockingStore.open(asynchronous.sync_engine, pace=BlockingPace())


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("postgresql://h/d", "psycopg", "postgresql"), ("mysql://h/d", "pymysql", "mysql")],
)
def test_missing_driver(monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str) -> None:
    """A driver that is not installed is named, with the extra that brings it."""
    real = builtins.__import__

    def without(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=package)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=rf"kernia-billing\[{extra}\]"):
        blocking_engine(url)


def test_sqlite_settings(sqlite_url: str) -> None:
    """Every connection of ours waits for writers, keeps what it acknowledged, and has write-ahead logging."""
    for engine in (blocking_engine(sqlite_url), blocking_engine(sqlite_url, "read")):
        with engine.connect() as one, engine.connect() as two:
            for connection in (one, two):
                pragmas = [
                    connection.execute(text(f"PRAGMA {name}")).scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
                ]
                assert ["wal", 2, 1] == pragmas[:3]
                assert pragmas[3] >= 5000
        engine.dispose()


def test_write_ahead_refused(sqlite_url: str) -> None:
    """A file system that does not grant write-ahead logging is refused, not used without."""
    path = sqlite_url.removeprefix("sqlite:///")
    url = URL.create("sqlite", database=f"file:{path}", query={"vfs": "unix-none", "uri": "true"})
    store = BlockingStore.open(url, pace=BlockingPace())
    with pytest.raises(ConfigError, match="write-ahead logging"):
        run_blocking(store.read(lambda tx: tx.settings.get("fact")))
    run_blocking(store.close())


def test_memory_is_one_database() -> None:
    """In memory, what one thread of an asynchronous store writes another one reads."""

    async def work() -> str | None:
        store = AsyncStore.open("sqlite://", pace=AsyncPace())
        await store.transaction(lambda tx: tx.settings.add("fact", "1"))
        answers = await asyncio.gather(*(store.read(lambda tx: tx.settings.get("fact")) for _ in range(20)))
        await store.close()
        return answers[0] if len(set(answers)) == 1 else None

    assert "1" == asyncio.run(work())


def test_an_interrupted_read_gives_no_connection_back(tmp_path: Path) -> None:
    """The rest of an answer may still be on it: the host's pool gets it back closed, and makes another one."""
    engine = create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    store = BlockingStore.open(engine, pace=BlockingPace())

    def interrupted(_tx: object) -> None:
        raise KeyboardInterrupt

    run_blocking(store.read(lambda tx: tx.settings.get("nothing")))
    with engine.connect() as connection:
        was = connection.connection.dbapi_connection
    with pytest.raises(KeyboardInterrupt):
        run_blocking(store.read(interrupted))

    with engine.connect() as connection:
        assert connection.connection.dbapi_connection is not was
    engine.dispose()


def test_engines_share_what_was_compiled(tmp_path: Path) -> None:
    """A statement is compiled once for all SQLite databases of a process, whatever it is given."""
    statement = select(literal(1) == bindparam("number"))
    found: list[tuple[object, CacheStats]] = []
    for number in (1, 2):
        engine = blocking_engine(f"sqlite:///{tmp_path / str(number)}.sqlite")
        with engine.connect() as connection:
            result = connection.execute(statement, {"number": number})
            found.append((result.scalar(), result.context.cache_hit))
        engine.dispose()

    assert [(1, CacheStats.CACHE_MISS), (0, CacheStats.CACHE_HIT)] == found
