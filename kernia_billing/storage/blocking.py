"""The store of `Billing`: its coroutines never wait, so that they can be driven without an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine

from ..errors import ConfigError
from ..ports.pace import Pace
from .connections import of_engine, of_url
from .engines import parse
from .joining import blocking_connection, usable
from .lanes import ThreadLane
from .store import SqlStore

T = TypeVar("T")


class BlockingStore(SqlStore):
    """Runs units of work on the calling thread, or on that of another caller."""

    lane = ThreadLane

    @classmethod
    def open(cls, database: str | URL | Engine, *, pace: Pace) -> BlockingStore:
        """A store on a URL, or on the host's engine, which is used as it is and never disposed.

        Nothing connects before the first unit. On SQLite that one creates the tables where they are missing.

        Raises:
            ConfigError: not a URL or an Engine, an asynchronous driver, or a driver that is not installed.
        """
        if isinstance(database, Engine):
            if database.dialect.is_async:
                raise ConfigError(["database: the engine is asynchronous; give Billing a blocking Engine"])
            return cls(of_engine(database), pace=pace)
        if not isinstance(database, (str, URL)):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ConfigError(
                ["database: Billing takes a SQLAlchemy URL or Engine; an AsyncEngine is for AsyncBilling"]
            )
        return cls(of_url(parse(database)), pace=pace)

    async def _call(self, work: Callable[[], T], *, writes: bool) -> T:
        return work()

    async def _in_host(self, host: object, work: Callable[[Connection], T]) -> T:
        return work(usable(blocking_connection(host), self.engine))
