"""Webhook endpoints as objects. `targets` knows who serves them: a receiver in Python, or what listens at the URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..versions import VERSIONS
from ..world.errors import Json, invalid

if TYPE_CHECKING:
    from ..world.world import World

MOST = 16


def new(world: World, params: Json, *, secret: str | None = None) -> Json:
    """Add an endpoint; without a `secret` it gets one of its own.

    Raises:
        ApiError: there are too many, or the API version is unknown.
    """
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
        "_secret": secret or f"whsec_{world.ids.letters(32)}",
    }
    world.table("webhook_endpoint").add(stored)
    return stored


def _create(world: World, call: Call) -> Json:
    stored = new(world, call.params)
    return {**stored, "secret": stored["_secret"]}  # shown this once only


def _update(world: World, call: Call) -> Json:
    stored, params = world.table("webhook_endpoint").get(call.ids[0], in_path=True), call.params
    stored |= {
        "description": params.get("description", stored["description"]) or None,
        "enabled_events": params.get("enabled_events", stored["enabled_events"]),
        "metadata": fields.merge_metadata(stored["metadata"], params.get("metadata")),
        "url": params.get("url", stored["url"]),
    }
    if "disabled" in params:
        stored["status"] = "disabled" if params["disabled"] else "enabled"
    return stored


def _delete(world: World, call: Call) -> Json:
    stored = world.table("webhook_endpoint").get(call.ids[0], in_path=True)
    del world.table("webhook_endpoint").rows[stored["id"]]
    return {"id": stored["id"], "object": "webhook_endpoint", "deleted": True}


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
    Route(
        "POST",
        "/v1/webhook_endpoints/{id}",
        _update,
        {
            "description": fields.clearable(fields.text_up_to(500)),
            "disabled": fields.boolean,
            "enabled_events": fields.list_of(fields.text),
            "metadata": fields.metadata,
            "url": fields.url,
        },
    ),
    Route("DELETE", "/v1/webhook_endpoints/{id}", _delete),
)
