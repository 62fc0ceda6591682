"""Reading events: one by its id, or those of the last 30 days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid, missing
from ..world.events import KEPT_SECONDS, shown

if TYPE_CHECKING:
    from ..world.world import World


def _live(world: World) -> list[Json]:
    since = world.account_clock.seconds() - KEPT_SECONDS
    return [event for event in reversed(world.events.log) if event["created"] >= since]


def _retrieve(world: World, call: Call) -> Json:
    for event in _live(world):
        if event["id"] == call.ids[0]:
            return _stored(world, event)
    raise missing("event", call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.", "types", "parameters_exclusive")
    types = set(params.get("types", [])) | ({params["type"]} if "type" in params else set[str]())
    delivered: bool | None = params.get("delivery_success")
    found = [
        event
        for event in _live(world)
        if (not types or any(_matches(event["type"], type) for type in types))
        and fields.in_range(event["created"], params.get("created"))
        and delivered in (None, event["pending_webhooks"] == 0)
    ]
    page = lists.page(found, call)
    return {**page, "data": [_stored(world, event) for event in page["data"]]}


def _stored(world: World, event: Json) -> Json:
    """An event as the API gives it: in the account's version of when it was emitted, whatever the request's is."""
    return shown(world, event, event["api_version"])


def _matches(type: str, wanted: str) -> bool:
    return type == wanted or (wanted.endswith("*") and type.startswith(wanted[:-1]))


ROUTES = (
    Route("GET", "/v1/events/{id}", _retrieve),
    Route(
        "GET",
        "/v1/events",
        _list,
        {
            "type": fields.text,
            "types": fields.list_of(fields.text, 20),
            "delivery_success": fields.boolean,
            "created": fields.range_of_time,
        },
        lists=True,
    ),
)
