"""PostgreSQL's LISTEN: a connection of its own, on which the server says that there is something new."""

from __future__ import annotations

import asyncio
import os
import threading
from importlib.util import find_spec
from typing import Any, Protocol

from attrs import define, field

_LISTEN = "LISTEN kernia_billing_bus"


class Ear(Protocol):
    """Waits for a notification."""

    async def listen(self, seconds: float) -> bool | None:
        """Wait at most so long; says whether something may have come, None at once where it cannot listen."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


def listener(database: object, *, asynchronous: bool) -> Ear | None:
    """What listens at a database, given as the option is; None where its driver is not psycopg's family of ours."""
    if find_spec("psycopg") is None:
        return None
    from sqlalchemy import make_url

    url = make_url(database) if isinstance(database, str) else getattr(database, "url", None)
    if url is None:
        return None
    bare = url.set(drivername="postgresql+psycopg")
    _, options = bare.get_dialect()().create_connect_args(bare)
    return AsyncEar(dict(options)) if asynchronous else BlockingEar(dict(options))


@define(eq=False)
class BlockingEar:
    """For `Billing`. One thread listens at a time; the others look now and then."""

    _options: dict[str, Any]
    _connection: Any = field(default=None, init=False)
    _pid: int = field(default=0, init=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False)

    async def listen(self, seconds: float) -> bool | None:
        """Wait on this thread."""
        import psycopg

        if not self._guard.acquire(blocking=False):
            return None
        try:
            if self._connection is None or self._pid != os.getpid():
                self._connection = psycopg.connect(**self._options, autocommit=True)
                self._connection.execute(_LISTEN)
                self._pid = os.getpid()
                return True  # What came before is not told.
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except psycopg.Error:
            self._connection = None
            return None
        finally:
            self._guard.release()

    async def close(self) -> None:
        """End the connection."""
        with self._guard:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None


@define(eq=False)
class AsyncEar:
    """For `AsyncBilling`, on one event loop at a time."""

    _options: dict[str, Any]
    _connection: Any = field(default=None, init=False)
    _loop: Any = field(default=None, init=False)
    _busy: bool = field(default=False, init=False)

    async def listen(self, seconds: float) -> bool | None:
        """Wait on the event loop."""
        import psycopg

        if self._busy:
            return None
        self._busy = True
        try:
            if self._connection is None or self._loop is not asyncio.get_running_loop():
                self._loop = asyncio.get_running_loop()
                self._connection = await psycopg.AsyncConnection.connect(**self._options, autocommit=True)
                await self._connection.execute(_LISTEN)
                return True
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                return True
        except psycopg.Error:
            self._connection = None
            return None
        finally:
            self._busy = False
        return False

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None and self._loop is asyncio.get_running_loop():
            await self._connection.close()
        self._connection = None
