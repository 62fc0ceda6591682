"""The tax ids of a customer, as the API makes and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid, missing
from ..world.events import emit
from . import customers, tax_ids

if TYPE_CHECKING:
    from ..world.world import World


def _create(world: World, call: Call) -> Json:
    customer = customers.live(world, call.ids[0], "id", in_path=True)
    tax_ids.check(call.params["type"], call.params["value"], "")
    if len(tax_ids.of_customer(world, customer["id"])) >= tax_ids.MOST:
        raise invalid(f"A customer can have at most {tax_ids.MOST} tax IDs.")
    return tax_ids.give(world, customer, call.params["type"], call.params["value"])


def _own(world: World, call: Call) -> Json:
    customers.live(world, call.ids[0], "id", in_path=True)
    found = world.table("tax_id").get(call.ids[1], in_path=True)
    if found["customer"] != call.ids[0]:
        raise missing("tax ID", call.ids[1], in_path=True)
    return found


def _delete(world: World, call: Call) -> Json:
    found = _own(world, call)
    emit(world, "customer.tax_id.deleted", found)
    del world.table("tax_id").rows[found["id"]]
    return {"id": found["id"], "object": "tax_id", "deleted": True}


def _list(world: World, call: Call) -> Json:
    customers.live(world, call.ids[0], "id", in_path=True)
    return lists.page(tax_ids.of_customer(world, call.ids[0]), call, kind="tax ID")


ROUTES = (
    Route(
        "POST",
        "/v1/customers/{id}/tax_ids",
        _create,
        {"type": fields.text, "value": fields.text_up_to(50)},
        ("type", "value"),
    ),
    Route("GET", "/v1/customers/{id}/tax_ids", _list, lists=True),
    Route("GET", "/v1/customers/{id}/tax_ids/{id}", _own),
    Route("DELETE", "/v1/customers/{id}/tax_ids/{id}", _delete),
)
