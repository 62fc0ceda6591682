"""Taking back a meter event within 24 hours of its being received; what it counted for goes when this is processed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid

if TYPE_CHECKING:
    from ..world.world import World

CANCEL_SECONDS = 24 * 3_600


def request(world: World, event_name: str, identifier: str) -> None:
    """Have an event taken back, `meter_delay` seconds from now.

    Raises:
        ApiError: no such event of that name, received too long ago, or taken back before.
    """
    event = world.usage.known(identifier)
    param = "cancel[identifier]"
    if event is None or event.event_name != event_name:
        message = f"No such meter event: '{identifier}' of {event_name}"
        raise ApiError(message, code="resource_missing", param=param)
    if world.clock.seconds() > event.received_at + CANCEL_SECONDS:
        raise invalid("You can only cancel events within 24 hours of Stripe receiving them.", param)
    if event.cancel_asked:
        raise invalid(f"The meter event {identifier} was canceled already.", param)
    event.cancel_asked = True
    world.agenda.add(world.clock.seconds() + world.settings.meter_delay, _cancel, event.place)


def _cancel(world: World, place: str) -> None:
    world.usage.at(place).canceled = True


def _create(world: World, call: Call) -> Json:
    params = call.params
    identifier: str = params["cancel"]["identifier"]
    request(world, params["event_name"], identifier)
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": params["event_name"],
        "livemode": False,
        "status": "pending",
        "type": params["type"],
    }


ADJUSTMENT_FIELDS: dict[str, fields.Reader] = {
    "cancel": fields.fields(required=("identifier",), identifier=fields.text_up_to(100)),
    "event_name": fields.text_up_to(100),
    "type": fields.one_of("cancel"),
}

ROUTES = (
    Route("POST", "/v1/billing/meter_event_adjustments", _create, ADJUSTMENT_FIELDS, ("cancel", "event_name", "type")),
)
