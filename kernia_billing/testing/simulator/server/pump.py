"""Delivers what is due to every endpoint, each in its own time: one that hangs keeps none of the others waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from attrs import define, field

from ..facade import StripeSimulator
from ..webhooks.targets import ATTACHED
from .lane import Lane

_ENDING_SECONDS = 15.0


@define(eq=False)
class Pump:
    """A lane for each endpoint, made when the endpoint is first seen; in one lane everything is in order."""

    simulator: StripeSimulator
    _lanes: dict[str, Lane] = field(factory=dict[str, Lane], init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _stopping: bool = field(default=False, init=False)

    def start(self) -> None:
        """Begin."""
        self.wake()

    def stop(self) -> None:
        """End, after the deliveries that are on their way."""
        with self._lock:
            self._stopping = True
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.stop()
        until = time.monotonic() + _ENDING_SECONDS
        for lane in lanes:
            lane.join(max(0.0, until - time.monotonic()))

    def wake(self) -> None:
        """Something may have happened."""
        for lane in self._all():
            lane.wake()

    def settle(self, seconds: float = 10.0) -> bool:
        """Wait until all that has happened so far was offered once; answers whether it was in time."""
        asked = [(lane, lane.wake()) for lane in self._all()]
        until = time.monotonic() + seconds
        return all(lane.wait(number, max(0.0, until - time.monotonic())) for lane, number in asked)

    def _all(self) -> Sequence[Lane]:
        """The lanes of all endpoints that there are and were. One is there always: clocks run without endpoints too."""
        state = self.simulator.state
        with state.world.lock:
            names = [ATTACHED, *(target.name for target in state.outbox.targets.all())]
        with self._lock:
            for name in names:
                if name not in self._lanes and not self._stopping:
                    self._lanes[name] = Lane(self.simulator, name)
                    self._lanes[name].start()
            return list(self._lanes.values())
