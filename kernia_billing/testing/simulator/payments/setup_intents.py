"""Setup intents: a card is saved for later, with 3D Secure where it asks for it, and nothing is charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..world.errors import ApiError, Decline, Json, invalid
from ..world.events import emit
from . import payment_methods, payments
from .cards import UNAUTHENTICATED
from .payment_methods import card_of

if TYPE_CHECKING:
    from ..world.world import World

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def new(world: World, customer: str | None, **more: Any) -> Json:
    """Make a setup intent with `more` of its fields and emit `setup_intent.created`."""
    intent = _made(world, customer, **more)
    emit(world, "setup_intent.created", intent)
    return intent


def _made(world: World, customer: str | None, **more: Any) -> Json:
    id = world.ids.new("seti")
    intent: Json = {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_{world.ids.letters(25)}",
        "created": world.clock.seconds(),
        "customer": customer,
        "customer_account": None,
        "description": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "payment_method": None,
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": "off_session",
        "_return_url": None,
        **more,
    }
    return world.table("setup_intent").add(intent)


def saved(world: World, method: Json, customer: str | None) -> Json:
    """Note that a page saved a payment method: a setup intent that has succeeded."""
    intent = _made(world, customer)
    finish(world, intent, method, None)
    return intent


def finish(world: World, intent: Json, method: Json, refusal: Decline | None) -> None:
    """End a setup intent: the method is saved and can be charged later, or the intent wants another one."""
    intent["next_action"] = None
    if refusal is not None:
        error = payments.error_of(world, method, refusal)
        if refusal is UNAUTHENTICATED:
            error["code"] = "setup_intent_authentication_failure"
        intent |= {"status": "requires_payment_method", "payment_method": None, "last_setup_error": error}
        emit(world, "setup_intent.setup_failed", intent)
        return
    method["_set_up"] = True
    intent |= {"status": "succeeded", "payment_method": method["id"], "last_setup_error": None}
    owner = world.table("customer").rows.get(intent["customer"] or "")
    if owner is not None and method["customer"] is None:
        payment_methods.attach(world, method["id"], owner)
    emit(world, "setup_intent.succeeded", intent)


def confirm(world: World, intent: Json, method: Json) -> None:
    """A person confirms an intent with a payment method: it ends, or waits for 3D Secure.

    Raises:
        ApiError: 402, the card was declined.
    """
    used = card_of(world, method["id"])
    if used.challenge != "never":
        url = f"{world.settings.checkout_base}/authenticate/{intent['id']}"
        intent |= {"status": "requires_action", "payment_method": method["id"]}
        if intent["_return_url"]:
            redirect = {"return_url": intent["_return_url"], "url": url}
            intent["next_action"] = {"redirect_to_url": redirect, "type": "redirect_to_url"}
        else:
            intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": url}}
        emit(world, "setup_intent.requires_action", intent)
        return
    refusal = used.refusal(charging=False, present=True, passes=True)
    finish(world, intent, method, refusal)
    if refusal is not None:
        more = {"decline_code": refusal.decline_code} if refusal.decline_code else {}
        shown = world.render(intent)
        raise ApiError(refusal.message, status=402, type="card_error", code=refusal.code, setup_intent=shown, **more)


def _create(world: World, call: Call) -> Json:
    params = call.params
    customer = customers.live(world, params["customer"])["id"] if "customer" in params else None
    _check(world, params, customer)
    if params.get("confirm") and "payment_method" not in params:
        raise invalid("You must provide a payment_method when confirm is true.", "payment_method")
    if "return_url" in params and not params.get("confirm"):
        raise invalid("`return_url` can only be given with `confirm`.", "return_url")
    intent = new(world, customer, **_changes(params, {"metadata": {}}))
    return _go_on(world, intent, params)


def _update(world: World, call: Call) -> Json:
    intent = _open(world, call)
    _check(world, call.params, intent["customer"])
    intent |= _changes(call.params, intent)
    if "payment_method" in call.params:
        _choose(world, intent, call.params["payment_method"])
    return intent


def _confirm(world: World, call: Call) -> Json:
    intent, params = _open(world, call), call.params
    _check(world, params, intent["customer"])
    if "payment_method" not in params and intent["payment_method"] is None:
        raise invalid("You cannot confirm this SetupIntent because it's missing a payment method.", "payment_method")
    intent["_return_url"] = params.get("return_url")
    return _go_on(world, intent, {**params, "confirm": True})


def _cancel(world: World, call: Call) -> Json:
    intent = _open(world, call)
    reason = call.params.get("cancellation_reason")
    intent |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    emit(world, "setup_intent.canceled", intent)
    return intent


def _go_on(world: World, intent: Json, params: Json) -> Json:
    if "payment_method" in params:
        _choose(world, intent, params["payment_method"])
    if params.get("confirm"):
        confirm(world, intent, world.table("payment_method").get(intent["payment_method"]))
    return intent


def _choose(world: World, intent: Json, id: str) -> None:
    method = payment_methods.named(world, id)
    intent |= {"payment_method": method["id"], "status": "requires_confirmation"}


def _changes(params: Json, current: Json) -> Json:
    made: Json = {name: params[name] for name in ("description", "usage") if name in params}
    if "automatic_payment_methods" in params:
        made["automatic_payment_methods"] = {"allow_redirects": "always", **params["automatic_payment_methods"]}
    if "allowed_payment_method_types" in params:
        made["payment_method_types"] = params["allowed_payment_method_types"]
    made["_return_url"] = params.get("return_url")
    return made | {"metadata": fields.merge_metadata(current["metadata"], params.get("metadata"))}


def _check(world: World, params: Json, customer: str | None) -> None:
    if "payment_method" in params:
        payment_methods.known(world, params["payment_method"], customer)


def _open(world: World, call: Call) -> Json:
    intent = world.table("setup_intent").get(call.ids[0], in_path=True)
    if intent["status"] not in _OPEN:
        raise ApiError(
            f"You cannot change this SetupIntent because it has a status of {intent['status']}.",
            code="setup_intent_unexpected_state",
        )
    return intent


def _retrieve(world: World, call: Call) -> Json:
    return world.table("setup_intent").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    names = ("customer", "payment_method")
    found = lists.filtered(world.table("setup_intent"), **{name: call.params.get(name) for name in names})
    return lists.page(lists.created_in(found, call.params), call, kind="setupintent")


_TYPES = fields.list_of(fields.one_of("card", "us_bank_account"))
_AUTOMATIC = fields.fields(
    required=("enabled",), enabled=fields.boolean, allow_redirects=fields.one_of("always", "never")
)
_FIELDS: dict[str, fields.Reader] = {
    "allowed_payment_method_types": _TYPES,
    "automatic_payment_methods": _AUTOMATIC,
    "description": fields.text_up_to(1_000),
    "metadata": fields.metadata,
    "payment_method": fields.text,
}

ROUTES = (
    Route(
        "POST",
        "/v1/setup_intents",
        _create,
        {
            **_FIELDS,
            "confirm": fields.boolean,
            "customer": fields.text,
            "return_url": fields.url,
            "usage": fields.one_of("off_session", "on_session"),
        },
    ),
    Route(
        "GET",
        "/v1/setup_intents",
        _list,
        {"created": fields.range_of_time, "customer": fields.text, "payment_method": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/setup_intents/{id}", _retrieve),
    Route("POST", "/v1/setup_intents/{id}", _update, {n: r for n, r in _FIELDS.items() if n[:4] != "auto"}),
    Route(
        "POST",
        "/v1/setup_intents/{id}/confirm",
        _confirm,
        {"payment_method": fields.text, "return_url": fields.url, "use_stripe_sdk": fields.boolean},
    ),
    Route(
        "POST",
        "/v1/setup_intents/{id}/cancel",
        _cancel,
        {"cancellation_reason": fields.one_of("abandoned", "duplicate", "requested_by_customer")},
    ),
)
