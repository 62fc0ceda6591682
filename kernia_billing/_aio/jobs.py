"""`billing.jobs`."""

from __future__ import annotations

from collections.abc import Callable

from ..compose import Wiring
from ..domain.jobs import JobsReport
from ..operations import (
    jobs,
)


class Jobs:
    """What runs by itself."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def run(self) -> JobsReport:
        """Everything that is due, once: waiting webhooks, events that hooks have not received, upkeep.

        Safe on every replica at once; call it from cron, a task queue or a loop. A job that fails does not keep the
        others from being done: it is named in `failed`, and tried again by the next run.
        """
        return await jobs.run(self._wiring.core)

    async def forever(self, stopping: Callable[[], bool], told: Callable[[JobsReport], object] | None = None) -> None:
        """Do what is due for as long as `stopping()` is false; `threading.Event().is_set` is such a function.

        While there is work it goes on at once, else it looks every few seconds. It ends after the item that it is at;
        what it had taken and not begun is given back. `told` hears of every run that did something or failed.
        """
        await jobs.forever(self._wiring.core, stopping, told)
