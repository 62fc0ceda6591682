"""The customer portal: configurations and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import customers, fields, lists, subscriptions
from .errors import Json, invalid
from .events import emit, updating
from .rendering import filler
from .router import Call, Route

if TYPE_CHECKING:
    from .world import World

_ENABLED = fields.fields(required=("enabled",), enabled=fields.boolean)
_PRODUCT = fields.fields(required=("product", "prices"), product=fields.text, prices=fields.list_of(fields.text))
_PRORATION = fields.one_of("always_invoice", "create_prorations", "none")
_FEATURES = fields.fields(
    customer_update=fields.fields(
        enabled=fields.boolean,
        allowed_updates=fields.clearable(
            fields.list_of(fields.one_of("address", "email", "name", "phone", "shipping", "tax_id"))
        ),
    ),
    invoice_history=_ENABLED,
    payment_method_update=_ENABLED,
    subscription_cancel=fields.fields(
        enabled=fields.boolean, mode=fields.one_of("at_period_end", "immediately"), proration_behavior=_PRORATION
    ),
    subscription_update=fields.fields(
        enabled=fields.boolean,
        default_allowed_updates=fields.clearable(fields.list_of(fields.one_of("price", "promotion_code", "quantity"))),
        products=fields.clearable(fields.list_of(_PRODUCT, 10)),
        proration_behavior=_PRORATION,
    ),
)
_CONFIGURATION: dict[str, fields.Reader] = {
    "business_profile": fields.fields(
        headline=fields.clearable(fields.text_up_to(60)), privacy_policy_url=fields.url, terms_of_service_url=fields.url
    ),
    "default_return_url": fields.clearable(fields.url),
    "features": _FEATURES,
    "metadata": fields.metadata,
}
_OF_SUBSCRIPTION = fields.fields(required=("subscription",), subscription=fields.text)
_FLOW = fields.fields(
    required=("type",),
    type=fields.one_of(
        "payment_method_update", "subscription_cancel", "subscription_update", "subscription_update_confirm"
    ),
    after_completion=fields.fields(
        required=("type",),
        type=fields.one_of("hosted_confirmation", "portal_homepage", "redirect"),
        hosted_confirmation=fields.fields(custom_message=fields.text_up_to(500)),
        redirect=fields.fields(required=("return_url",), return_url=fields.url),
    ),
    subscription_cancel=_OF_SUBSCRIPTION,
    subscription_update=_OF_SUBSCRIPTION,
    subscription_update_confirm=fields.fields(
        required=("subscription", "items"),
        subscription=fields.text,
        items=fields.list_of(
            fields.fields(required=("id",), id=fields.text, price=fields.text, quantity=fields.integer(0, 999_999)),
            1,
        ),
    ),
)


def default_configuration(world: World) -> Json:
    """The configuration saved in the Dashboard: everything but changes of plan is allowed."""
    for row in world.table("billing_portal.configuration"):
        if row["is_default"]:
            return row
    made = _blank(world, {}, is_default=True)
    return world.table("billing_portal.configuration").add(made)


def _features(given: Json) -> Json:
    update: Json = given.get("subscription_update", {})
    products: list[Json] = update.get("products") or []
    cancel: Json = given.get("subscription_cancel", {})
    allowed: Json = given.get("customer_update", {})
    return {
        "customer_update": {
            "allowed_updates": allowed.get("allowed_updates") or [],
            "enabled": allowed.get("enabled", False),
        },
        "invoice_history": {"enabled": given.get("invoice_history", {}).get("enabled", False)},
        "payment_method_update": {
            "enabled": given.get("payment_method_update", {}).get("enabled", False),
            "payment_method_configuration": None,
        },
        "subscription_cancel": {
            "cancellation_reason": {"enabled": False, "options": []},
            "enabled": cancel.get("enabled", False),
            "mode": cancel.get("mode", "at_period_end"),
            "proration_behavior": cancel.get("proration_behavior", "none"),
        },
        "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
        "subscription_update": {
            "billing_cycle_anchor": None,
            "default_allowed_updates": update.get("default_allowed_updates") or [],
            "enabled": update.get("enabled", False),
            "products": [_product(product) for product in products],
            "proration_behavior": update.get("proration_behavior", "none"),
            "schedule_at_period_end": {"conditions": []},
            "trial_update_behavior": "end_trial",
        },
    }


def _product(given: Json) -> Json:
    return {**given, "adjustable_quantity": {"enabled": False, "maximum": None, "minimum": 1}}


_DASHBOARD: Json = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True},
}


def _blank(world: World, params: Json, *, is_default: bool = False) -> Json:
    profile: Json = params.get("business_profile", {})
    now = world.clock.seconds()
    return {
        "id": world.ids.new("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {
            "headline": profile.get("headline") or None,
            "privacy_policy_url": profile.get("privacy_policy_url"),
            "terms_of_service_url": profile.get("terms_of_service_url"),
        },
        "created": now,
        "default_return_url": params.get("default_return_url") or None,
        "features": _features(_DASHBOARD if is_default else params.get("features", {})),
        "is_default": is_default,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "name": None,
        "updated": now,
    }


def _check_products(world: World, params: Json) -> None:
    update: Json = params.get("features", {}).get("subscription_update", {})
    for index, product in enumerate(update.get("products") or []):
        at = f"features[subscription_update][products][{index}]"
        world.table("product").get(product["product"], f"{at}[product]")
        for price in product["prices"]:
            if world.table("price").get(price, f"{at}[prices]")["product"] != product["product"]:
                raise invalid(f"The price {price} does not belong to product {product['product']}.", f"{at}[prices]")


def _create_configuration(world: World, call: Call) -> Json:
    _check_products(world, call.params)
    made = world.table("billing_portal.configuration").add(_blank(world, call.params))
    emit(world, "billing_portal.configuration.created", made)
    return made


def _update_configuration(world: World, call: Call) -> Json:
    configuration = world.table("billing_portal.configuration").get(call.ids[0], in_path=True)
    params = call.params
    _check_products(world, params)
    with updating(world, configuration, "billing_portal.configuration.updated"):
        if "active" in params:
            configuration["active"] = params["active"]
        if "features" in params:
            fresh = _features(params["features"])
            configuration["features"] |= {name: fresh[name] for name in params["features"]}
        if "default_return_url" in params:
            configuration["default_return_url"] = params["default_return_url"] or None
        for name, value in params.get("business_profile", {}).items():
            configuration["business_profile"][name] = value or None
        configuration["metadata"] = fields.merge_metadata(configuration["metadata"], params.get("metadata"))
        configuration["updated"] = world.clock.seconds()
    return configuration


def _retrieve_configuration(world: World, call: Call) -> Json:
    return world.table("billing_portal.configuration").get(call.ids[0], in_path=True)


def _list_configurations(world: World, call: Call) -> Json:
    default_configuration(world)
    names = ("active", "is_default")
    rows = world.table("billing_portal.configuration")
    found = lists.filtered(rows, **{name: call.params.get(name) for name in names})
    return lists.page(found, call, kind="configuration")


def _create_session(world: World, call: Call) -> Json:
    params = call.params
    customer = customers.live(world, params["customer"])
    configuration = _configuration(world, params)
    flow = _flow(world, customer, configuration, params["flow_data"]) if "flow_data" in params else None
    session: Json = {
        "id": world.ids.new("bps"),
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": world.clock.seconds(),
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url") or configuration["default_return_url"],
        "url": "",
    }
    world.table("billing_portal.session").add(session)
    emit(world, "billing_portal.session.created", session)
    return session


def _configuration(world: World, params: Json) -> Json:
    if "configuration" not in params:
        return default_configuration(world)
    found = world.table("billing_portal.configuration").get(params["configuration"], "configuration")
    if not found["active"]:
        raise invalid("The configuration is inactive.", "configuration")
    return found


def _flow(world: World, customer: Json, configuration: Json, given: Json) -> Json:
    kind = given["type"]
    feature = kind.removesuffix("_confirm")
    if not configuration["features"][feature]["enabled"]:
        raise invalid(
            f"This flow is disabled because the `{feature}` feature in the portal configuration is disabled.",
            "flow_data[type]",
        )
    details: Json = given.get(kind, {})
    if kind != "payment_method_update":
        at = f"flow_data[{kind}]"
        if not details:
            raise invalid(f"Missing required param: {at}.", at, "parameter_missing")
        _check_flow(world, customer, configuration, details, at)
    after: Json = given.get("after_completion", {"type": "portal_homepage"})
    flow: Json = dict.fromkeys(("subscription_cancel", "subscription_update", "subscription_update_confirm"))
    if kind == "subscription_cancel":
        details = {"retention": None, **details}
    if kind == "subscription_update_confirm":
        items = [{"price": None, "quantity": None, **item} for item in details["items"]]
        details = {"discounts": None, **details, "items": items}
    flow |= {kind: details} if kind != "payment_method_update" else {}
    return flow | {
        "type": kind,
        "after_completion": {
            "hosted_confirmation": after.get("hosted_confirmation"),
            "redirect": after.get("redirect"),
            "type": after["type"],
        },
    }


def _check_flow(world: World, customer: Json, configuration: Json, details: Json, at: str) -> None:
    subscription = world.table("subscription").get(details["subscription"], f"{at}[subscription]")
    if subscription["customer"] != customer["id"] or subscription["status"] in (*subscriptions.ENDED, "incomplete"):
        raise invalid("The subscription is not one of the customer's that can be changed.", f"{at}[subscription]")
    if subscription["cancel_at_period_end"] and "cancel" in at:
        raise invalid("This subscription is already set to be canceled.", f"{at}[subscription]")
    products = configuration["features"]["subscription_update"]["products"]
    offered = {price for product in products for price in product["prices"]}
    for index, item in enumerate(details.get("items", [])):
        where = f"{at}[items][{index}]"
        if item["id"] not in subscription["_items"]:
            raise invalid(f"Subscription item {item['id']} does not belong to the subscription.", f"{where}[id]")
        if "price" in item:
            world.table("price").get(item["price"], f"{where}[price]")
            if item["price"] not in offered:
                message = "The price is not among the products of the portal configuration."
                raise invalid(message, f"{where}[price]")


@filler("billing_portal.session")
def _fill(world: World, shown: Json) -> None:
    shown["url"] = f"{world.settings.portal_base}/p/session/{shown['id']}"


ROUTES = (
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        _create_session,
        {
            "configuration": fields.text,
            "customer": fields.text,
            "flow_data": _FLOW,
            "locale": fields.text,
            "return_url": fields.url,
        },
        ("customer",),
    ),
    Route("POST", "/v1/billing_portal/configurations", _create_configuration, _CONFIGURATION, ("features",)),
    Route(
        "GET",
        "/v1/billing_portal/configurations",
        _list_configurations,
        {"active": fields.boolean, "is_default": fields.boolean},
        lists=True,
    ),
    Route("GET", "/v1/billing_portal/configurations/{id}", _retrieve_configuration),
    Route(
        "POST",
        "/v1/billing_portal/configurations/{id}",
        _update_configuration,
        {**_CONFIGURATION, "active": fields.boolean},
    ),
)
