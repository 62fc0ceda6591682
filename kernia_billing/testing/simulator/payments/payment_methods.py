"""Payment methods: test cards and bank accounts, attached to customers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid, missing
from ..world.events import emit, updating
from .cards import CARDS, TEST_PAYMENT_METHODS, Card, card

if TYPE_CHECKING:
    from ..world.world import World

_NO_ADDRESS: Json = {
    "city": None,
    "country": "US",
    "line1": None,
    "line2": None,
    "postal_code": "94107",
    "state": None,
}


def new(world: World, used: Card, *, email: str | None = None, set_up: bool = False) -> Json:
    """Make a payment method of a test card or bank account; it belongs to nobody yet.

    `set_up` says that a person authenticated it, so that it can be charged later without one.
    """
    method: Json = {
        "id": world.ids.new("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(email),
        "created": world.clock.seconds(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": used.kind,
        used.kind: _card_json(world, used) if used.kind == "card" else _bank_json(used),
        "_number": used.number,
        "_set_up": set_up,
    }
    return world.table("payment_method").add(method)


def billing_details(email: str | None) -> Json:
    """Billing details as a checkout page collects them."""
    return {"address": dict(_NO_ADDRESS), "email": email, "name": None, "phone": None, "tax_id": None}


def card_of(world: World, id: str) -> Card:
    """The test card or bank account behind a payment method, authenticated if it was."""
    method = world.table("payment_method").get(id)
    used = card(method["_number"])
    return used.set_up() if method["_set_up"] else used


def named(world: World, id: str, param: str = "payment_method") -> Json:
    """The payment method of an id; Stripe's ready-made names make a new one.

    Raises:
        ApiError: there is none.
    """
    if id in TEST_PAYMENT_METHODS:
        return new(world, card(id))
    return world.table("payment_method").get(id, param)


def known(world: World, id: str, customer: str | None, param: str = "payment_method") -> None:
    """See that an id names a payment method that this customer, or nobody yet, has.

    Raises:
        ApiError: there is none, or it belongs to somebody else.
    """
    if id not in TEST_PAYMENT_METHODS and world.table("payment_method").get(id, param)["customer"] is not None:
        of_customer(world, id, customer, param)


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
        "funding": used.funding,
        "generated_from": None,
        "last4": used.last4,
        "networks": {"available": [used.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": used.brand != "amex"},
        "wallet": None,
    }


def _bank_json(used: Card) -> Json:
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": f"fp{used.number}",
        "last4": used.last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": None,
    }


def _create(world: World, call: Call) -> Json:
    """Make a payment method of a card. Only test numbers are taken; Stripe refuses others in test mode too."""
    params = call.params
    kind = params["type"]
    if kind not in params:
        raise invalid(f"Missing required param: {kind}.", kind, "parameter_missing")
    given: Json = params[kind]
    number = given["number"] if kind == "card" else given["account_number"]
    if number not in CARDS or CARDS[number].kind != kind:
        raise ApiError(
            "Your card was declined. Your request was in test mode, but used a non test card.",
            status=402,
            type="card_error",
            code="card_declined",
            decline_code="test_mode_live_card",
            param=kind,
        )
    method = new(world, card(number))
    if kind == "card":
        method["card"] |= {"exp_month": given["exp_month"], "exp_year": given["exp_year"]}
    _write(method, params)
    return method


def _update(world: World, call: Call) -> Json:
    method = world.table("payment_method").get(call.ids[0], "payment_method", in_path=True)
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    fields.merge_metadata(method["metadata"], call.params.get("metadata"))
    with updating(world, method, "payment_method.updated"):
        if "card" in call.params:
            method["card"] |= call.params["card"]
        _write(method, call.params)
    return method


def _write(method: Json, params: Json) -> None:
    for name, value in params.get("billing_details", {}).items():
        method["billing_details"][name] = {**_NO_ADDRESS, **value} if name == "address" and value else value or None
    if "allow_redisplay" in params:
        method["allow_redisplay"] = params["allow_redisplay"]
    method["metadata"] = fields.merge_metadata(method["metadata"], params.get("metadata"))


def _retrieve_of_customer(world: World, call: Call) -> Json:
    method = world.table("payment_method").get(call.ids[1], "payment_method", in_path=True)
    if method["customer"] != call.ids[0]:
        raise missing("PaymentMethod", call.ids[1], "payment_method", in_path=True)
    return method


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


_LINE = fields.clearable(fields.text)
_TYPE: dict[str, fields.Reader] = {"type": fields.one_of("card", "us_bank_account")}
_DETAILS: dict[str, fields.Reader] = {
    "allow_redisplay": fields.one_of("always", "limited", "unspecified"),
    "billing_details": fields.fields(
        address=fields.clearable(
            fields.fields(city=_LINE, country=_LINE, line1=_LINE, line2=_LINE, postal_code=_LINE, state=_LINE)
        ),
        email=fields.clearable(fields.email),
        name=_LINE,
        phone=_LINE,
    ),
    "metadata": fields.metadata,
}
_MONTH, _YEAR = fields.integer(1, 12), fields.integer(2020, 2100)
_NEW_CARD = fields.fields(
    required=("number", "exp_month", "exp_year"), number=fields.text, exp_month=_MONTH, exp_year=_YEAR, cvc=fields.text
)
_NEW_ACCOUNT = fields.fields(
    required=("account_number", "routing_number", "account_holder_type"),
    account_number=fields.text,
    routing_number=fields.text,
    account_holder_type=fields.one_of("individual", "company"),
)

ROUTES = (
    Route("GET", "/v1/payment_methods", _list, {**_TYPE, "customer": fields.text}, lists=True),
    Route(
        "POST",
        "/v1/payment_methods",
        _create,
        {**_TYPE, **_DETAILS, "card": _NEW_CARD, "us_bank_account": _NEW_ACCOUNT},
        ("type",),
    ),
    Route("GET", "/v1/customers/{id}/payment_methods", _list, _TYPE, lists=True),
    Route("GET", "/v1/customers/{id}/payment_methods/{method}", _retrieve_of_customer),
    Route("GET", "/v1/payment_methods/{id}", _retrieve),
    Route(
        "POST",
        "/v1/payment_methods/{id}",
        _update,
        {**_DETAILS, "card": fields.fields(exp_month=_MONTH, exp_year=_YEAR)},
    ),
    Route("POST", "/v1/payment_methods/{id}/attach", _attach, {"customer": fields.text}, ("customer",)),
    Route("POST", "/v1/payment_methods/{id}/detach", _detach),
)
