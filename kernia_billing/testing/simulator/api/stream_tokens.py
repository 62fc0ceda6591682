"""The stream of meter events has keys of its own: tokens that a session gives out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..world.errors import ApiError

if TYPE_CHECKING:
    from ..world.world import World

STREAM_PATH = "/v2/billing/meter_event_stream"
"""The one path that takes tokens."""


def check_token(world: World, token: str) -> None:
    """Refuse a token that no session gave out, or whose session is over.

    Raises:
        ApiError: it is such a token.
    """
    until = world.stream_tokens.get(token)
    if until is None:
        raise ApiError("Invalid meter event session token provided.", status=401)
    if world.account_clock.seconds() >= until:
        raise ApiError(
            "The meter event session has expired.",
            type="temporary_session_expired",
            code="billing_meter_event_session_expired",
        )
