"""Everything that is due, once."""

from __future__ import annotations

from collections.abc import Mapping

from . import inbox, outbox
from .core import Core


async def run(core: Core) -> Mapping[str, int]:
    """Work on the webhooks that wait and hand over the events that wait; says how many of each.

    Safe on every replica at once, and to be called from cron, a task queue or a loop.
    """
    webhooks = await inbox.retry_due(core) if core.stripe is not None else 0
    return {"webhooks": webhooks, "events": await outbox.dispatch(core)}
