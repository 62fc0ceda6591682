"""Reading thin events: one by its id, or those of the last 30 days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, paging
from ..api.router import Call, Route
from ..world.errors import Json, missing
from . import thin

if TYPE_CHECKING:
    from ..world.world import World

_MOMENT = fields.fields(gt=fields.text, gte=fields.text, lt=fields.text, lte=fields.text)


def _retrieve(world: World, call: Call) -> Json:
    event = thin.find(world, call.ids[0])
    if event is None:
        raise missing("event", call.ids[0], in_path=True)
    return event


def _list(world: World, call: Call) -> Json:
    params = call.params
    bounds = {name: thin.seconds(text, f"created[{name}]") for name, text in params.get("created", {}).items()}
    found = [
        event
        for event in thin.log(world)
        if ("types" not in params or event["type"] in params["types"])
        and ("object_id" not in params or event.get("related_object", {}).get("id") == params["object_id"])
        and fields.in_range(thin.seconds(event["created"], "created"), bounds)
    ]
    return paging.page(found, call)


ROUTES = (
    Route("GET", "/v2/core/events/{id}", _retrieve),
    Route(
        "GET",
        "/v2/core/events",
        _list,
        {
            **paging.PARAMS,
            "created": _MOMENT,
            "object_id": fields.text,
            "types": fields.list_of(fields.text, 20),
        },
    ),
)
