"""How often one person may have pages opened at Stripe: a bound for programs that went wrong and people who play."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress

from ..domain.instants import MINUTE, SECOND, Instant
from ..ports.clock import Clock

PACED = frozenset({"upgrade-subscription", "billing-portal"})
"""The actions that open pages."""
_MOST_PEOPLE = 10_000


class Pace:
    """At most `limit` pages a minute for each person, as far as this process knows.

    It remembers the last 10,000 people: nobody can fill the memory by being many.
    """

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._seen: OrderedDict[str, deque[Instant]] = OrderedDict()

    def wait(self, who: str) -> int:
        """Count a page, and give 0; or give how many seconds to wait, at least 1, and count nothing."""
        now = self._clock.now()
        times = self._seen.setdefault(who, deque(maxlen=self._limit))
        with suppress(KeyError):  # Another thread may have made room just now.
            self._seen.move_to_end(who)
            if len(self._seen) > _MOST_PEOPLE:
                self._seen.popitem(last=False)
        if len(times) == self._limit and 0 <= now - times[0] < MINUTE:
            return -((now - times[0] - MINUTE) // SECOND)
        times.append(now)
        return 0
