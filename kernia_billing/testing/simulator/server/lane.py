"""Delivers what is due to one endpoint, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any

from attrs import define, field

from ..facade import StripeSimulator
from ..people import actions

TICK_SECONDS = 0.5

_log = logging.getLogger("kernia_billing.simulator")


@define(eq=False)
class Lane:
    """One thread that wakes up when something happened, and now and then, because a clock may be running."""

    simulator: StripeSimulator
    target: str
    """The endpoint: the name of an `Outbox` target."""
    _wake: threading.Condition = field(factory=threading.Condition, init=False)
    _asked: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _stopping: bool = field(default=False, init=False)
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=f"simulator-webhooks-{self.target}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, after the delivery that is on its way; `join` waits for it."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout=seconds)

    def wake(self) -> int:
        """Something may have happened; gives what `wait` takes."""
        with self._wake:
            self._asked += 1
            self._wake.notify_all()
            return self._asked

    def wait(self, asked: int, seconds: float) -> bool:
        """Wait until all that had happened at a `wake` was offered once; answers whether it was in time."""
        with self._wake:
            return self._wake.wait_for(lambda: self._done >= asked or self._stopping, timeout=seconds)

    def _run(self) -> None:
        while not self._stopping:
            with self._wake:
                if self._done >= self._asked:
                    self._wake.wait(TICK_SECONDS)
                asked = self._asked
            try:
                self._drain(actions.flush(self.simulator.state, target=self.target))
            except Exception:  # noqa: BLE001 - whatever it is, the next round may go well
                _log.exception("the simulator could not do what was due")
            with self._wake:
                self._done = max(self._done, asked)
                self._wake.notify_all()

    def _drain(self, script: Generator[Any, Any, Any]) -> None:
        """Make every call of a script on this thread, until there are no more or the server ends."""
        answer: Any = None
        failure: Exception | None = None
        while not self._stopping:
            try:
                step = script.send(answer) if failure is None else script.throw(failure)
            except StopIteration:
                return
            try:
                answer, failure = step(), None
            except Exception as error:  # noqa: BLE001 - the script decides what to do about it
                answer, failure = None, error
                _log.warning("a webhook was not taken and will be sent again: %s", error)
        script.close()
