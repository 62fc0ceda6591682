"""A worker: the jobs of a `Billing`, running on threads of their own until they are told to stop.

```python
worker = Worker(billing)
worker.start()  # where the application starts
worker.stop()  # where it ends
```

`kernia-billing worker` is the same as a process. On asyncio no thread is needed:
`asyncio.create_task(billing.jobs.forever(event.is_set))`, and at the end `event.set()` and `await` the task.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .errors import ConfigError

if TYPE_CHECKING:
    from . import Billing

DRAIN = 10.0
"""Seconds that a worker has to finish what it is at."""

_log = logging.getLogger("kernia_billing")


class Worker:
    """Runs `billing.jobs.forever()` on `threads` threads.

    `start` and `stop` may be called by any thread, in any order and number; a stopped worker can be started again. A
    thread that is still at something when the process ends is cut off, as a crash would: what it was at is taken up
    again by whoever runs the jobs next, a few minutes later.

    Raises:
        ConfigError: not a `Billing`, or fewer than 1 or more than 64 threads.
    """

    def __init__(self, billing: Billing, *, threads: int = 1) -> None:
        from . import Billing as Blocking

        if not isinstance(billing, Blocking):
            raise ConfigError(["billing: a worker takes Billing; with AsyncBilling await billing.jobs.forever()"])
        if type(threads) is not int or not 1 <= threads <= 64:
            raise ConfigError(["threads: must be 1 to 64"])
        self._billing = billing
        self._threads = threads
        self._guard = threading.Lock()
        self._wanted = False
        self._working: set[threading.Thread] = set()

    @property
    def running(self) -> bool:
        """Whether it works, or is still at what it was at when it was stopped."""
        with self._guard:
            return bool(self._working)

    def start(self) -> None:
        """Begin to work; nothing where it does already."""
        with self._guard:
            self._wanted = True
            while len(self._working) < self._threads:
                thread = threading.Thread(target=self._work, name="kernia-billing-worker", daemon=True)
                self._working.add(thread)
                thread.start()

    def stop(self, timeout: float = DRAIN) -> bool:
        """Take nothing new up, and wait `timeout` seconds for what is under way; says whether it came to its end."""
        with self._guard:
            self._wanted = False
            threads = self._working - {threading.current_thread()}
        until = time.monotonic() + timeout
        for each in threads:
            each.join(max(0.0, until - time.monotonic()))
        return not any(each.is_alive() for each in threads)

    def _work(self) -> None:
        try:
            while not self._is_over():
                self._billing.jobs.forever(lambda: not self._wanted)
        except Exception as failure:
            _log.error("worker.ended error=%s", type(failure).__name__, exc_info=failure)
            with self._guard:
                self._working.discard(threading.current_thread())
            raise

    def _is_over(self) -> bool:
        """Whether this thread is to end; then it counts no more, so that a start from now on makes another one."""
        with self._guard:
            if not self._wanted:
                self._working.discard(threading.current_thread())
            return not self._wanted

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
