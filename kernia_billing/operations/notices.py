"""Events that Stripe sends as thin notifications only, and whose data has to be fetched."""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.reading import members, text
from ..domain.webhooks import InboxRow
from .core import Core

Facts = Mapping[str, object]


async def meter_errors(core: Core, row: InboxRow) -> Facts:
    """What Stripe could not count: fetched, for what was reported and for hooks.

    The data of an event says when and why, by code, with a few examples (Stripe, "Handle meter event errors").
    """
    told = members(await core.provider().request("GET", f"/v2/core/events/{row.event_id}"))
    data = members(told.get("data"))
    return {
        "meter": row.object_id or None,
        "summary": text(data.get("developer_message_summary")),
        "reason": dict(members(data.get("reason"))),
    }
