"""Looking at the event bus: what waits to get there, and what waits there for this library."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.instants import DAY, SECOND, Instant, to_iso_ms
from ..domain.reports import Finding
from ..errors import Unavailable
from ..ports.bus import Bus
from .core import Core
from .incoming import GROUP

CHECK = "bus.waiting"
_PATIENCE = DAY
"""So long something may wait, as everything else that waits for a worker."""


async def look_at(core: Core, bus: Bus, shown: int) -> Sequence[Finding]:
    """What has waited for more than a day, with the topic and the id of `shown` of it at most.

    Raises:
        Unavailable: the database does not answer.
    """
    return [*await _unpublished(core, shown), *await _untaken(core, bus)]


async def _unpublished(core: Core, shown: int) -> Sequence[Finding]:
    until = core.now() - _PATIENCE - 1
    (number, since), rows = await core.store.read(lambda tx: (tx.bus.lag(until), tx.bus.waiting(until, shown)))
    if since is None:
        return ()
    title = "events that the bus did not take for more than a day, and with them every later one of their customer"
    return [_finding(title, number, since, [f"{row.topic} {row.id}" for row in rows])]


async def _untaken(core: Core, bus: Bus) -> Sequence[Finding]:
    try:
        firsts = await bus.waiting(GROUP)
    except Unavailable:
        return [Finding(CHECK, "the event bus answers", "warning", "it does not answer", 1)]
    late = [each for each in firsts if each.seconds * SECOND > _PATIENCE]
    if not late:
        return ()
    title = "messages that `jobs.run()` did not take for more than a day, and with them every later one of their lane"
    since = core.now() - int(max(each.seconds for each in late) * SECOND)
    return [_finding(title, len(late), since, [f"{each.message.topic} {each.message.id}" for each in late])]


def _finding(title: str, number: int, since: Instant, ids: Sequence[str]) -> Finding:
    return Finding(CHECK, title, "error", f"{number} found, the oldest since {to_iso_ms(since)}", number, tuple(ids))
