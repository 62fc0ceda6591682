"""Death at any boundary: before and after every statement, commit and rollback, and every request to Stripe."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import make_url

from kernia_billing.storage.hot import HotSelect

from .processes import RemoteStripe

_STATEMENTS = ("do_execute", "do_executemany", "do_execute_no_params")
_ENDS = ("do_commit", "do_rollback")
Done = list[str]
"""The boundaries that were passed, in order."""


class Boundaries:
    """Counts boundaries, and kills the process at the one called `deadly` (1 is the first; None kills never)."""

    def __init__(self, deadly: int | None = None) -> None:
        self.passed: Done = []
        self._deadly = deadly

    def reach(self, name: str) -> None:
        """Pass a boundary, or die there."""
        self.passed.append(name)
        if len(self.passed) == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, database_url: str, stripe: RemoteStripe | None = None) -> None:
        """Put boundaries around everything that this process does from now on with such databases, and with Stripe.

        It cannot be undone: for processes that end soon.
        """
        dialect: Any = make_url(database_url).get_dialect()
        for name in _STATEMENTS:
            setattr(dialect, name, self._around(getattr(dialect, name), _statement))
        for name in _ENDS:
            setattr(dialect, name, self._around(getattr(dialect, name), lambda *_, name=name: name[3:]))
        self._watch_hot()
        if stripe is not None:
            stripe.on_call = self.reach

    def _watch_hot(self) -> None:
        """The one read that goes past SQLAlchemy: where it does not, its statement is counted like any other."""
        read = HotSelect.all

        def all_(select: HotSelect, db: Any, values: Any) -> Any:
            if not db.hot:
                return read(select, db, values)
            self.reach("before the hot read")
            rows = read(select, db, values)
            self.reach("after the hot read")
            return rows

        HotSelect.all = all_  # type: ignore[method-assign]

    def _around(self, call: Callable[..., Any], describe: Callable[..., str]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            name = describe(*arguments)
            self.reach(f"before {name}")
            answer = call(*arguments, **named)
            self.reach(f"after {name}")
            return answer

        return wrapped


def _statement(_dialect: object, _cursor: object, statement: str, *_: object) -> str:
    return " ".join(statement.split())[:60]
