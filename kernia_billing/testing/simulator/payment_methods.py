"""Payment methods: test cards attached to customers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import fields, lists
from .cards import TEST_PAYMENT_METHODS, Card, card
from .errors import ApiError, Json, invalid, missing
from .events import emit
from .router import Call, Route

if TYPE_CHECKING:
    from .world import World

_NO_ADDRESS: Json = {
    "city": None,
    "country": "US",
    "line1": None,
    "line2": None,
    "postal_code": "94107",
    "state": None,
}


def new(world: World, used: Card, *, email: str | None = None) -> Json:
    """Make a payment method of a test card; it belongs to nobody yet."""
    method: Json = {
        "id": world.ids.new("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(email),
        "card": _card_json(world, used),
        "created": world.clock.seconds(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_number": used.number,
    }
    return world.table("payment_method").add(method)


def billing_details(email: str | None) -> Json:
    """Billing details as a checkout page collects them."""
    return {"address": dict(_NO_ADDRESS), "email": email, "name": None, "phone": None, "tax_id": None}


def card_of(world: World, id: str) -> Card:
    """The test card behind a payment method."""
    return card(world.table("payment_method").get(id)["_number"])


def of_customer(world: World, id: str, customer: str | None, param: str) -> Json:
    """A payment method that is attached to the customer.

    Raises:
        ApiError: there is none, or it belongs to somebody else.
    """
    method = world.table("payment_method").get(id, param)
    if customer is None or method["customer"] != customer:
        raise invalid(
            f"The customer does not have a payment method with the ID {id}. The payment method must be attached to the "
            "customer.",
            param,
        )
    return method


def free(world: World, id: str, param: str) -> None:
    """See that a payment method can be attached.

    Raises:
        ApiError: unknown, already attached, or its card fails the check.
    """
    if id in TEST_PAYMENT_METHODS:
        used = card(TEST_PAYMENT_METHODS[id])
    else:
        method = world.table("payment_method").get(id, param)
        if method["customer"] is not None:
            raise invalid("The payment method you provided has already been attached to a customer.", param)
        used = card(method["_number"])
    refusal = used.refusal(charging=False, present=False, passes=False)
    if refusal is not None:
        raise ApiError(
            refusal.message, status=402, type="card_error", code=refusal.code, decline_code=refusal.decline_code
        )


def attach(world: World, id: str, customer: Json) -> Json:
    """Give a payment method to a customer and emit `payment_method.attached`; look with `free` first."""
    if id in TEST_PAYMENT_METHODS:
        method = new(world, card(TEST_PAYMENT_METHODS[id]), email=customer["email"])
    else:
        method = world.table("payment_method").get(id)
    method["customer"] = customer["id"]
    emit(world, "payment_method.attached", method)
    return method


def _card_json(world: World, used: Card) -> Json:
    return {
        "brand": used.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": "pass", "cvc_check": "pass"},
        "country": "US",
        "display_brand": used.brand,
        "exp_month": 12,
        "exp_year": datetime.fromtimestamp(world.clock.seconds(), tz=UTC).year + 4,
        "fingerprint": f"fp{used.number}",
        "funding": "credit",
        "generated_from": None,
        "last4": used.last4,
        "networks": {"available": [used.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def _attach(world: World, call: Call) -> Json:
    customer = world.table("customer").get(call.params["customer"], "customer")
    if customer.get("deleted"):
        raise missing("customer", customer["id"], "customer")
    free(world, call.ids[0], "payment_method")
    return attach(world, call.ids[0], customer)


def _detach(world: World, call: Call) -> Json:
    method = world.table("payment_method").get(call.ids[0], "payment_method", in_path=True)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    owner, method["customer"] = method["customer"], None
    settings = world.table("customer").get(owner).get("invoice_settings", {})
    if settings.get("default_payment_method") == method["id"]:
        settings["default_payment_method"] = None
    for subscription in world.table("subscription"):
        if subscription["default_payment_method"] == method["id"]:
            subscription["default_payment_method"] = None
    emit(world, "payment_method.detached", method, {"customer": owner})
    return method


def _retrieve(world: World, call: Call) -> Json:
    return world.table("payment_method").get(call.ids[0], "payment_method", in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    owner = call.ids[0] if call.ids else params.get("customer")
    if owner is not None:
        world.table("customer").get(owner, "customer", in_path=bool(call.ids))
    rows = world.table("payment_method")
    found = lists.filtered(rows, customer=owner, type=params.get("type")) if owner else []
    return lists.page(found, call, kind="PaymentMethod")


_TYPE: dict[str, fields.Reader] = {"type": fields.one_of("card")}

ROUTES = (
    Route("GET", "/v1/payment_methods", _list, {**_TYPE, "customer": fields.text}, lists=True),
    Route("GET", "/v1/customers/{id}/payment_methods", _list, _TYPE, lists=True),
    Route("GET", "/v1/payment_methods/{id}", _retrieve),
    Route("POST", "/v1/payment_methods/{id}/attach", _attach, {"customer": fields.text}, ("customer",)),
    Route("POST", "/v1/payment_methods/{id}/detach", _detach),
)
