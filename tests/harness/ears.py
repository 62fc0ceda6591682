"""Ears at every statement: those that go through SQLAlchemy, and those that bypass its execution."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from kernia_billing.storage.prepared import PreparedCursor

Hear = Callable[[str], object]
"""Told each statement before it is sent; what it raises strikes in the place of that statement."""


@contextmanager
def hearing(hear: Hear, engine: Engine | None = None) -> Generator[None]:
    """Let `hear` hear the statements of an engine, or of all, for a block."""
    unheard = PreparedCursor._run

    def prepared(self: PreparedCursor, run: Callable[..., object], text: str, values: Any) -> None:
        if engine in (None, self._connection.engine):
            hear(text)
        unheard(self, run, text, values)

    def executed(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        hear(statement)

    PreparedCursor._run = prepared  # type: ignore[method-assign]  # there is no event of its own
    event.listen(engine or Engine, "before_cursor_execute", executed)
    try:
        yield
    finally:
        event.remove(engine or Engine, "before_cursor_execute", executed)
        PreparedCursor._run = unheard  # type: ignore[method-assign]  # as it was
