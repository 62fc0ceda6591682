"""Deleting a customer: its subscriptions and schedules end at once, and the id stays known as deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import lists
from ..api.router import Call, Route
from ..api.search import remember
from ..customers import customers
from ..invoices import invoices
from ..world.errors import Json
from ..world.events import emit
from . import subscriptions

if TYPE_CHECKING:
    from ..world.world import World


def _delete(world: World, call: Call) -> Json:
    return delete(world, customers.live(world, call.ids[0], "id", in_path=True))


def delete(world: World, customer: Json) -> Json:
    """End what a customer subscribes to, delete it, and emit `customer.deleted`; answers what is left of it.

    Stripe says that subscriptions are cancelled. That nothing is begun, finalised or collected by itself afterwards
    follows here.
    """
    for subscription in subscriptions.live_of(world, customer["id"]):
        subscriptions.cancel(world, subscription)
    for schedule in lists.filtered(world.table("subscription_schedule"), customer=customer["id"], status="not_started"):
        schedule |= {"status": "canceled", "canceled_at": world.clock.seconds()}
        emit(world, "subscription_schedule.canceled", schedule)
    for invoice in lists.filtered(world.table("invoice"), customer=customer["id"]):
        if invoice["status"] in ("draft", "open"):
            invoices.stop(invoice)
    emit(world, "customer.deleted", customer)
    gone: Json = {"id": customer["id"], "object": "customer", "deleted": True}
    world.table("customer").rows[customer["id"]] = gone
    remember(world, gone)
    return gone


ROUTES = (Route("DELETE", "/v1/customers/{id}", _delete),)
