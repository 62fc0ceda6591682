"""Where a blocking store takes its connections from, and what it does with them afterwards."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from time import monotonic
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, exc
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from .dialects import Flavour, flavour_of
from .engines import PLACES, blocking_engine, is_memory, statements_of
from .prepared import PreparedCursor, PreparedStatements
from .transaction import SqlTransaction

_WAIT = 30.0
_ORPHANS: list[object] = []
"""What a forked process inherited and must neither use nor close: the connections are its parent's."""


class Reader:
    """A connection to read by, and a cursor on it, until the end of a `with` block gives them back.

    `transaction` is what units see that read by it.
    """

    __slots__ = ("_give_back", "connection", "cursor", "transaction")

    def __init__(
        self,
        connection: Connection,
        flavour: Flavour,
        statements: PreparedStatements,
        give_back: Callable[[Reader, BaseException | None], None],
    ) -> None:
        self.connection = connection
        self.cursor = PreparedCursor(connection, statements)
        self.transaction = SqlTransaction(connection, flavour, self.cursor)
        self._give_back = give_back

    def __enter__(self) -> SqlTransaction:
        return self.transaction

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._give_back(self, error)

    def close(self, error: BaseException | None = None) -> None:
        """Close both; where a read was interrupted or cancelled, the rest of its answer goes with the connection."""
        if error is not None and not isinstance(error, Exception):
            self.connection.invalidate()
        if not self.connection.invalidated:
            self.cursor.close()
        self.connection.close()


class Connections(Protocol):
    """Connections of one database, for one unit at a time each."""

    @property
    def flavour(self) -> Flavour:
        """The kind of database."""
        ...

    @property
    def engine(self) -> Engine:
        """The engine that writes."""
        ...

    @property
    def direct(self) -> PreparedStatements | None:
        """The statements by which to write past SQLAlchemy's execution; None where somebody may hear its events."""
        ...

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A connection that is in no transaction."""
        ...

    def reading(self) -> Reader:
        """A connection that begins none, and a cursor on it."""
        ...

    def close(self) -> None:
        """Close what is ours."""
        ...


def of_url(url: URL) -> Connections:
    """The connections of a URL, by blocking engines of our own.

    Raises:
        ConfigError: there is no blocking driver for it.
    """
    if url.get_backend_name() == "sqlite" and is_memory(url):
        return Held(blocking_engine(url), owned=True)
    return Owned(blocking_engine(url), blocking_engine(url, "read"))


def of_engine(engine: Engine) -> Connections:
    """The connections of the host's engine, used as it is."""
    return Held(engine) if isinstance(engine.pool, (StaticPool, SingletonThreadPool)) else Borrowed(engine)


def _turn(flavour: Flavour) -> AbstractContextManager[object]:
    """SQLite has one writer: threads that queue here are not starved by its lock, which is polled for."""
    return threading.Lock() if flavour == "sqlite" else nullcontext()


