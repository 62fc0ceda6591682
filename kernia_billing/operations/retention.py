"""What is thrown away after a while: webhooks, events, holds and reported usage that are done with, old audit rows.

What was counted in windows and periods that are over goes as well, and old books: see `keeping`.

Never what still has to be done: events that wait, failed, are dead or of a customer that nobody linked stay. A parked
call to Stripe stays too, without its parameters.

A meter event may go when it was sent or canceled, is too old for Stripe to count it or tell that it did not, and is of
a period that is over for as long: only in the period that runs can use be given back, and never more than was reported
in it. One of an allowance that never starts anew stays.
"""

from __future__ import annotations

from collections.abc import Callable

from ..domain.instants import DAY, Instant
from ..ports.store import Transaction
from . import keeping
from .core import Core
from .meter_sender import OLDEST

BATCH = 500
"""So many rows a transaction deletes at most, so that nobody waits for it."""
_BATCHES = 20
_REPORTED = OLDEST + DAY
"""So long at least a meter event is kept."""

_Prune = Callable[[Transaction, Instant, int], int]


async def prune(core: Core) -> int:
    """Delete what is old, oldest first, ten thousand rows of a kind at most; says how many."""
    now, has_bus = core.now(), core.bus is not None
    kinds: list[tuple[_Prune, Instant]] = [
        (lambda tx, before, limit: tx.inbox.prune(before, limit), now - core.event_retention),
        (
            lambda tx, before, limit: tx.outbox.prune(before, limit, bus=has_bus),
            now - core.event_retention,
        ),
        (lambda tx, before, limit: tx.limits.prune(before, limit), now - core.event_retention),
        (lambda tx, before, limit: tx.alerts.prune(before, limit), now - core.event_retention),
        (lambda tx, before, limit: tx.notices.prune(before, limit), now - core.event_retention),
        (lambda tx, before, limit: tx.measures.prune(before, limit), now - core.event_retention),
        (_forget_parked, now - core.event_retention),
        (lambda tx, before, limit: tx.holds.prune(before, limit), now - core.event_retention),
        (lambda tx, before, limit: tx.meter_events.prune(before, limit), now - max(core.event_retention, _REPORTED)),
    ]
    if core.audit_retention is not None:
        kinds.append((lambda tx, before, limit: tx.audit.prune(before, limit), now - core.audit_retention))
    return sum([await _some(core, delete, before) for delete, before in kinds]) + await keeping.prune(core)


def _forget_parked(tx: Transaction, before: Instant, limit: int) -> int:
    """Forget what was to be sent with calls whose outcome nobody ever found out: it may name a person."""
    rows = tx.intents.parked(before, limit)
    for row in rows:
        tx.intents.forget(row.key)
    return len(rows)


async def _some(core: Core, delete: _Prune, before: Instant) -> int:
    deleted = 0
    for _ in range(_BATCHES):
        if core.stopping():
            break
        number = await core.store.transaction(lambda tx: delete(tx, before, BATCH))
        deleted += number
        if number < BATCH:
            break
    return deleted
