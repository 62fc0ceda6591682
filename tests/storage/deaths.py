"""Migrations that die before one of their statements."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from attrs import define
from sqlalchemy import Engine, event

from kernia_billing.storage import migrations


class Killed(BaseException):
    """The process ends here."""


@define
class Countdown:
    """How many statements that change something are still let through."""

    left: int = sys.maxsize

    def count(self, _conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        """Let a statement through, or die before it."""
        if statement.lstrip().upper().startswith(("CREATE", "INSERT", "ALTER", "DROP", "UPDATE")):
            self.left -= 1
            if self.left < 0:
                raise Killed

    def live(self) -> None:
        """Let everything through from now on."""
        self.left = sys.maxsize


def counting(engine: Engine, make: Callable[[Engine], None] = migrations.upgrade) -> tuple[Countdown, int]:
    """Make the tables once, to know how many statements that takes; the countdown that later runs die of."""
    countdown = Countdown()
    event.listen(engine, "before_cursor_execute", countdown.count)
    make(engine)
    return countdown, sys.maxsize - countdown.left
