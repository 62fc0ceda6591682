"""The fields of a checkout session, from the parameters of the request that opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..catalog import tax_rates
from ..invoices.discounts import Wanted
from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World

DEFAULT_RATES = "subscription_data[default_tax_rates]"


def blank(world: World, params: Json, customer: Json | None, currency: str, expires_at: int) -> Json:
    """An open session of checked parameters, without its lines and sums."""
    id = world.ids.new("cs_test", 60)
    data: Json = params.get("subscription_data", {})
    email = customer["email"] if customer else params.get("customer_email")
    hosted = params.get("ui_mode", "hosted_page") == "hosted_page"
    rates = tax_rates.named(world, data.get("default_tax_rates"), DEFAULT_RATES)
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": after_expiration(params.get("after_expiration")),
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


def after_expiration(given: Json | None) -> Json | None:
    """The parameter of that name as a session shows it; the way back is opened when the session expires."""
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
