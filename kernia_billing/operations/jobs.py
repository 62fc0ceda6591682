"""Everything that is due, once."""

from __future__ import annotations

from collections.abc import Mapping

from . import inbox, outbox, traces
from .core import Core


async def run(core: Core) -> Mapping[str, int]:
    """Work on the webhooks that wait and hand over the events that wait; says how many of each.

    Safe on every replica at once, and to be called from cron, a task queue or a loop.
    """
    core = core.in_background()
    webhooks = 0
    if core.stripe is not None:
        with traces.job(core, "webhooks"):
            webhooks = await inbox.retry_due(core)
    with traces.job(core, "events"):
        events = await outbox.dispatch(core)
    return {"webhooks": webhooks, "events": events}
