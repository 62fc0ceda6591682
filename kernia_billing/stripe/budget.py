"""How many requests a process sends to Stripe: a budget that requests of users never share with jobs.

Stripe limits an account to 100 requests a second in live mode and 25 in a sandbox (https://docs.stripe.com/rate-limits).
Two token buckets of the same size and speed are kept. One counts what users wait for, and is all that can delay it.
The other counts everything, and a background request goes only when it is full: when whatever was sent before has been
made up for. So

- what users wait for is sent at the very instants at which it would be sent if there were no background work;
- in no second does the process send more than its limit, whatever the mixture;
- background work gets what is left, evenly spread.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from threading import Lock

from ..domain.secret import Secret

LIVE_LIMIT = 100
SANDBOX_LIMIT = 25
LOWEST_LIMIT = 2
_BURST = 4
_ALMOST = 1e-9


class RateBudget:
    """A limit of `limit` (at least 2) requests in any second, for one Stripe account and one process. Thread-safe.

    A quarter of it may go at once; the rest is spread over the second. Instants are seconds of a monotonic clock.
    """

    def __init__(self, limit: int) -> None:
        if limit < LOWEST_LIMIT:
            raise ValueError(f"limit must be at least {LOWEST_LIMIT}")
        self.limit = limit
        self._burst = max(1.0, limit / _BURST)
        self._speed = limit - self._burst
        # How many requests may go now; less than zero where some have been promised a later instant.
        self._for_users = self._for_all = self._burst
        self._at: float | None = None
        self._lock = Lock()
        _BUDGETS.add(self)

    def claim(self, now: float, patience: float) -> float | None:
        """Count a request that somebody waits for: in how many seconds it is to be sent.

        None, and not counted, if that would be longer than `patience`.
        """
        with self._lock:
            self._refill(now)
            wait = max(0.0, (1.0 - self._for_users) / self._speed)
            if wait > patience:
                return None
            self._for_users -= 1.0
            self._for_all -= 1.0
            return wait

    def claim_spare(self, now: float) -> float:
        """Count a background request if it may go now: 0. Else the seconds after which to ask again, not counted."""
        with self._lock:
            self._refill(now)
            missing = self._burst - self._for_all
            if missing > _ALMOST:
                return missing / self._speed
            self._for_all -= 1.0
            return 0.0

    def _refill(self, now: float) -> None:
        gained = 0.0 if self._at is None else max(0.0, now - self._at) * self._speed
        self._at = now if self._at is None else max(self._at, now)
        self._for_users = min(self._burst, self._for_users + gained)
        self._for_all = min(self._burst, self._for_all + gained)

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock, and does not exist here."""
        self._lock = Lock()


_BUDGETS: weakref.WeakSet[RateBudget] = weakref.WeakSet()
_SHARED: weakref.WeakValueDictionary[tuple[bytes, int], RateBudget] = weakref.WeakValueDictionary()
_sharing = Lock()


def shared_budget(key: Secret, limit: int) -> RateBudget:
    """The budget of this key in this process: several `Billing` objects with the same key and limit share it."""
    name = (hashlib.sha256(key.reveal().encode()).digest(), limit)
    with _sharing:
        budget = _SHARED.get(name)
        if budget is None:
            budget = _SHARED[name] = RateBudget(limit)
        return budget


def _after_fork() -> None:
    global _sharing  # noqa: PLW0603 - the one lock of the module, for the same reason as those of the budgets
    _sharing = Lock()
    for budget in list(_BUDGETS):
        budget.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
