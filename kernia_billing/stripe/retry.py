"""When to try again, and after how long."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime

from attrs import field, frozen
from attrs.validators import ge, le

from ..domain.instants import Instant
from ..ports.stripe import Method
from .wire import NoReply, Reply

_SECONDS = re.compile(r"[0-9]{1,9}")
_BUSY = frozenset({"rate_limit", "lock_timeout", "idempotency_key_in_use"})
_MICROSECONDS = 1_000_000


@frozen(kw_only=True)
class RetryPolicy:
    """How patient one request is. Times are in seconds.

    `retries` attempts follow the first one, all within `budget`. The delays are those of Stripe's own libraries: 0.5
    doubling up to `longest_delay`, spread over the upper half, never under 0.5. Unlike theirs a 429 is retried too,
    and `Retry-After` is waited for, up to `longest_retry_after`.
    """

    retries: int = field(default=2, validator=[ge(0), le(10)])
    budget: float = field(default=20.0, validator=ge(0))
    shortest_delay: float = field(default=0.5, validator=ge(0))
    longest_delay: float = field(default=5.0, validator=ge(0))
    longest_retry_after: float = field(default=8.0, validator=ge(0))

    def delay(self, outcome: Reply | NoReply, attempt: int, *, jitter: float, now: Instant) -> float | None:
        """How long to wait after attempt number `attempt` (from 1), or None when it was the last one.

        `jitter` is a number of [0, 1).
        """
        if attempt > self.retries or not may_retry(outcome):
            return None
        grown: float = min(self.shortest_delay * float(2 ** (attempt - 1)), self.longest_delay)
        spread = max(self.shortest_delay, grown * (0.5 + 0.5 * jitter))
        asked = retry_after(outcome, now) if isinstance(outcome, Reply) else None
        return max(spread, min(asked or 0, self.longest_retry_after))


DEFAULT_POLICY = RetryPolicy()


def may_retry(outcome: Reply | NoReply) -> bool:
    """Whether the same request may fare better: Stripe's word decides, else the kind of failure."""
    if isinstance(outcome, NoReply):
        return outcome.again
    if outcome.torn:
        return True
    said = outcome.headers.get("stripe-should-retry")
    if said in ("true", "false"):
        return said == "true"
    return outcome.status == 409 or outcome.status >= 500 or is_busy(outcome)


def is_busy(reply: Reply) -> bool:
    """Whether somebody else is in the way, for now: a rate, a lock on the object, the same key under way."""
    return reply.status == 429 or reply.error("code") in _BUSY or (reply.status == 409 and reply.error("code") is None)


def may_have_acted(method: Method, outcome: Reply | NoReply, *, before: bool) -> bool:
    """Whether the request may have been carried out, after this attempt and those `before` it.

    A refusal of Stripe's (4xx) settles the question, because Stripe keeps the first result under the key. A 5xx does
    not: Stripe documents its outcome as indeterminate, and it is what the key answers from then on. Nor does a 4xx that
    Stripe did not say: whoever answered may have passed the request on, or stood in for an answer that was lost.
    """
    if method == "GET":
        return False
    if isinstance(outcome, NoReply):
        return before or outcome.sent
    if outcome.status >= 500 or outcome.torn:
        return True
    if 400 <= outcome.status < 500 and not outcome.judged and not is_busy(outcome):
        return True
    if outcome.status == 409 and is_busy(outcome):
        return True
    return before and (is_busy(outcome) or outcome.status < 400)


def retry_after(reply: Reply, now: Instant) -> int | None:
    """What `Retry-After` asks for, in whole seconds; None if it is absent or neither digits nor a date."""
    text = reply.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return int(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0, math.ceil(date.timestamp() - now / _MICROSECONDS)) if date.tzinfo else None