class Owned:
    """Engines of our own: one for units, and one whose connections never begin a transaction.

    The latter's are kept at hand between reads, which would otherwise spend more time in the pool than in the database.
    There are `PLACES` of them, and callers wait for a place here: one that waited in the pool would not hear of those
    that are kept. Who finds a free place takes no lock, which would cost as much as SQLite needs for the row.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self.engine = writer
        self.direct: PreparedStatements | None = statements_of(writer)
        self.flavour: Flavour = flavour_of(writer.dialect.name)
        self._reader = reader
        self._statements = statements_of(reader)
        self._turn = _turn(self.flavour)
        self._empty_places()
        self._process = os.getpid()

    def _empty_places(self) -> None:
        """Places without a connection; those with one are to the right of them."""
        self._places: deque[Reader | None] = deque([None] * PLACES)
        self._freed = threading.Condition()
        self._waiting = 0

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A connection that is in no transaction."""
        self._notice_fork()
        with self._turn, self.engine.connect() as connection:
            yield connection

    def reading(self) -> Reader:
        """A connection that begins none, and a cursor on it."""
        self._notice_fork()
        try:
            reader = self._places.pop()
        except IndexError:
            reader = self._wait()
        return reader or self._another()

    def _wait(self) -> Reader | None:
        until = monotonic() + _WAIT
        with self._freed:
            # Whoever frees a place after we looked for one in vain sees that we wait.
            self._waiting += 1
            try:
                while True:
                    with suppress(IndexError):
                        return self._places.pop()
                    if not self._freed.wait(until - monotonic()):
                        raise exc.TimeoutError
            finally:
                self._waiting -= 1

    def _another(self) -> Reader:
        try:
            return Reader(self._reader.connect(), self.flavour, self._statements, self._take_back)
        except BaseException:
            self._free(None)
            raise

    def _take_back(self, reader: Reader, error: BaseException | None) -> None:
        if error is None and not reader.connection.invalidated:
            self._free(reader)
            return
        kept: Reader | None = None
        try:
            kept = self._judged(reader, error)
        finally:
            self._free(kept)

    def _judged(self, reader: Reader, error: BaseException | None) -> Reader | None:
        """The reader after an error, None where it is lost."""
        if error is not None and not isinstance(error, Exception):
            # Interrupted or cancelled in the middle of an answer.
            reader.connection.invalidate()
        if not reader.connection.invalidated:
            return reader
        # A connection that was lost is seldom lost alone.
        self._drop()
        reader.close()
        return None

    def _free(self, reader: Reader | None) -> None:
        if reader is None:
            self._places.appendleft(None)
        else:
            self._places.append(reader)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def _drop(self) -> None:
        for _ in range(PLACES):
            with suppress(IndexError):
                reader = self._places.pop()
                try:
                    if reader is not None:
                        reader.close()
                finally:
                    self._free(None)

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            _ORPHANS.extend((*self._places, self.engine.pool, self._reader.pool))
            self._empty_places()
            self._turn = _turn(self.flavour)
            self.engine.dispose(close=False)
            self._reader.dispose(close=False)
            self._process = os.getpid()

    def close(self) -> None:
        """Close every connection."""
        self._notice_fork()
        self._drop()
        self.engine.dispose()
        self._reader.dispose()


class Borrowed:
    """The host's engine: its pool, its events, and our isolation level on the connections that we take."""

    direct: PreparedStatements | None = None

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._statements = statements_of(engine)
        self.flavour: Flavour = flavour_of(engine.dialect.name)
        self._writer = self._reader = engine
        if self.flavour != "sqlite":
            self._writer = engine.execution_options(isolation_level="READ COMMITTED")
            self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A connection that is in no transaction."""
        with self._writer.connect() as connection:
            yield connection

    def reading(self) -> Reader:
        """A connection that begins none, and a cursor on it."""
        return Reader(self._reader.connect(), self.flavour, self._statements, Reader.close)

    def close(self) -> None:
        """Nothing: the engine is the host's."""


class Held:
    """The one connection of an SQLite database in memory, taken once and given back last.

    Giving it back would roll back what the host has open on it. A pool that has one connection per thread is a
    database per thread.
    """

    def __init__(self, engine: Engine, *, owned: bool = False) -> None:
        self.engine = engine
        self.flavour: Flavour = flavour_of(engine.dialect.name)
        self._owned = owned
        self._statements = statements_of(engine)
        self.direct = self._statements if owned else None
        self._per_thread = isinstance(engine.pool, SingletonThreadPool)
        self._lock = threading.RLock()
        self._held: dict[int, Connection] = {}

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """The connection, while nobody else of ours has it."""
        with self._lock:
            yield self._connection()

    def reading(self) -> Reader:
        """The same, and a cursor on it."""
        self._lock.acquire()
        try:
            return Reader(self._connection(), self.flavour, self._statements, self._release)
        except BaseException:
            self._lock.release()
            raise

    def _release(self, reader: Reader, error: BaseException | None) -> None:
        try:
            if not reader.connection.invalidated:
                reader.cursor.close()
        finally:
            self._lock.release()

    def _connection(self) -> Connection:
        key = threading.get_ident() if self._per_thread else 0
        connection = self._held.get(key)
        if connection is None or connection.invalidated:
            connection = self._held[key] = self.engine.connect()
        return connection

    def close(self) -> None:
        """Give the connection back; close it where the engine is ours."""
        with self._lock:
            if self._owned:
                for connection in self._held.values():
                    connection.close()
                self.engine.dispose()
            self._held.clear()
