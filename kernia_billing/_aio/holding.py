"""What `billing.reserve` gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from ..compose import Wiring
from ..domain.answers import Usage
from ..domain.ids import quantity as checked
from ..domain.instants import to_datetime
from ..operations import reserving
from ..runtime.finishing import finish


class Hold:
    """Units of a feature that are set aside until `expires_at`: enter it by `with`, or end it by hand.

    At the end of the block what was used is settled, also after an exception and when the task is cancelled: `used` if
    you set it. Where it is untouched, everything is settled after success, and nothing after an exception.
    """

    def __init__(self, wiring: Wiring, reserved: reserving.Reserved) -> None:
        self._core = wiring.core
        self._asynchronous = wiring.asynchronous
        self._reserved = reserved
        self._used: int | None = None
        self._ended = False

    @classmethod
    async def given(cls, wiring: Wiring, reserve: Callable[[], Awaitable[reserving.Reserved]]) -> Self:
        """The hold that is given. Not for applications."""
        return cls(wiring, await reserve())

    @property
    def id(self) -> str:
        """What the hold is called in the database. Another process gets the hold by its idempotency key."""
        return self._reserved.hold_id

    @property
    def quantity(self) -> int:
        """How many units are set aside."""
        return self._reserved.quantity

    @property
    def expires_at(self) -> datetime:
        """When the units are free again, unless the hold has ended before."""
        return to_datetime(self._reserved.expires_at)

    @property
    def used(self) -> int | None:
        """What was used so far, 0 to 10^9: add to it while you work. None until you set it."""
        return self._used

    @used.setter
    def used(self, value: int | None) -> None:
        self._used = None if value is None else checked(value, "used", minimum=0)

    async def settle(self, quantity: int | None = None) -> Usage:
        """End the hold with what was used; by default `used` if that was set, else everything. The rest is free again.

        What goes beyond the hold is recorded like any other use, and so is everything once the hold has expired: the
        receipt is `late` then. Settling again with the same quantity gives the first receipt again.

        Statements: at most 14; under usage limits 4 more, where credits pay 1 more, on MySQL 1 more,
        on PostgreSQL 1 fewer.

        Raises:
            IdempotencyMismatch: it was settled with another quantity.
            Conflict: it was released (HOLD_RELEASED).
            InvalidInput: the quantity is not one of 0 to 10^9.
            Unavailable: the database does not answer: settle again.
        """
        if quantity is not None:
            self.used = quantity
        if self._used is None:
            self._used = self.quantity
        # Where the answer is lost, the end of the block says the same once more.
        usage = await reserving.settle(self._core, self._reserved, self._used)
        self._ended = True
        return usage

    async def release(self) -> None:
        """End the hold: nothing was used. Nothing happens where it was released before, or has expired.

        Statements: 10; where credits pay 1 more, on MySQL 1 more.

        Raises:
            Conflict: it was settled (HOLD_SETTLED).
            Unavailable: the database does not answer: release again, or let it expire.
        """
        self._used = None
        await reserving.release(self._core, self._reserved)
        self._ended = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        end = self._end(failed=error is not None)
        await (finish(end) if self._asynchronous else end)

    async def _end(self, *, failed: bool) -> None:
        if failed and self._used is None:
            await self.release()
        else:
            await self.settle()
