"""Events for the bus: the list that hooks are served from, with attempts of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.instants import MINUTE, SECOND
from ..domain.messages import message_of
from ..domain.outbound import OutboxRow
from ..errors import Unavailable
from ..ports.bus import Bus
from ..ports.store import Transaction
from ..ports.telemetry import kind_of
from .core import Core

_BATCH = 100
_LEASE = 5 * MINUTE
_LONGEST_WAIT = 5 * MINUTE


async def relay(core: Core) -> int:
    """Put on the bus what waits for it, in order per customer; says how many events that were.

    A bus that does not answer keeps everything for a later run, and hooks from nothing. What was published is noted
    at the end: a crash before that publishes it again, under the same ids.
    """
    if core.bus is None or core.stopping():
        return 0
    now = core.now()
    rows = await core.store.transaction(lambda tx: tx.bus.claim(now, now + _LEASE, _BATCH))
    if not rows:
        return 0
    published, failed, left = await _publish(core, core.bus, rows)

    def note(tx: Transaction) -> None:
        for row in published:
            tx.bus.published(row.id, now, attempts=row.attempts)
        for row in failed:
            wait = min(SECOND << min(row.attempts, 12), _LONGEST_WAIT)
            tx.bus.failed(row.id, now + wait, attempts=row.attempts)
        for row in left:
            tx.bus.failed(row.id, now, attempts=row.attempts)

    await core.store.transaction(note)
    return len(published)


async def _publish(
    core: Core, bus: Bus, rows: Sequence[OutboxRow]
) -> tuple[list[OutboxRow], list[OutboxRow], list[OutboxRow]]:
    """What the bus took, what it did not, and what there was no time for."""
    published: list[OutboxRow] = []
    failed: list[OutboxRow] = []
    stopped: set[str] = set()
    since = core.now()
    for number, row in enumerate(rows):
        if core.stopping() or not since <= core.now() < since + _LEASE:
            return published, failed, list(rows[number:])
        if row.customer_id in stopped:
            failed.append(row)
            continue
        try:
            await bus.publish([message_of(row)])
        except Unavailable as down:
            # It would not take the others either, and each would wait for its answer.
            core.telemetry.log("warning", "bus.unavailable", {"error": kind_of(down)})
            return published, [*failed, *rows[number:]], []
        except Exception as failure:  # noqa: BLE001 - what another version wrote may be unreadable here
            core.telemetry.log("error", "bus.not_published", {"topic": row.topic, "error": kind_of(failure)})
            failed.append(row)
            if row.customer_id:
                stopped.add(row.customer_id)
        else:
            published.append(row)
    return published, failed, []
