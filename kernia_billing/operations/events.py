"""Stripe's own list of events: which of them never arrived here."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.instants import DAY, HOUR, Instant
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .event_types import HANDLED

STATE = "events"
"""Under what it is noted from when to when events were listed."""
KEPT = 30 * DAY
"""So long Stripe lists an event (Stripe, "List all events")."""
_OVERLAP = HOUR
"""Events are listed a while after they happened, and clocks differ."""
_HANDLED = frozenset(HANDLED)


def first_event_at(tx: Transaction, now: Instant) -> Instant:
    """From when on events are listed: since a while before the last listing, and not longer than Stripe keeps them.

    The first time it is since the first customer here: what happened before is for an import to bring in, and hooks
    must not hear of it. A last time that is still to come was noted by a clock that went wrong, and says nothing.
    """
    last = tx.syncs.get(STATE)
    if last is not None and last.started_at - _OVERLAP > now:
        return now - KEPT
    if last is not None:
        return max(last.started_at - _OVERLAP, now - KEPT)
    first = next(iter(tx.customers.page(plan=None, limit=1, after=None)), None)
    return max(now if first is None else first.created_at, now - KEPT) - _OVERLAP


async def unknown(core: Core, events: Sequence[StripeObject]) -> Sequence[StripeObject]:
    """Those of these events that an endpoint of ours is subscribed to and that never arrived, oldest first."""
    ours = [each for each in events if each.get("type") in _HANDLED]
    known = await core.store.read(lambda tx: tx.inbox.known([str(each.get("id")) for each in ours]))
    return [each for each in reversed(ours) if each.get("id") not in known]
