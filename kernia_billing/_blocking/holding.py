"""What `billing.reserve` gives.

Generated from `_aio/holding.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Self

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Usage


class Hold:
    """Units of a feature that are set aside until `expires_at`: enter it by `with`, or end it by hand.

    At the end of the block what was used is settled, also after an exception and when the task is cancelled: `used` if
    you set it. Where it is untouched, everything is settled after success, and nothing after an exception.
    """

    def __init__(self, inner: _aio.Hold) -> None:
        self._inner = inner

    @property
    def id(self) -> str:
        """What the hold is called in the database. Another process gets the hold by its idempotency key."""
        return self._inner.id

    @property
    def quantity(self) -> int:
        """How many units are set aside."""
        return self._inner.quantity

    @property
    def expires_at(self) -> datetime:
        """When the units are free again, unless the hold has ended before."""
        return self._inner.expires_at

    @property
    def used(self) -> int | None:
        """What was used so far, 0 to 10^9: add to it while you work. None until you set it."""
        return self._inner.used

    @used.setter
    def used(self, value: int | None) -> None:
        self._inner.used = value

    def settle(self, quantity: int | None = None) -> Usage:
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
        return run_blocking(self._inner.settle(quantity))

    def release(self) -> None:
        """End the hold: nothing was used. Nothing happens where it was released before, or has expired.

        Statements: 10; where credits pay 1 more, on MySQL 1 more.

        Raises:
            Conflict: it was settled (HOLD_SETTLED).
            Unavailable: the database does not answer: release again, or let it expire.
        """
        run_blocking(self._inner.release())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_blocking(self._inner.__aexit__(kind, error, trace))
