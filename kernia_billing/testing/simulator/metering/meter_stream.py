"""The stream of meter events: up to a hundred at a time, under a token that is good for 15 minutes, checked later.

Source: Stripe, "Meter event streams": events are processed asynchronously, including validation. A repeated identifier
is dropped without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..api.stream_tokens import STREAM_PATH
from ..webhooks import thin
from ..world.errors import Json
from . import meter_events

if TYPE_CHECKING:
    from ..world.world import World

SESSION_SECONDS = 15 * 60
MOST = 100

_EVENT = fields.fields(
    required=("event_name", "payload"),
    event_name=fields.text_up_to(100),
    identifier=fields.text_up_to(100),
    payload=meter_events.payload,
    timestamp=fields.text,
)


def _open(world: World, call: Call) -> Json:
    now = world.account_clock.seconds()
    token = f"mes_test_{world.ids.letters(40)}"
    world.stream_tokens[token] = now + SESSION_SECONDS
    return {
        "id": world.ids.new("mes_test"),
        "object": "v2.billing.meter_event_session",
        "authentication_token": token,
        "created": thin.iso(now),
        "expires_at": thin.iso(now + SESSION_SECONDS),
        "livemode": False,
    }


def _receive(world: World, call: Call) -> Json:
    now = world.clock.seconds()
    told: list[tuple[Json, int]] = []
    for index, given in enumerate(call.params["events"]):
        at = f"events[{index}][timestamp]"
        told.append((given, thin.seconds(given["timestamp"], at) if "timestamp" in given else now))
    for given, timestamp in told:
        if not meter_events.is_duplicate(world, given.get("identifier", "")):
            meter_events.receive(world, given, timestamp)
    return {}


ROUTES = (
    Route("POST", "/v2/billing/meter_event_session", _open),
    Route("POST", STREAM_PATH, _receive, {"events": fields.list_of(_EVENT, MOST)}, ("events",)),
)
