"""Refunds of card payments, in full or in parts; money goes back at once and the bank's reference comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit, updating
from ..world.rendering import includable
from . import charges

if TYPE_CHECKING:
    from ..world.world import World


def refund(world: World, charge: Json, amount: int, *, reason: str | None = None, metadata: Json | None = None) -> Json:
    """Give `amount` minor units of a charge back, which `check` allowed.

    Emits, in the order seen in a real log of 2025, refund.created, charge.refunded, refund.updated (the bank's
    reference) and charge.refund.updated.
    """
    made = world.table("refund").add(_blank(world, charge, amount, reason, metadata or {}))
    emit(world, "refund.created", made)
    with updating(world, charge, "charge.refunded"):
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    before = world.render(made)
    made["destination_details"]["card"] |= {"reference": world.ids.letters(16), "reference_status": "available"}
    previous = {"destination_details": before["destination_details"]}
    emit(world, "refund.updated", made, previous)
    emit(world, "charge.refund.updated", made, previous)
    return made


def check(charge: Json, amount: int | None, param: str = "amount") -> int:
    """How much of a charge a request gives back; None asks for all that is left.

    Raises:
        ApiError: the charge failed, was disputed, or has less left.
    """
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} did not succeed and cannot be refunded.", "charge")
    if charge["disputed"]:
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise ApiError(message, code="charge_disputed")
    if left == 0:
        raise ApiError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount is not None and amount > left:
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param)
    return left if amount is None else amount


@includable("charge", "refunds")
def _refunds(world: World, charge: Json) -> Json:
    shown = [world.render(row) for row in lists.filtered(world.table("refund"), charge=charge["id"])]
    return lists.embedded(shown, f"/v1/charges/{charge['id']}/refunds")


def _blank(world: World, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    return {
        "id": world.ids.new("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.clock.seconds(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {
                "reference": None,
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": dict(metadata),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }


def _create(world: World, call: Call) -> Json:
    params = call.params
    if ("charge" in params) == ("payment_intent" in params):
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    if "charge" in params:
        charge = world.table("charge").get(params["charge"], "charge")
    else:
        intent = world.table("payment_intent").get(params["payment_intent"], "payment_intent")
        charge = charges.of_intent(world, intent, "payment_intent")
    amount = check(charge, params.get("amount"))
    metadata = fields.merge_metadata({}, params.get("metadata"))
    return refund(world, charge, amount, reason=params.get("reason"), metadata=metadata)


def _update(world: World, call: Call) -> Json:
    found = world.table("refund").get(call.ids[0], in_path=True)
    metadata = fields.merge_metadata(found["metadata"], call.params.get("metadata"))
    with updating(world, found, "refund.updated"):
        found["metadata"] = metadata
    return found


def _cancel(world: World, call: Call) -> Json:
    found = world.table("refund").get(call.ids[0], in_path=True)
    raise invalid(f"Only refunds with the status requires_action can be canceled; this one is {found['status']}.")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("refund").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    names = ("charge", "payment_intent")
    found = lists.filtered(world.table("refund"), **{name: call.params.get(name) for name in names})
    return lists.page(lists.created_in(found, call.params), call, kind="refund")


ROUTES = (
    Route(
        "POST",
        "/v1/refunds",
        _create,
        {
            "amount": fields.integer(1, 99_999_999),
            "charge": fields.text,
            "metadata": fields.metadata,
            "payment_intent": fields.text,
            "reason": fields.one_of("duplicate", "fraudulent", "requested_by_customer"),
        },
    ),
    Route(
        "GET",
        "/v1/refunds",
        _list,
        {"charge": fields.text, "created": fields.range_of_time, "payment_intent": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/refunds/{id}", _retrieve),
    Route("POST", "/v1/refunds/{id}", _update, {"metadata": fields.metadata}),
    Route("POST", "/v1/refunds/{id}/cancel", _cancel),
)
