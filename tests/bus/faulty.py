"""A bus that can be told to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from kernia_billing.bus.memory import MemoryBus
from kernia_billing.domain.messages import Message, Waiting
from kernia_billing.errors import Unavailable


def _takes_all(_message: Message) -> bool:
    return False


@define(eq=False)
class FaultyBus(MemoryBus):
    """Takes nothing while it is `down`, never what it `refuses`, and forgets to answer after `lost` messages."""

    down: bool = False
    lost: bool = False
    refuses: Callable[[Message], bool] = _takes_all
    asked: list[Message] = field(factory=list[Message])

    async def publish(self, messages: Sequence[Message]) -> None:
        """Take them, or not."""
        self.asked += messages
        if self.down:
            raise Unavailable("The event bus does not answer")
        if any(map(self.refuses, messages)):
            raise ValueError("too much of it")
        await super().publish(messages)
        if self.lost:
            raise Unavailable("The event bus does not answer")

    async def first(self, group: str, lane: int) -> Waiting | None:
        """Say it, or not."""
        if self.down:
            raise Unavailable("The event bus does not answer")
        return await super().first(group, lane)
