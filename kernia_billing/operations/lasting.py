"""How long what a reader saw holds where nobody writes: until time itself changes it."""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.instants import FOREVER, Instant
from ..ports.store import Transaction
from .situation import Look


def lasts_until(tx: Transaction, look: Look) -> Instant:
    """The next instant at which what was looked at may be something else without a write.

    Periods and windows end, grants begin and expire, a plan runs out, and holds free what they hold.
    """
    now = look.situation.now
    return min((each for each in _turns(tx, look) if each > now), default=FOREVER)


def _turns(tx: Transaction, look: Look) -> Iterator[Instant]:
    customer, state = look.customer, look.situation
    for grant, bucket in look.held:
        yield from (grant.effective_at, grant.expires_at, grant.closed_at, grant.period(state.now).end)
        if bucket is not None:
            yield from (bucket.period_end, bucket.closed_at)
    # Those that exist in thought only are not among the rows.
    yield from (each.bucket.period_end for each in state.holdings)
    yield from (each.resets_at for each in state.meters)
    if customer is not None:
        yield customer.plan_until
        if state.meters or any(bucket is not None and bucket.held for _, bucket in look.held):
            yield tx.holds.next_end(customer.id, state.now)
