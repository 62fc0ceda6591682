"""Reading invoices, their lines and their payments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid
from ..world.rendering import includable
from . import invoices

if TYPE_CHECKING:
    from ..world.world import World


@includable("invoice", "payments")
def _payments(world: World, invoice: Json) -> Json:
    rows = [world.render(row) for row in world.table("invoice_payment") if row["invoice"] == invoice["id"]]
    return lists.embedded(rows, f"/v1/invoice_payments?invoice={invoice['id']}")


@includable("invoice", "confirmation_secret")
def _confirmation_secret(world: World, invoice: Json) -> Json | None:
    if invoice["status"] != "open":
        return None
    secret = invoices.intent_of(world, invoice)["client_secret"]
    return {"client_secret": secret, "type": "payment_intent"}


def _retrieve(world: World, call: Call) -> Json:
    return world.table("invoice").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    found = lists.filtered(
        world.table("invoice"),
        customer=params.get("customer"),
        status=params.get("status"),
        collection_method=params.get("collection_method"),
        _subscription=params.get("subscription"),
    )
    return lists.page(lists.created_in(found, params), call, kind="invoice")


def _lines(world: World, call: Call) -> Json:
    invoice = world.table("invoice").get(call.ids[0], in_path=True)
    return lists.page(invoice["lines"]["data"], call, kind="line item")


def _list_payments(world: World, call: Call) -> Json:
    params = call.params
    if "invoice" in params:
        world.table("invoice").get(params["invoice"], "invoice")
    if "payment" in params and "payment_intent" not in params["payment"]:
        at = "payment[payment_intent]"
        raise invalid(f"Missing required param: {at}.", at, "parameter_missing")
    found = lists.filtered(world.table("invoice_payment"), invoice=params.get("invoice"), status=params.get("status"))
    if "payment" in params:
        intent = params["payment"]["payment_intent"]
        world.table("payment_intent").get(intent, "payment[payment_intent]")
        found = [row for row in found if row["payment"].get("payment_intent") == intent]
    return lists.page(lists.created_in(found, params), call, kind="invoice payment")


def _retrieve_payment(world: World, call: Call) -> Json:
    return world.table("invoice_payment").get(call.ids[0], in_path=True)


ROUTES = (
    Route(
        "GET",
        "/v1/invoices",
        _list,
        {
            "collection_method": fields.one_of("charge_automatically", "send_invoice"),
            "created": fields.range_of_time,
            "customer": fields.text,
            "status": fields.one_of("draft", "open", "paid", "uncollectible", "void"),
            "subscription": fields.text,
        },
        lists=True,
    ),
    Route("GET", "/v1/invoices/{id}", _retrieve),
    Route("GET", "/v1/invoices/{id}/lines", _lines, lists=True),
    Route(
        "GET",
        "/v1/invoice_payments",
        _list_payments,
        {
            "created": fields.range_of_time,
            "invoice": fields.text,
            "payment": fields.fields(
                required=("type",), type=fields.one_of("payment_intent"), payment_intent=fields.text
            ),
            "status": fields.one_of("canceled", "open", "paid"),
        },
        lists=True,
    ),
    Route("GET", "/v1/invoice_payments/{id}", _retrieve_payment),
)
