"""Meter events of the v2 API: checked at once, counted later as those of v1 are.

Source: Stripe, "Create a meter event v2": events are validated synchronously, but are processed asynchronously.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..webhooks import thin
from ..world.errors import ApiError, Json
from ..world.usage_book import UsageEvent
from . import meter_adjustments, meter_events
from .meter_events import EVENT_FIELDS, Fault

if TYPE_CHECKING:
    from ..world.world import World


_FIELDS: dict[str, fields.Reader] = {**EVENT_FIELDS, "timestamp": fields.text}


def _create(world: World, call: Call) -> Json:
    timestamp = _timestamp(world, call.params, "timestamp")
    candidate = UsageEvent(
        event_name=call.params["event_name"],
        identifier=call.params.get("identifier", ""),
        payload=call.params["payload"],
        timestamp=timestamp,
        received_at=world.clock.seconds(),
        request="",
    )
    if meter_events.is_duplicate(world, candidate.identifier):
        message = "A meter event with a duplicate identifier has already been submitted."
        raise ApiError(message, code="duplicate_meter_event")
    found = meter_events.examine(world, candidate)
    if isinstance(found, Fault):
        raise ApiError(found.message, code=found.code)
    event = meter_events.receive(world, call.params, timestamp)
    return {
        "object": "v2.billing.meter_event",
        "created": thin.iso(event.received_at),
        "event_name": event.event_name,
        "identifier": event.identifier,
        "livemode": False,
        "payload": dict(event.payload),
        "timestamp": thin.iso(event.timestamp),
    }


def _adjust(world: World, call: Call) -> Json:
    params = call.params
    meter_adjustments.request(world, params["event_name"], params["cancel"]["identifier"])
    return {
        "id": world.ids.new("mtr_event_adj"),
        "object": "v2.billing.meter_event_adjustment",
        "cancel": {"identifier": params["cancel"]["identifier"]},
        "created": thin.iso(world.clock.seconds()),
        "event_name": params["event_name"],
        "livemode": False,
        "status": "pending",
        "type": params["type"],
    }


def _timestamp(world: World, params: Json, at: str) -> int:
    return thin.seconds(params["timestamp"], at) if "timestamp" in params else world.clock.seconds()


ROUTES = (
    Route("POST", "/v2/billing/meter_events", _create, _FIELDS, ("event_name", "payload")),
    Route(
        "POST",
        "/v2/billing/meter_event_adjustments",
        _adjust,
        meter_adjustments.ADJUSTMENT_FIELDS,
        ("cancel", "event_name", "type"),
    ),
)
