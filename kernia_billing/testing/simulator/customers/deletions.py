"""Deleting a customer: its subscriptions end at once, and the id stays known as deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.router import Call, Route
from ..api.search import remember
from ..subscriptions import subscriptions
from ..world.errors import Json
from ..world.events import emit
from . import customers

if TYPE_CHECKING:
    from ..world.world import World


def _delete(world: World, call: Call) -> Json:
    return delete(world, customers.live(world, call.ids[0], "id", in_path=True))


def delete(world: World, customer: Json) -> Json:
    """End a customer's subscriptions, delete it, and emit `customer.deleted`; answers what is left of it."""
    for subscription in subscriptions.live_of(world, customer["id"]):
        subscriptions.cancel(world, subscription)
    emit(world, "customer.deleted", customer)
    gone: Json = {"id": customer["id"], "object": "customer", "deleted": True}
    world.table("customer").rows[customer["id"]] = gone
    remember(world, gone)
    return gone


ROUTES = (Route("DELETE", "/v1/customers/{id}", _delete),)
