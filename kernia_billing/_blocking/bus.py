"""`billing.bus`.

Generated from `_aio/bus.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.messages import Handler, Message


class Bus:
    """The event bus of the option `event_bus`, as other processes use it."""

    def __init__(self, inner: _aio.Bus) -> None:
        self._inner = inner

    def receive(self, group: str, handler: Handler, *, topics: Sequence[str] = (), limit: int = 100) -> int:
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
        return run_blocking(self._inner.receive(group, handler, topics=topics, limit=limit))

    def dead_letters(self, group: str, *, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first; raises what `receive` raises."""
        return run_blocking(self._inner.dead_letters(group, limit=limit))

    def healthy(self) -> bool:
        """Whether the bus answers; raises what `receive` raises."""
        return run_blocking(self._inner.healthy())
