"""Event destinations: where the v2 API lets events be sent, whole or thin. Only webhook endpoints are modelled.

The signing secret is shown once, when it is asked for at the creation; the URL is shown where it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, paging
from ..api.router import Call, Route
from ..versions import VERSIONS
from ..world.errors import Json, invalid, not_modelled
from . import thin

if TYPE_CHECKING:
    from ..world.world import World

MOST = 16
_SECRET, _URL = "webhook_endpoint.signing_secret", "webhook_endpoint.url"
_ENDPOINT = fields.fields(required=("url",), url=fields.url)
_EVENTS = fields.list_of(fields.text)


def _create(world: World, call: Call) -> Json:
    params = call.params
    if params["type"] != "webhook_endpoint":
        raise not_modelled(f"event destinations of type {params['type']}", "type")
    if params.get("events_from", ["@self"]) not in (["@self"], ["self"]):
        raise not_modelled("events of other accounts", "events_from")
    if "webhook_endpoint" not in params:
        raise invalid("Missing required param: webhook_endpoint.", "webhook_endpoint", "parameter_missing")
    version = _version(params)
    _check_types(params["enabled_events"], thin_ones=params["event_payload"] == "thin")
    if len(world.table("v2.core.event_destination")) >= MOST:
        raise invalid(f"You have reached the maximum of {MOST} event destinations.")
    now = thin.iso(world.account_clock.seconds())
    stored: Json = {
        "id": world.ids.new("ed_test"),
        "object": "v2.core.event_destination",
        "amazon_eventbridge": None,
        "azure_event_grid": None,
        "created": now,
        "description": params.get("description", ""),
        "enabled_events": params["enabled_events"],
        "event_payload": params["event_payload"],
        "events_from": ["@self"],
        "livemode": False,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "name": params["name"],
        "snapshot_api_version": version,
        "status": "enabled",
        "status_details": None,
        "type": "webhook_endpoint",
        "updated": now,
        "webhook_endpoint": {"signing_secret": None, "url": None},
        "_secret": f"whsec_{world.ids.letters(32)}",
        "_url": params["webhook_endpoint"]["url"],
    }
    world.table("v2.core.event_destination").add(stored)
    return _shown(stored, call)


def _version(params: Json) -> str | None:
    version: str | None = params.get("snapshot_api_version")
    if params["event_payload"] == "thin":
        if version is not None:
            raise invalid("Thin events have no `snapshot_api_version`.", "snapshot_api_version")
    elif version is None:
        raise invalid("Missing required param: snapshot_api_version.", "snapshot_api_version", "parameter_missing")
    elif version not in VERSIONS:
        raise invalid(f"Invalid API version: {version}", "snapshot_api_version")
    return version


def _check_types(types: list[str], *, thin_ones: bool) -> None:
    """Thin types begin with the version of their API, snapshot types do not."""
    for index, type in enumerate(types):
        if type != "*" and type.startswith(("v1.", "v2.")) is not thin_ones:
            kind = "thin" if thin_ones else "snapshot"
            raise invalid(f"{type} is no type of {kind} events.", f"enabled_events[{index}]")
    if not types:
        raise invalid("You must enable at least one event type.", "enabled_events")


def _update(world: World, call: Call) -> Json:
    stored, params = _own(world, call), call.params
    if "enabled_events" in params:
        _check_types(params["enabled_events"], thin_ones=stored["event_payload"] == "thin")
    metadata = fields.merge_metadata(stored["metadata"], params.get("metadata"))
    stored |= {name: params[name] for name in ("description", "enabled_events", "name") if name in params}
    stored |= {"metadata": metadata, "updated": thin.iso(world.account_clock.seconds())}
    if "webhook_endpoint" in params:
        stored["_url"] = params["webhook_endpoint"]["url"]
    return _shown(stored, call)


def _disable(world: World, call: Call) -> Json:
    return _switch(world, call, "disabled", {"disabled": {"reason": "user"}})


def _enable(world: World, call: Call) -> Json:
    return _switch(world, call, "enabled", None)


def _switch(world: World, call: Call, status: str, details: Json | None) -> Json:
    stored = _own(world, call)
    now = thin.iso(world.account_clock.seconds())
    stored |= {"status": status, "status_details": details, "updated": now}
    return _shown(stored, call)


def _retrieve(world: World, call: Call) -> Json:
    return _shown(_own(world, call), call)


def _delete(world: World, call: Call) -> Json:
    stored = _own(world, call)
    del world.table("v2.core.event_destination").rows[stored["id"]]
    return {"id": stored["id"], "object": "v2.core.event_destination"}


def _list(world: World, call: Call) -> Json:
    found = [_shown(stored, call) for stored in world.table("v2.core.event_destination")]
    return paging.page(found, call)


def _own(world: World, call: Call) -> Json:
    return world.table("v2.core.event_destination").get(call.ids[0], in_path=True)


def _shown(stored: Json, call: Call) -> Json:
    asked = call.params.get("include", ())
    endpoint = {
        "signing_secret": stored["_secret"] if _SECRET in asked else None,
        "url": stored["_url"] if _URL in asked else None,
    }
    return {**stored, "webhook_endpoint": endpoint}


_INCLUDE = {"include": fields.list_of(fields.one_of(_SECRET, _URL))}
_COMMON: dict[str, fields.Reader] = {
    "description": fields.text_up_to(500),
    "enabled_events": _EVENTS,
    "metadata": fields.metadata,
    "name": fields.text_up_to(255),
    "webhook_endpoint": _ENDPOINT,
    **_INCLUDE,
}

ROUTES = (
    Route(
        "POST",
        "/v2/core/event_destinations",
        _create,
        {
            **_COMMON,
            "event_payload": fields.one_of("snapshot", "thin"),
            "events_from": fields.list_of(fields.text),
            "snapshot_api_version": fields.text,
            "type": fields.one_of("amazon_eventbridge", "azure_event_grid", "webhook_endpoint"),
        },
        ("enabled_events", "event_payload", "name", "type"),
    ),
    Route("GET", "/v2/core/event_destinations", _list, {**paging.PARAMS, **_INCLUDE}),
    Route("GET", "/v2/core/event_destinations/{id}", _retrieve, _INCLUDE),
    Route("POST", "/v2/core/event_destinations/{id}", _update, _COMMON),
    Route("DELETE", "/v2/core/event_destinations/{id}", _delete),
    Route("POST", "/v2/core/event_destinations/{id}/disable", _disable),
    Route("POST", "/v2/core/event_destinations/{id}/enable", _enable),
)
