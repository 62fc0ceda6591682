"""What all adapters share: a bus is some lanes, and a lane is read by one consumer of a group at a time, in order."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import isawaitable
from logging import getLogger
from typing import Protocol

from attrs import frozen

from ..domain.messages import LANES, Handler, Message, Waiting
from ..errors import InvalidInput
from ..ports.guard import refuse_inside_unit

_log = getLogger("kernia_billing")
LONGEST_NAME = 100
_LONGEST_WAIT = 60.0


@frozen
class Delivery:
    """A message, how often it was delivered, this time included, and what names it to the bus."""

    message: Message
    deliveries: int
    handle: object


class Hold(Protocol):
    """A lane that one consumer of a group has to itself."""

    async def take(self) -> Delivery | None:
        """The first message that is not done with; None where there is none, or the lane went to somebody else."""
        ...

    async def done(self, delivery: Delivery) -> bool:
        """Note that it is done with; False where the lane went to somebody else meanwhile."""
        ...

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Deliver it, and what comes after it, no sooner than in so many seconds."""
        ...

    async def bury(self, delivery: Delivery) -> None:
        """Put it among the dead letters of the group, and be done with it."""
        ...

    async def leave(self) -> None:
        """Let others have the lane."""
        ...


@frozen(kw_only=True)
class Patience:
    """How long a bus waits, in seconds: for a consumer that may be dead, and before a failed message comes again.

    The wait doubles with every delivery; after so many `deliveries` a message is a dead letter.
    """

    lease: float = 60.0
    retry: float = 1.0
    deliveries: int = 10

    def before(self, delivery: int) -> float:
        """How long to wait after a failed delivery; the first is 1."""
        return min(self.retry * float(1 << min(delivery - 1, 16)), max(_LONGEST_WAIT, self.retry))


class LaneBus(ABC):
    """The order of things; an adapter says how its lanes are held."""

    patience: Patience
    lanes: int = LANES

    @abstractmethod
    async def hold(self, group: str, lane: int) -> Hold | None:
        """Take a lane for a while; None where somebody has it, nothing waits in it, or it is to wait."""

    @abstractmethod
    async def first(self, group: str, lane: int) -> Waiting | None:
        """The first message of a lane that a group is not done with, also while somebody holds the lane."""

    async def waiting(self, group: str) -> Sequence[Waiting]:
        """The first message of each lane; see the port."""
        refuse_inside_unit("the bus")
        check_name(group)
        found = [await self.first(group, lane) for lane in range(self.lanes)]
        return [each for each in found if each is not None]

    async def receive(self, group: str, handler: Handler, *, topics: Sequence[str] = (), limit: int = 100) -> int:
        """Call `handler` with what waits for a group; see the port."""
        refuse_inside_unit("the bus")
        check_name(group)
        number = 0
        # From anywhere: consumers that begin at the same lane get into each other's way.
        first = random.randrange(self.lanes)  # noqa: S311 - guards nothing
        for lane in range(first, first + self.lanes):
            if number < limit and (held := await self.hold(group, lane % self.lanes)) is not None:
                try:
                    number += await self._receive(held, handler, topics, limit - number)
                finally:
                    await held.leave()
        return number

    async def _receive(self, held: Hold, handler: Handler, topics: Sequence[str], limit: int) -> int:
        number = 0
        while number < limit and (delivery := await held.take()) is not None:
            if is_wanted(delivery.message.topic, topics) and not await self._give(held, delivery, handler):
                break
            if not await held.done(delivery):
                break
            number += 1
        return number

    async def _give(self, held: Hold, delivery: Delivery, handler: Handler) -> bool:
        try:
            answer = handler(delivery.message)
            if isawaitable(answer):
                await answer
        except Exception as failure:  # noqa: BLE001 - a handler may raise anything
            is_last = isinstance(failure, InvalidInput) or delivery.deliveries >= self.patience.deliveries
            what = "is a dead letter" if is_last else "will be delivered again"
            _log.error("bus.failed topic=%s: it %s", delivery.message.topic, what, exc_info=failure)
            if is_last:
                await held.bury(delivery)
            else:
                await held.postpone(delivery, self.patience.before(delivery.deliveries))
            return is_last
        return True


def is_wanted(topic: str, topics: Sequence[str]) -> bool:
    """Whether a topic is one of these: none stands for all, and "user.*" for all that begin with "user."."""
    return not topics or any(topic == each or (each.endswith("*") and topic.startswith(each[:-1])) for each in topics)


def check_name(name: str) -> None:
    """A group is named by letters, digits, "-" and "_", so that every bus can hold it.

    Raises:
        InvalidInput: it is not.
    """
    plain = isinstance(name, str) and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    if not plain or len(name) > LONGEST_NAME:
        raise InvalidInput(f'must be 1 to {LONGEST_NAME} letters, digits, "-" or "_"', field="group")
