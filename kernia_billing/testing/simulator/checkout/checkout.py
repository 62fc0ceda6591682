"""Checkout sessions: opened by the API, paid or left by a person; expired ones may be recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..catalog import promotion_codes, tax_rates
from ..customers import customers
from ..invoices import discounts, quotes
from ..invoices.discounts import Wanted
from ..subscriptions.subscriptions import Sale
from ..world.errors import Json, SimulatorError, invalid
from ..world.events import emit
from ..world.rendering import filler, includable
from ..world.tables import nested
from . import session_fields, session_lines, session_rules, session_sales, session_totals

if TYPE_CHECKING:
    from ..world.world import World

RECOVERY_SECONDS = 30 * 86_400
"""So long the way back to an expired session stays open."""
_DEFAULT_RATES = "subscription_data[default_tax_rates]"


def apply_promotion_code(world: World, session: Json, code: str) -> None:
    """A person enters a promotion code on the page of an open session; it takes the place of the one before.

    Raises:
        ApiError: nobody may enter one there, there is no such active code, or it does not apply to this purchase.
    """
    if session["status"] != "open" or not session["allow_promotion_codes"]:
        raise invalid("Promotion codes cannot be entered here.", "promotion_code")
    found = promotion_codes.typed(world, code, session["customer"])
    if found is None:
        raise invalid("This code is invalid.", "promotion_code")
    session["_wanted"] = session_totals.checked(world, session, [{"promotion_code": found["id"]}])
    session_sales.settle(world, session)


def remove_promotion_code(world: World, session: Json) -> None:
    """A person takes back the promotion code that they entered."""
    if session["status"] == "open" and session["allow_promotion_codes"]:
        session["_wanted"] = []
        session_sales.settle(world, session)


def expire(world: World, session: Json) -> None:
    """End an open session and emit `checkout.session.expired`; where recovery is on, a way back to it is opened."""
    session["status"] = "expired"
    recovery = nested(session, "after_expiration", "recovery")
    if recovery.get("enabled"):
        recovery |= {
            "expires_at": world.clock.seconds() + RECOVERY_SECONDS,
            "url": f"{world.settings.checkout_base}/r/{session['id']}",
        }
    emit(world, "checkout.session.expired", session)


def recover(world: World, session: Json) -> Json:
    """A person follows the recovery link of an expired session: a new one, the same in everything, with its own id.

    Raises:
        SimulatorError: the session has no such link, or it is over.
    """
    recovery = nested(session, "after_expiration", "recovery")
    until: int | None = recovery.get("expires_at")
    if until is None or until <= world.clock.seconds():
        raise SimulatorError(f"checkout session {session['id']} cannot be recovered")
    expires_at = world.clock.seconds() + session_rules.LONGEST_SECONDS
    codes = recovery["allow_promotion_codes"] or session["allow_promotion_codes"]
    return _open(
        world,
        {
            **session,
            "id": world.ids.new("cs_test", 60),
            "allow_promotion_codes": codes,
            "created": world.clock.seconds(),
            "expires_at": expires_at,
            "recovered_from": session["id"],
            "status": "open",
            "after_expiration": _after_expiration({"recovery": recovery}),
            "_attempted_intent": None,
        },
    )


def _expire_when_due(world: World, id: str) -> None:
    session = world.table("checkout.session").get(id)
    if session["status"] == "open" and session["expires_at"] <= world.clock.seconds():
        expire(world, session)


def _create(world: World, call: Call) -> Json:
    params = call.params
    session_rules.check_mode(params)
    session_rules.check_page(params)
    session_rules.check_custom_fields(params)
    customer = session_rules.check_customer(world, params)
    expires_at = session_rules.check_expiry(world, params)
    mode = params["mode"]
    with session_lines.priced(world, params) as sales:
        currency = params["currency"] if mode == "setup" else session_lines.currency_of(sales, mode)
        session_rules.check_subscription_data(world, params, sales)
        if customer is not None:
            customers.settle_currency(customer, currency, "line_items")
        wanted = _check_discounts(world, params, customer, sales) if sales else []
        session = _blank(world, params, customer, currency, expires_at)
    session["_lines"] = [
        {
            "id": world.ids.new("li"),
            "price": sale.price["id"],
            "quantity": sale.quantity,
            "adjustable_quantity": line.get("adjustable_quantity"),
            "tax_rates": sale.tax_rates,
        }
        for sale, line in zip(sales, params.get("line_items", []), strict=True)
    ]
    session["_wanted"] = wanted
    return _open(world, session)


def _open(world: World, session: Json) -> Json:
    session_sales.settle(world, session)
    world.table("checkout.session").add(session)
    world.agenda.add(session["expires_at"], _expire_when_due, session["id"])
    return session


def _check_discounts(world: World, params: Json, customer: Json | None, sales: list[Sale]) -> list[Wanted]:
    if params.get("discounts") and "allow_promotion_codes" in params:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.", "allow_promotion_codes"
        )
    tax_rates.named(world, params.get("subscription_data", {}).get("default_tax_rates"), _DEFAULT_RATES)
    return discounts.read(
        world,
        params.get("discounts"),
        customer=customer["id"] if customer else None,
        currency=sales[0].price["currency"],
        amount=quotes.at_start(world, sales)["subtotal"],
    )


def _blank(world: World, params: Json, customer: Json | None, currency: str, expires_at: int) -> Json:
    id = world.ids.new("cs_test", 60)
    data: Json = params.get("subscription_data", {})
    email = customer["email"] if customer else params.get("customer_email")
    hosted = params.get("ui_mode", "hosted_page") == "hosted_page"
    rates = tax_rates.named(world, data.get("default_tax_rates"), _DEFAULT_RATES)
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": _after_expiration(params.get("after_expiration")),
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "automatic_tax": _automatic_tax(params, customer),
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None if hosted else f"{id}_secret_{world.ids.letters(40)}",
        "collected_information": None,
        "consent": None,
        "consent_collection": _consent_collection(params),
        "created": world.clock.seconds(),
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [_custom_field(given) for given in params.get("custom_fields", [])],
        "custom_text": _custom_text(params),
        "customer": customer["id"] if customer else None,
        "customer_account": None,
        "customer_creation": _customer_creation(params),
        "customer_details": customer_details(email) if email else None,
        "customer_email": params.get("customer_email"),
        "discounts": [],
        "expires_at": expires_at,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": params.get("locale"),
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "mode": params["mode"],
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_configuration_details": None,
        "payment_method_options": None,
        "payment_method_types": _method_types(params),
        "payment_status": "no_payment_required" if params["mode"] == "setup" else "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": params.get("phone_number_collection", {}).get("enabled", False)},
        "recovered_from": None,
        "redirect_on_completion": None if hosted else params.get("redirect_on_completion", "always"),
        "return_url": params.get("return_url"),
        "saved_payment_method_options": _saved_methods(params),
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "subscription": None,
        "success_url": params.get("success_url"),
        "tax_id_collection": _tax_id_collection(params),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": params.get("ui_mode", "hosted_page"),
        "url": None,
        "wallet_options": None,
        "_customer_update": params.get("customer_update", {}),
        "_intent_data": params.get("payment_intent_data", params.get("setup_intent_data", {})),
        "_subscription_data": {**data, "metadata": fields.merge_metadata({}, data.get("metadata"))},
        "_attempted_intent": None,
        "_default_tax_rates": rates,
        "_wanted": list[Wanted](),
    }


def _after_expiration(given: Json | None) -> Json | None:
    if not given or "recovery" not in given:
        return None
    asked = given["recovery"]
    allowed = asked.get("allow_promotion_codes") or False
    return {
        "recovery": {"allow_promotion_codes": allowed, "enabled": asked["enabled"], "expires_at": None, "url": None}
    }


def _consent_collection(params: Json) -> Json | None:
    given: Json = params.get("consent_collection", {})
    if not given:
        return None
    return {"payment_method_reuse_agreement": None, "promotions": "none", "terms_of_service": "none", **given}


def _custom_field(given: Json) -> Json:
    """A field as the session shows it; what the buyer fills in becomes its `value`."""
    kind = given["type"]
    limits: Json = {} if kind == "dropdown" else {"maximum_length": None, "minimum_length": None}
    own = {"default_value": None, **limits, **given.get(kind, {}), "value": None}
    blank: Json = dict.fromkeys(("dropdown", "numeric", "text"))
    rest = {"key": given["key"], "label": given["label"], "optional": given.get("optional", False), "type": kind}
    return {**blank, kind: own, **rest}


def _custom_text(params: Json) -> Json:
    given: Json = params.get("custom_text", {})
    names = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {name: given.get(name) or None for name in names}


def _customer_creation(params: Json) -> str | None:
    """Whether paying makes a customer: always with a subscription or a saved card, else only if it is asked for."""
    if "customer" in params:
        return None
    default = "always" if params["mode"] == "subscription" else "if_required"
    return str(params.get("customer_creation", default))


def _method_types(params: Json) -> list[str]:
    excluded = params.get("excluded_payment_method_types", [])
    return [name for name in params.get("allowed_payment_method_types", ["card"]) if name not in excluded]


def _saved_methods(params: Json) -> Json | None:
    given: Json | None = params.get("saved_payment_method_options")
    blank = {"allow_redisplay_filters": ["always"], "payment_method_remove": None, "payment_method_save": None}
    return None if given is None else {**blank, **given}


def _automatic_tax(params: Json, customer: Json | None) -> Json:
    """Flags alone: no tax is ever computed; the status says whether an address is known."""
    enabled: bool = params.get("automatic_tax", {}).get("enabled", False)
    known = customer is not None and customer["address"] is not None
    return {
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": ("complete" if known else "requires_location_inputs") if enabled else None,
    }


def customer_details(email: str | None, name: str | None = None) -> Json:
    """What the page knows about the buyer."""
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _tax_id_collection(params: Json) -> Json | None:
    enabled = params.get("tax_id_collection", {}).get("enabled")
    return None if enabled is None else {"enabled": enabled, "required": "never"}


@filler("checkout.session")
def _fill(world: World, shown: Json) -> None:
    if shown["status"] == "open" and shown["ui_mode"] == "hosted_page":
        shown["url"] = f"{world.settings.checkout_base}/c/pay/{shown['id']}"


@includable("checkout.session", "line_items")
def _line_items(world: World, session: Json) -> Json:
    return lists.embedded(session_totals.rows_of(world, session), f"/v1/checkout/sessions/{session['id']}/line_items")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("checkout.session").get(call.ids[0], "session", in_path=True)


def _expire(world: World, call: Call) -> Json:
    session = world.table("checkout.session").get(call.ids[0], "session", in_path=True)
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"`{session['status']}`."
        )
    expire(world, session)
    return session


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    names = ("customer", "payment_intent", "status", "subscription")
    found = lists.filtered(world.table("checkout.session"), **{name: params.get(name) for name in names})
    if "customer_details" in params:
        email = params["customer_details"]["email"]
        found = [row for row in found if row["customer_details"] and row["customer_details"]["email"] == email]
    return lists.page(lists.created_in(found, params), call, kind="checkout.session")


def _list_line_items(world: World, call: Call) -> Json:
    session = world.table("checkout.session").get(call.ids[0], "session", in_path=True)
    return lists.page(session_totals.rows_of(world, session), call, kind="line item")


ROUTES = (
    Route("POST", "/v1/checkout/sessions", _create, session_fields.CREATE, ("mode",)),
    Route(
        "GET",
        "/v1/checkout/sessions",
        _list,
        {
            "created": fields.range_of_time,
            "customer": fields.text,
            "customer_details": fields.fields(required=("email",), email=fields.email),
            "payment_intent": fields.text,
            "status": fields.one_of("complete", "expired", "open"),
            "subscription": fields.text,
        },
        lists=True,
    ),
    Route("GET", "/v1/checkout/sessions/{id}", _retrieve),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", _list_line_items, lists=True),
    Route("POST", "/v1/checkout/sessions/{id}/expire", _expire),
)
