"""The event bus as the core sees it: messages go out to whoever listens, and come in from the host.

Everything is at least once: a message may come again, under the same id. Messages of one key come in the order in
which they were published, to every group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.messages import Handler, Message, Waiting


class Bus(Protocol):
    """Carries messages between processes. Refused inside a unit of work.

    Every method raises `Unavailable` where the bus does not answer.
    """

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand messages over, in this order. When it returns, the bus has stored all of them.

        One that was published under its id before is not published again, as long as the bus remembers it.
        """
        ...

    async def receive(self, group: str, handler: Handler, *, topics: Sequence[str] = (), limit: int = 100) -> int:
        """Call `handler` with what waits for a group, up to `limit` messages; says how many are done with.

        Every group gets every message, and those who receive for one group share it. A message is done with after the
        handler took it; where the process dies before, another one gets it. `topics` keeps those of these topics, where
        a last part "*" stands for any; the others are done with.
        """
        ...

    async def wait(self, seconds: float) -> bool | None:
        """Wait until something may be there to receive, at most so long; says whether something may.

        None at once where it cannot listen now.
        """
        ...

    async def waiting(self, group: str) -> Sequence[Waiting]:
        """The first message of each lane that a group is not done with; those behind it wait for it. Takes nothing.

        A group that never received anything is done with nothing.
        """
        ...

    async def dead_letters(self, group: str, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first."""
        ...

    async def healthy(self) -> bool:
        """Whether the bus answers."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
