"""Usage limits as the core sees them: how much of each is used in the window that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.instants import Instant
from ..domain.limits import Drawn, Meter, Window


class Limits(Protocol):
    """billing_limit_window."""

    def running(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        """The windows of these features that `now` lies in: the customer's own, and those of an entity.

        A plain read. What holds have set aside whose time has come counts no longer.
        """
        ...

    def running_locked(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        """The same for a customer whose row is locked, by a read that sees the newest; every hold counts that is open.

        A writer releases the holds whose time has come before it looks.
        """
        ...

    def put(self, customer_id: str, meter: Meter) -> None:
        """Insert the window of a meter, or overwrite what is used in it."""
        ...

    def lower(self, customer_id: str, feature: str, entity: str, amount: int, *, drawn: Drawn, now: Instant) -> None:
        """Take back what was counted then, in the windows that run and count since then, never below 0.

        For what was drawn without properties, as a hold is: limits that ask for some did not count it.
        """
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the windows that ended first, those that ended before an instant, so many at most; how many."""
        ...
