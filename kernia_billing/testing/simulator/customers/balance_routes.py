"""The entries of a customer's balance, as the API makes and shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid
from . import balance, customers

if TYPE_CHECKING:
    from ..world.world import World


def _create(world: World, call: Call) -> Json:
    customer = customers.live(world, call.ids[0], "id", in_path=True)
    params = call.params
    customers.settle_currency(customer, params["currency"], "currency")
    more = {
        "description": params.get("description") or None,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
    }
    return balance.move(world, customer["id"], params["amount"], "adjustment", params["currency"], **more)


def _update(world: World, call: Call) -> Json:
    entry = _own(world, call)
    metadata = fields.merge_metadata(entry["metadata"], call.params.get("metadata"))
    if "description" in call.params:
        entry["description"] = call.params["description"] or None
    entry["metadata"] = metadata
    return entry


def _own(world: World, call: Call) -> Json:
    customers.live(world, call.ids[0], "id", in_path=True)
    entry = world.table("customer_balance_transaction").get(call.ids[1], "transaction", in_path=True)
    if entry["customer"] != call.ids[0]:
        raise invalid(f"The transaction {call.ids[1]} does not belong to the customer {call.ids[0]}.", "transaction")
    return entry


def _list(world: World, call: Call) -> Json:
    customers.live(world, call.ids[0], "id", in_path=True)
    found = lists.filtered(
        world.table("customer_balance_transaction"), customer=call.ids[0], invoice=call.params.get("invoice")
    )
    return lists.page(lists.created_in(found, call.params), call, kind="customer balance transaction")


_AMOUNT = fields.integer(-99_999_999, 99_999_999)
_NOTES: dict[str, fields.Reader] = {
    "description": fields.clearable(fields.text_up_to(350)),
    "metadata": fields.metadata,
}

ROUTES = (
    Route(
        "POST",
        "/v1/customers/{id}/balance_transactions",
        _create,
        {"amount": _AMOUNT, "currency": fields.currency, **_NOTES},
        ("amount", "currency"),
    ),
    Route(
        "GET",
        "/v1/customers/{id}/balance_transactions",
        _list,
        {"created": fields.range_of_time, "invoice": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/customers/{id}/balance_transactions/{id}", _own),
    Route("POST", "/v1/customers/{id}/balance_transactions/{id}", _update, _NOTES),
)
