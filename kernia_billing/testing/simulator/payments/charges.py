"""Charges: the movements of money behind payment intents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, SimulatorError, invalid
from ..world.events import updating

if TYPE_CHECKING:
    from ..world.world import World


def of_intent(world: World, intent: Json, param: str) -> Json:
    """The charge by which a payment intent was paid.

    Raises:
        ApiError: it was not.
    """
    if intent["status"] != "succeeded":
        raise invalid(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", param)
    return world.table("charge").get(intent["latest_charge"])


def newest_of_customer(world: World, customer: str) -> Json:
    """The newest payment of a customer that went through and was neither disputed nor given back.

    Raises:
        SimulatorError: there is none.
    """
    for charge in lists.filtered(world.table("charge"), customer=customer, status="succeeded", disputed=False):
        if not charge["refunded"]:
            return charge
    raise SimulatorError(f"customer {customer} has no payment that could be refunded or disputed")


def invoice_of(world: World, charge: Json) -> Json | None:
    """The invoice that a charge paid, if it paid one."""
    for payment in world.table("invoice_payment"):
        if payment["payment"]["payment_intent"] == charge["payment_intent"]:
            return world.table("invoice").get(payment["invoice"])
    return None


def _update(world: World, call: Call) -> Json:
    charge = world.table("charge").get(call.ids[0], in_path=True)
    metadata = fields.merge_metadata(charge["metadata"], call.params.get("metadata"))
    with updating(world, charge, "charge.updated"):
        charge["metadata"] = metadata
        if "description" in call.params:
            charge["description"] = call.params["description"] or None
    return charge


def _list(world: World, call: Call) -> Json:
    params = call.params
    for name, table in (("customer", "customer"), ("payment_intent", "payment_intent")):
        if name in params:
            world.table(table).get(params[name], name)
    found = lists.filtered(
        world.table("charge"), customer=params.get("customer"), payment_intent=params.get("payment_intent")
    )
    return lists.page(lists.created_in(found, params), call, kind="charge")


ROUTES = (
    Route(
        "GET",
        "/v1/charges",
        _list,
        {"created": fields.range_of_time, "customer": fields.text, "payment_intent": fields.text},
        lists=True,
    ),
    Route(
        "POST",
        "/v1/charges/{id}",
        _update,
        {"description": fields.clearable(fields.text), "metadata": fields.metadata},
    ),
)
