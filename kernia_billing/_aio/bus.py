"""`billing.bus`."""

from __future__ import annotations

from collections.abc import Sequence

from ..compose import Wiring
from ..domain.messages import Handler, Message
from ..operations import (
    listening,
)


class Bus:
    """The event bus of the option `event_bus`, as other processes use it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def receive(self, group: str, handler: Handler, *, topics: Sequence[str] = (), limit: int = 100) -> int:
        """Call `handler` with what waits for a group, `limit` (1 to 10,000) at most; says how many messages it took.

        Every group gets every message; those who receive for one group share them. A message is done with after the
        handler took it, so it may come again after a crash, under the same `id`: in order, for what is about one
        customer. One whose handler raises comes again after a while, ten times at most; one whose handler raises
        `InvalidInput` never does. `topics` such as "subscription.*" leaves out the others.

        Raises:
            ConfigError: there is no bus, or the handler is asynchronous under `Billing`.
            InvalidInput: the group is not named by letters, digits, "-" and "_", or the limit is out of range.
            Unavailable: the bus does not answer.
        """
        return await listening.receive(self._wiring.core, group, handler, topics, limit)

    async def dead_letters(self, group: str, *, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first; raises what `receive` raises."""
        return await listening.dead_letters(self._wiring.core, group, limit)

    async def healthy(self) -> bool:
        """Whether the bus answers; raises what `receive` raises."""
        return await listening.healthy(self._wiring.core)
