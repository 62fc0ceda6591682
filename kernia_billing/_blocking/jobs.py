"""`billing.jobs`.

Generated from `_aio/jobs.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.jobs import JobsReport


class Jobs:
    """What runs by itself."""

    def __init__(self, inner: _aio.Jobs) -> None:
        self._inner = inner

    def run(self) -> JobsReport:
        """Everything that is due, once: waiting webhooks, events that hooks have not received, upkeep.

        Safe on every replica at once; call it from cron, a task queue or a loop. A job that fails does not keep the
        others from being done: it is named in `failed`, and tried again by the next run.
        """
        return run_blocking(self._inner.run())

    def forever(self, stopping: Callable[[], bool], told: Callable[[JobsReport], object] | None = None) -> None:
        """Do what is due for as long as `stopping()` is false; `threading.Event().is_set` is such a function.

        While there is work it goes on at once, else it looks every few seconds. It ends after the item that it is at;
        what it had taken and not begun is given back. `told` hears of every run that did something or failed.
        """
        run_blocking(self._inner.forever(stopping, told))
