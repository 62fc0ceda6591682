"""Meters: how usage is told, and how it becomes one number per customer and billing period.

A meter never changes but for its display name. Source: Stripe, "Meter" and "Configure a meter".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid
from ..world.events import emit, updating

if TYPE_CHECKING:
    from ..world.world import World

CUSTOMER_KEY = "stripe_customer_id"
VALUE_KEY = "value"

_MAPPING = fields.fields(
    required=("event_payload_key", "type"), event_payload_key=fields.text_up_to(100), type=fields.one_of("by_id")
)


def new(
    world: World,
    event_name: str,
    *,
    formula: str = "sum",
    display_name: str | None = None,
    window: str | None = None,
    customer_key: str = CUSTOMER_KEY,
    value_key: str = VALUE_KEY,
) -> Json:
    """Make a meter of that event name and emit `billing.meter.created`; `formula` is sum, count or last."""
    now = world.clock.seconds()
    meter: Json = {
        "id": world.ids.new("mtr"),
        "object": "billing.meter",
        "created": now,
        "customer_mapping": {"event_payload_key": customer_key, "type": "by_id"},
        "default_aggregation": {"formula": formula},
        "display_name": display_name or event_name,
        "event_name": event_name,
        "event_time_window": window,
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": now,
        "value_settings": {"event_payload_key": value_key},
    }
    world.table("billing.meter").add(meter)
    emit(world, "billing.meter.created", meter)
    return meter


def of_event(world: World, event_name: str) -> Json | None:
    """The meter that events of that name go to: the active one, else the newest that was deactivated."""
    named = [meter for meter in world.table("billing.meter") if meter["event_name"] == event_name]
    return next((meter for meter in named if meter["status"] == "active"), named[0] if named else None)


def ensure(world: World, event_name: str) -> Json:
    """The active meter of that event name, made with sums if there is none."""
    found = of_event(world, event_name)
    return found if found is not None and found["status"] == "active" else new(world, event_name)


def _create(world: World, call: Call) -> Json:
    params = call.params
    name = params["event_name"]
    _check_free(world, name)
    return new(
        world,
        name,
        formula=params["default_aggregation"]["formula"],
        display_name=params["display_name"],
        window=params.get("event_time_window"),
        customer_key=params.get("customer_mapping", {}).get("event_payload_key", CUSTOMER_KEY),
        value_key=params.get("value_settings", {}).get("event_payload_key", VALUE_KEY),
    )


def _check_free(world: World, event_name: str) -> None:
    found = of_event(world, event_name)
    if found is not None and found["status"] == "active":
        raise invalid(f"An active meter (`{found['id']}`) already uses the event name {event_name}.", "event_name")


def _update(world: World, call: Call) -> Json:
    meter = world.table("billing.meter").get(call.ids[0], in_path=True)
    if "display_name" in call.params:
        with updating(world, meter, "billing.meter.updated"):
            meter |= {"display_name": call.params["display_name"], "updated": world.clock.seconds()}
    return meter


def _deactivate(world: World, call: Call) -> Json:
    meter = world.table("billing.meter").get(call.ids[0], in_path=True)
    if meter["status"] == "inactive":
        raise invalid("This meter is already inactive.")
    now = world.clock.seconds()
    meter |= {"status": "inactive", "status_transitions": {"deactivated_at": now}, "updated": now}
    emit(world, "billing.meter.deactivated", meter)
    return meter


def _reactivate(world: World, call: Call) -> Json:
    meter = world.table("billing.meter").get(call.ids[0], in_path=True)
    if meter["status"] == "active":
        raise invalid("This meter is already active.")
    _check_free(world, meter["event_name"])
    now = world.clock.seconds()
    meter |= {"status": "active", "status_transitions": {"deactivated_at": None}, "updated": now}
    emit(world, "billing.meter.reactivated", meter)
    return meter


def _retrieve(world: World, call: Call) -> Json:
    return world.table("billing.meter").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    found = lists.filtered(world.table("billing.meter"), status=call.params.get("status"))
    return lists.page(found, call, kind="meter")


ROUTES = (
    Route(
        "POST",
        "/v1/billing/meters",
        _create,
        {
            "customer_mapping": _MAPPING,
            "default_aggregation": fields.fields(required=("formula",), formula=fields.one_of("count", "last", "sum")),
            "display_name": fields.text_up_to(250),
            "event_name": fields.text_up_to(100),
            "event_time_window": fields.one_of("day", "hour"),
            "value_settings": fields.fields(required=("event_payload_key",), event_payload_key=fields.text_up_to(100)),
        },
        ("default_aggregation", "display_name", "event_name"),
    ),
    Route("GET", "/v1/billing/meters", _list, {"status": fields.one_of("active", "inactive")}, lists=True),
    Route("GET", "/v1/billing/meters/{id}", _retrieve),
    Route("POST", "/v1/billing/meters/{id}", _update, {"display_name": fields.text_up_to(250)}),
    Route("POST", "/v1/billing/meters/{id}/deactivate", _deactivate),
    Route("POST", "/v1/billing/meters/{id}/reactivate", _reactivate),
)
