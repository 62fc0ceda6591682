"""The payment intent endpoints: create, change, confirm, capture, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..invoices import collection
from ..world.errors import ApiError, Decline, Json, invalid
from ..world.events import emit
from . import payment_methods, payments
from .cards import AUTHENTICATION_REQUIRED, Card
from .payment_methods import card_of

if TYPE_CHECKING:
    from ..world.world import World

_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_PAYABLE, "requires_capture", "processing")
_ROUTINE = ("description", "receipt_email", "setup_future_usage")


def _create(world: World, call: Call) -> Json:
    params = call.params
    customer = customers.live(world, params["customer"])["id"] if "customer" in params else None
    _check_confirmation(params)
    _check_method(world, params, customer)
    more = {"capture_method": params.get("capture_method", "automatic_async"), "setup_future_usage": None}
    more |= _changes(params, {"metadata": {}})
    intent = payments.new_intent(world, params["amount"], params["currency"], customer, **more)
    return _go_on(world, intent, params)


def _update(world: World, call: Call) -> Json:
    intent, params = _in(world, call, _PAYABLE, "updated"), call.params
    _check_method(world, params, intent["customer"])
    if payments.invoice_of(world, intent) is not None and {"amount", "currency"} & set(params):
        raise invalid("The amount of a PaymentIntent of an invoice cannot be changed.", "amount")
    changes = _changes(params, intent) | {name: params[name] for name in ("amount", "currency") if name in params}
    if "customer" in params:
        changes["customer"] = customers.live(world, params["customer"])["id"]
    intent |= changes
    if "payment_method" in params:
        _choose(world, intent, params["payment_method"])
    return intent


def _confirm(world: World, call: Call) -> Json:
    intent, params = _in(world, call, _PAYABLE, "confirmed"), call.params
    _check_method(world, params, intent["customer"])
    if "payment_method" not in params and intent["payment_method"] is None:
        raise ApiError(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method.",
            code="payment_intent_unexpected_state",
        )
    intent |= _changes(params, intent)
    return _go_on(world, intent, {**params, "confirm": True})


def _capture(world: World, call: Call) -> Json:
    intent = _in(world, call, ("requires_capture",), "captured")
    held: int = intent["amount_capturable"]
    amount: int = call.params.get("amount_to_capture") or held
    if amount > held:
        raise invalid("The amount to capture is greater than what can be captured.", "amount_to_capture")
    made = world.table("charge").get(intent["latest_charge"])
    made |= {"captured": True, "amount_captured": amount}
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    emit(world, "charge.captured", made)
    emit(world, "payment_intent.succeeded", intent)
    return intent


def _cancel(world: World, call: Call) -> Json:
    intent = _in(world, call, _CANCELABLE, "canceled")
    if payments.invoice_of(world, intent) is not None:
        raise invalid("You cannot cancel the PaymentIntent of an invoice. Void the invoice in place of it.")
    payments.cancel_intent(world, intent, call.params.get("cancellation_reason"))
    return intent


def _go_on(world: World, intent: Json, params: Json) -> Json:
    if "payment_method" in params:
        _choose(world, intent, params["payment_method"])
    if params.get("confirm"):
        _pay(world, intent, present=not params.get("off_session"), strict=params.get("error_on_requires_action", False))
    return intent


def _pay(world: World, intent: Json, *, present: bool, strict: bool) -> None:
    """Charge an intent, or ask for 3D Secure when a person is there.

    Raises:
        ApiError: 402, the charge was declined; the intent wants another payment method.
    """
    method = world.table("payment_method").get(intent["payment_method"])
    used = card_of(world, method["id"])
    if present and used.challenge != "never" and not used.delayed and not strict:
        payments.require_action(world, intent, method)
        return
    refusal = AUTHENTICATION_REQUIRED if strict and used.challenge != "never" else _refusal(used, present=present)
    payments.charge(world, intent, method, refusal)
    invoice = payments.invoice_of(world, intent)
    if invoice is not None and invoice["status"] == "open" and intent["status"] != "processing":
        if refusal is None:
            collection.paid(world, invoice)
        else:
            collection.failed(world, invoice, refusal)
    if refusal is None:
        _keep(world, intent, method)
        return
    more = {"decline_code": refusal.decline_code} if refusal.decline_code else {}
    shown = world.render(intent)
    raise ApiError(refusal.message, status=402, type="card_error", code=refusal.code, payment_intent=shown, **more)


def _refusal(used: Card, *, present: bool) -> Decline | None:
    return used.refusal(charging=True, present=present, passes=True)


def _keep(world: World, intent: Json, method: Json) -> None:
    """Attach the payment method to the customer when it is to be used again."""
    owner = world.table("customer").rows.get(intent["customer"] or "")
    if owner is not None and intent["setup_future_usage"] is not None and method["customer"] is None:
        payment_methods.attach(world, method["id"], owner)


def _choose(world: World, intent: Json, id: str) -> None:
    method = payment_methods.named(world, id)
    intent |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}


def _changes(params: Json, current: Json) -> Json:
    made: Json = {name: params[name] or None for name in _ROUTINE if name in params}
    if "automatic_payment_methods" in params:
        made["automatic_payment_methods"] = {"allow_redirects": "always", **params["automatic_payment_methods"]}
    if "allowed_payment_method_types" in params:
        made["payment_method_types"] = params["allowed_payment_method_types"]
    if "return_url" in params:
        made["_return_url"] = params["return_url"]
    return made | {"metadata": fields.merge_metadata(current["metadata"], params.get("metadata"))}


def _check_confirmation(params: Json) -> None:
    for name in ("off_session", "return_url", "error_on_requires_action"):
        if name in params and not params.get("confirm"):
            raise invalid(f"`{name}` can only be given with `confirm`.", name)
    if params.get("confirm") and "payment_method" not in params:
        raise invalid("You must provide a payment_method when confirm is true.", "payment_method")
    if params.get("off_session") and params.get("setup_future_usage") == "on_session":
        raise invalid("`off_session` and `setup_future_usage=on_session` exclude each other.", "off_session")


def _check_method(world: World, params: Json, customer: str | None) -> None:
    if "payment_method" in params:
        payment_methods.known(world, params["payment_method"], params.get("customer", customer))


def _in(world: World, call: Call, statuses: tuple[str, ...], verb: str) -> Json:
    intent = world.table("payment_intent").get(call.ids[0], "intent", in_path=True)
    if intent["status"] not in statuses:
        raise ApiError(
            f"This PaymentIntent could not be {verb} because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    return intent


def _retrieve(world: World, call: Call) -> Json:
    return world.table("payment_intent").get(call.ids[0], "intent", in_path=True)


def _list(world: World, call: Call) -> Json:
    found = lists.filtered(world.table("payment_intent"), customer=call.params.get("customer"))
    return lists.page(lists.created_in(found, call.params), call, kind="payment_intent")


_AMOUNT = fields.integer(1, 99_999_999)
_TYPES = fields.list_of(fields.one_of("card", "us_bank_account"))
_AUTOMATIC = fields.fields(
    required=("enabled",), enabled=fields.boolean, allow_redirects=fields.one_of("always", "never")
)
_FUTURE = fields.clearable(fields.one_of("off_session", "on_session"))
_FIELDS: dict[str, fields.Reader] = {
    "allowed_payment_method_types": _TYPES,
    "customer": fields.text,
    "description": fields.clearable(fields.text_up_to(1_000)),
    "metadata": fields.metadata,
    "payment_method": fields.text,
    "receipt_email": fields.clearable(fields.email),
    "setup_future_usage": _FUTURE,
}

ROUTES = (
    Route(
        "POST",
        "/v1/payment_intents",
        _create,
        {
            **_FIELDS,
            "amount": _AMOUNT,
            "automatic_payment_methods": _AUTOMATIC,
            "capture_method": fields.one_of("automatic", "automatic_async", "manual"),
            "confirm": fields.boolean,
            "currency": fields.currency,
            "error_on_requires_action": fields.boolean,
            "off_session": fields.boolean,
            "return_url": fields.url,
        },
        ("amount", "currency"),
    ),
    Route(
        "GET",
        "/v1/payment_intents",
        _list,
        {"created": fields.range_of_time, "customer": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/payment_intents/{id}", _retrieve),
    Route("POST", "/v1/payment_intents/{id}", _update, {**_FIELDS, "amount": _AMOUNT, "currency": fields.currency}),
    Route(
        "POST",
        "/v1/payment_intents/{id}/confirm",
        _confirm,
        {
            "error_on_requires_action": fields.boolean,
            "off_session": fields.boolean,
            "payment_method": fields.text,
            "receipt_email": fields.clearable(fields.email),
            "return_url": fields.url,
            "setup_future_usage": _FUTURE,
            "use_stripe_sdk": fields.boolean,
        },
    ),
    Route("POST", "/v1/payment_intents/{id}/capture", _capture, {"amount_to_capture": _AMOUNT}),
    Route(
        "POST",
        "/v1/payment_intents/{id}/cancel",
        _cancel,
        {"cancellation_reason": fields.one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer")},
    ),
)
