"""A bus within one process: for tests, and for applications of one process that can lose what it holds at its end."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from attrs import define, field

from ..domain.messages import LANES, Message, Waiting, lane_of
from ..ports.guard import refuse_inside_unit
from .lanes import Delivery, LaneBus, Patience


@define(eq=False)
class _Reader:
    """How far a group is in a lane."""

    position: int = 0
    deliveries: int = 0
    not_before: float = 0.0
    until: float = 0.0
    token: int = 0


def _lanes() -> list[list[Message]]:
    return [[] for _ in range(LANES)]


@define(eq=False)
class MemoryBus(LaneBus):
    """Keeps every message for as long as it lives. The same object serves threads and event loops."""

    patience: Patience = field(factory=Patience, kw_only=True)
    now: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    kept: list[list[Message]] = field(factory=_lanes, init=False)
    _published: dict[str, float] = field(factory=dict[str, float], init=False)
    _readers: dict[tuple[str, int], _Reader] = field(factory=lambda: defaultdict(_Reader), init=False)
    dead: dict[str, list[Message]] = field(factory=lambda: defaultdict(list), init=False)
    guard: threading.Condition = field(factory=threading.Condition, init=False)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Keep messages, in this order."""
        refuse_inside_unit("the bus")
        with self.guard:
            for message in messages:
                if message.id not in self._published:
                    self._published[message.id] = self.now()
                    self.kept[lane_of(message)].append(message)

    async def hold(self, group: str, lane: int) -> _MemoryHold | None:
        """Take a lane for a while."""
        with self.guard:
            reader, now = self._readers[group, lane], self.now()
            if reader.position >= len(self.kept[lane]) or now < max(reader.not_before, reader.until):
                return None
            reader.token += 1
            reader.until = now + self.patience.lease
            return _MemoryHold(self, group, lane, reader, reader.token)

    async def first(self, group: str, lane: int) -> Waiting | None:
        """The message that a group is at."""
        with self.guard:
            reader, kept = self._readers.get((group, lane)), self.kept[lane]
            position = 0 if reader is None else reader.position
            if position >= len(kept):
                return None
            return Waiting(kept[position], self.now() - self._published[kept[position].id])

    async def wait(self, seconds: float) -> bool | None:
        """Nothing: it cannot listen."""
        return None

    async def dead_letters(self, group: str, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first."""
        return self.dead[group][:limit]

    async def healthy(self) -> bool:
        """It is."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


@define(eq=False)
class _MemoryHold:
    _bus: MemoryBus
    _group: str
    _lane: int
    _reader: _Reader
    _token: int

    async def take(self) -> Delivery | None:
        bus, reader = self._bus, self._reader
        with bus.guard:
            lane, now = bus.kept[self._lane], bus.now()
            if reader.token != self._token or reader.position >= len(lane):
                return None
            reader.until = now + bus.patience.lease
            reader.deliveries += 1
            return Delivery(lane[reader.position], reader.deliveries, reader.position)

    async def done(self, delivery: Delivery) -> bool:
        with self._bus.guard:
            if self._reader.token != self._token:
                return False
            self._reader.position += 1
            self._reader.deliveries = 0
            return True

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        with self._bus.guard:
            if self._reader.token == self._token:
                self._reader.not_before = self._bus.now() + seconds

    async def bury(self, delivery: Delivery) -> None:
        with self._bus.guard:
            if self._reader.token == self._token:
                self._bus.dead[self._group].append(delivery.message)

    async def leave(self) -> None:
        with self._bus.guard:
            if self._reader.token == self._token:
                self._reader.until = 0.0
