"""The system's clock."""

from __future__ import annotations

import time

from ..domain.instants import Instant


class SystemClock:
    """Tells the machine's time."""

    def now(self) -> Instant:
        """The current instant, UTC microseconds."""
        return time.time_ns() // 1000
