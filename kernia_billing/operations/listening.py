"""What other processes do with the events on the bus."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.ids import quantity
from ..domain.messages import Handler, Message
from ..errors import ConfigError
from ..ports.bus import Bus
from .core import Core


async def receive(core: Core, group: str, handler: Handler, topics: Sequence[str], limit: int) -> int:
    """Call `handler` with what waits for a group; says how many messages are done with.

    Raises:
        ConfigError: there is no bus, or the handler is asynchronous under `Billing`.
        InvalidInput: the group cannot be named so, or the limit is out of range.
        Unavailable: the bus does not answer.
    """
    quantity(limit, "limit", maximum=10_000)
    core.hooks.check(handler)
    return await _bus(core).receive(group, handler, topics=topics, limit=limit)


async def dead_letters(core: Core, group: str, limit: int) -> Sequence[Message]:
    """What a group could not take, oldest first; raises what `receive` raises."""
    quantity(limit, "limit", maximum=10_000)
    return await _bus(core).dead_letters(group, limit)


async def healthy(core: Core) -> bool:
    """Whether the bus answers; raises what `receive` raises."""
    return await _bus(core).healthy()


def _bus(core: Core) -> Bus:
    if core.bus is None:
        raise ConfigError(["event_bus: is needed to receive what is published"])
    return core.bus
