"""Webhook endpoints as objects. The receiver that a simulator delivers to is attached in Python, not by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import fields, lists
from .errors import Json, invalid
from .rendering import VERSIONS
from .router import Call, Route

if TYPE_CHECKING:
    from .world import World

MOST = 16


def _create(world: World, call: Call) -> Json:
    params = call.params
    version = params.get("api_version")
    if version is not None and version not in VERSIONS:
        raise invalid(f"Invalid API version: {version}", "api_version")
    if len(world.table("webhook_endpoint")) >= MOST:
        raise invalid(f"You have reached the maximum of {MOST} test webhook endpoints.")
    stored: Json = {
        "id": world.ids.new("we"),
        "object": "webhook_endpoint",
        "api_version": version,
        "application": None,
        "created": world.clock.seconds(),
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
    }
    world.table("webhook_endpoint").add(stored)
    return {**stored, "secret": f"whsec_{world.ids.letters(32)}"}  # shown this once only


def _list(world: World, call: Call) -> Json:
    return lists.page(world.table("webhook_endpoint"), call, kind="webhook endpoint")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("webhook_endpoint").get(call.ids[0], in_path=True)


ROUTES = (
    Route(
        "POST",
        "/v1/webhook_endpoints",
        _create,
        {
            "api_version": fields.text,
            "description": fields.text_up_to(500),
            "enabled_events": fields.list_of(fields.text),
            "metadata": fields.metadata,
            "url": fields.url,
        },
        ("enabled_events", "url"),
    ),
    Route("GET", "/v1/webhook_endpoints", _list, lists=True),
    Route("GET", "/v1/webhook_endpoints/{id}", _retrieve),
)
