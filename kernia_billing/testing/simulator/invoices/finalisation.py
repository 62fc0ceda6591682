"""How long a draft waits for those who are told of it before it is finalised by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World

WAIT_SECONDS = 3_600
MOST_SECONDS = 72 * 3_600


def waits_until(world: World, invoice: Json) -> int | None:
    """When to look again whether a draft may be finalised; None when it may now.

    Stripe, "Webhooks and invoices": an invoice is finalised an hour after every endpoint has taken its
    `invoice.created`, or 72 hours after that was first sent. Only with `settings.finalisation_waits_for_webhooks`.
    """
    if not world.settings.finalisation_waits_for_webhooks:
        return None
    now, told = world.clock.seconds(), invoice["webhooks_delivered_at"]
    last: int = invoice["created"] + MOST_SECONDS
    ready = min(last, now + WAIT_SECONDS if told is None else int(told) + WAIT_SECONDS)
    return ready if ready > now else None
