"""Meter events: taken at once, counted later, and refused as late as that.

An answer of 200 says that the event was received. What it is worth is found out when it is counted, `meter_delay`
seconds later; what is wrong with it is told by an error report (`meter_reports`), not by the answer. Source: Stripe,
"Record usage for billing with the API".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from ..api import fields
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid
from ..world.usage_book import UNIQUE_SECONDS, UsageEvent
from . import meter_reports, meters

if TYPE_CHECKING:
    from ..world.world import RepeatedUsage, World

PAST_SECONDS = 35 * 86_400
AHEAD_SECONDS = 300
_MOST_DIGITS = 15
"""Whole numbers of more digits are not exact in the floats of event summaries."""


@frozen
class Fault:
    """Why an event cannot be counted: a code of Stripe's error reports, and a text."""

    code: str
    message: str


@frozen
class _Fit:
    meter: Json
    customer: str
    value: int


def payload(raw: Any, at: str) -> dict[str, str]:
    """A map of texts."""
    if not isinstance(raw, Mapping) or not raw:
        raise invalid(f"Invalid object: {at} must be a map of strings", at)
    given = cast("Mapping[str, Any]", raw)
    return {key: fields.text_up_to(100)(value, f"{at}[{key}]") for key, value in given.items()}


def receive(world: World, params: Json, timestamp: int) -> UsageEvent:
    """Take an event that is to be counted later.

    One whose identifier was used in the last 24 hours is answered as the settings say, and not counted.

    Raises:
        ApiError: 400, for such an identifier.
    """
    identifier = params.get("identifier") or world.ids.letters(32)
    event = UsageEvent(
        event_name=params["event_name"],
        identifier=identifier,
        payload=params["payload"],
        timestamp=timestamp,
        received_at=world.clock.seconds(),
        request=world.events.cause.idempotency_key or identifier,
    )
    if is_duplicate(world, identifier):
        refusal = _DUPLICATE[world.settings.repeated_usage]
        if refusal is None:
            return event
        raise invalid(refusal.message.format(identifier), refusal.param, refusal.code)
    world.usage.add(event)
    world.agenda.add(event.received_at + world.settings.meter_delay, count, event.place)
    return event


@frozen
class _Refusal:
    message: str
    param: str | None = None
    code: str | None = None


_DUPLICATE: Mapping[RepeatedUsage, _Refusal | None] = {
    "refused": _Refusal("An event already exists with identifier {}."),
    "refused_by_code": _Refusal("This was submitted before.", code="duplicate_meter_event"),
    "refused_by_param": _Refusal("This was submitted before.", param="identifier"),
    "refused_otherwise": _Refusal("The identifier {} is taken."),
    "dropped": None,
}


def is_duplicate(world: World, identifier: str) -> bool:
    """Whether an event of that identifier was received in the last 24 hours."""
    known = world.usage.known(identifier)
    return known is not None and world.clock.seconds() < known.received_at + UNIQUE_SECONDS


def count(world: World, place: str) -> None:
    """Count an event, or put what is wrong with it into the next error report."""
    event = world.usage.at(place)
    if event.canceled:
        return
    found = examine(world, event)
    if isinstance(found, Fault):
        meter = meters.of_event(world, event.event_name)
        meter_reports.note(world, meter, found.code, found.message, event.request)
    else:
        world.usage.count(event, found.meter["id"], found.customer, found.value)


def examine(world: World, event: UsageEvent) -> _Fit | Fault:
    """What an event counts for, or why it cannot be counted."""
    meter = meters.of_event(world, event.event_name)
    if meter is None:
        return Fault("no_meter", f"No meter found with event name {event.event_name}.")
    if meter["status"] != "active":
        return Fault("archived_meter", f"The meter {meter['id']} is not active.")
    late = fault_of_time(event.timestamp, event.received_at)
    if late is not None:
        return late
    key = meter["customer_mapping"]["event_payload_key"]
    customer = event.payload.get(key)
    if customer is None:
        return Fault("meter_event_no_customer_defined", f"Customer mapping key {key} not found in payload.")
    if world.table("customer").rows.get(customer, {"deleted": True}).get("deleted"):
        return Fault("meter_event_customer_not_found", f"No customer found with id {customer}.")
    return _valued(meter, customer, event)


def fault_of_time(timestamp: int, received_at: int) -> Fault | None:
    """What is wrong with the time of an event: at most 35 days ago, at most 5 minutes ahead."""
    if timestamp < received_at - PAST_SECONDS:
        return Fault("timestamp_too_far_in_past", "The timestamp must be within the past 35 calendar days.")
    if timestamp > received_at + AHEAD_SECONDS:
        return Fault("timestamp_in_future", "The timestamp must be at most 5 minutes in the future.")
    return None


def _valued(meter: Json, customer: str, event: UsageEvent) -> _Fit | Fault:
    if meter["default_aggregation"]["formula"] == "count":
        return _Fit(meter, customer, 1)
    key = meter["value_settings"]["event_payload_key"]
    value = event.payload.get(key, "")
    if not re.fullmatch(r"-?[0-9]+", value):
        return Fault("meter_event_invalid_value", f"The value of {key} must be a whole number.")
    if len(value.lstrip("-").lstrip("0")) > _MOST_DIGITS:
        return Fault("meter_event_value_too_many_digits", f"The value of {key} has too many digits.")
    return _Fit(meter, customer, int(value))


def _create(world: World, call: Call) -> Json:
    now = world.clock.seconds()
    timestamp: int = call.params.get("timestamp", now)
    late = fault_of_time(timestamp, now)
    if late is not None:
        raise ApiError(late.message, code=late.code, param="timestamp")
    event = receive(world, call.params, timestamp)
    return {
        "object": "billing.meter_event",
        "created": event.received_at,
        "event_name": event.event_name,
        "identifier": event.identifier,
        "livemode": False,
        "payload": dict(event.payload),
        "timestamp": event.timestamp,
    }


EVENT_FIELDS: dict[str, fields.Reader] = {
    "event_name": fields.text_up_to(100),
    "identifier": fields.text_up_to(100),
    "payload": payload,
}

ROUTES = (
    Route(
        "POST",
        "/v1/billing/meter_events",
        _create,
        {**EVENT_FIELDS, "timestamp": fields.timestamp},
        ("event_name", "payload"),
    ),
)
