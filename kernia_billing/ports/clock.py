"""Time as the core sees it."""

from __future__ import annotations

from typing import Protocol

from ..domain.instants import Instant


class Clock(Protocol):
    """Tells the time. Tests and the Stripe simulator bring their own."""

    def now(self) -> Instant:
        """The current instant, UTC microseconds."""
        ...
