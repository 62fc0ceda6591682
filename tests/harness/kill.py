"""Death at any boundary: before and after every statement, commit and rollback, and every request to Stripe.

The boundaries lie in the drivers, below everything that the library may do to reach its database.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sqlite3.dbapi2
from collections.abc import Callable
from typing import Any

import psycopg
import pymysql.connections
import pymysql.cursors

from .processes import RemoteStripe


def die() -> None:
    """End this process at once: nothing of it is heard any more."""
    os.kill(os.getpid(), signal.SIGKILL)


class Boundaries:
    """Counts boundaries, and kills the process at the one called `deadly` (1 is the first; None kills never).

    Something else than death may strike there. Make it before the first connection; it counts from `start` on. It
    cannot be undone: for processes that end soon.
    """

    def __init__(self, deadly: int | None = None, strike: Callable[[], None] = die) -> None:
        self.passed: list[str] = []
        self._deadly = deadly
        self._strike = strike
        self._started = False
        self._wrap(pymysql.cursors.Cursor, "execute")
        self._wrap(psycopg.Cursor, "execute")
        # PyMySQL's executes one after the other, or all in one.
        self._wrap(psycopg.Cursor, "executemany")
        for end in ("commit", "rollback"):
            self._wrap(psycopg.Connection, end, end)
            self._wrap(pymysql.connections.Connection, end, end)
        self._wrap_sqlite()

    def start(self, stripe: RemoteStripe) -> None:
        """Count from now on."""
        self._started = True
        stripe.on_call = self.reach

    def reach(self, name: str) -> None:
        """Pass a boundary, or die there."""
        if not self._started:
            return
        self.passed.append(name)
        if len(self.passed) == self._deadly:
            self._strike()

    def _wrap(self, kind: type, method: str, name: str | None = None) -> None:
        setattr(kind, method, self._around(getattr(kind, method), name))

    def _wrap_sqlite(self) -> None:
        """SQLite's classes cannot be changed, so its connections become ones of another class."""

        class Cursor(sqlite3.Cursor):
            pass

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

        self._wrap(Cursor, "execute")
        self._wrap(Cursor, "executemany")
        self._wrap(Connection, "execute")
        self._wrap(Connection, "commit", "commit")
        self._wrap(Connection, "rollback", "rollback")
        connect: Callable[..., Any] = sqlite3.dbapi2.connect

        def watched(*arguments: Any, **named: Any) -> Any:
            return connect(*arguments, **named, factory=Connection)

        sqlite3.dbapi2.connect = watched

    def _around(self, call: Callable[..., Any], name: str | None) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            what = name or " ".join(str(arguments[1]).split())[:60]
            self.reach(f"before {what}")
            answer = call(*arguments, **named)
            self.reach(f"after {what}")
            return answer

        return wrapped
