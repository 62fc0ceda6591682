"""Configurations of the customer portal: what customers may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit, updating

if TYPE_CHECKING:
    from ..world.world import World

_ENABLED = fields.fields(required=("enabled",), enabled=fields.boolean)
_REASONS = (
    *("customer_service", "low_quality", "missing_features", "other", "switched_service"),
    *("too_complex", "too_expensive", "unused"),
)
_PRODUCT = fields.fields(
    required=("product", "prices"),
    adjustable_quantity=fields.fields(
        required=("enabled",), enabled=fields.boolean, maximum=fields.integer(1), minimum=fields.integer(0)
    ),
    prices=fields.list_of(fields.text),
    product=fields.text,
)
_PRORATION = fields.one_of("always_invoice", "create_prorations", "none")
_INTERVAL = fields.fields(
    required=("interval",),
    interval=fields.one_of("day", "month", "week", "year"),
    interval_count=fields.integer(1, 1_095),
)
_FEATURES = fields.fields(
    customer_update=fields.fields(
        required=("enabled",),
        enabled=fields.boolean,
        allowed_updates=fields.clearable(
            fields.list_of(fields.one_of("address", "email", "name", "phone", "shipping", "tax_id"))
        ),
    ),
    invoice_history=_ENABLED,
    payment_method_update=_ENABLED,
    subscription_cancel=fields.fields(
        required=("enabled",),
        cancellation_reason=fields.fields(
            required=("enabled", "options"),
            enabled=fields.boolean,
            options=fields.clearable(fields.list_of(fields.one_of(*_REASONS))),
        ),
        enabled=fields.boolean,
        mode=fields.one_of("at_period_end", "immediately"),
        proration_behavior=_PRORATION,
    ),
    subscription_pause=fields.fields(
        duration=fields.fields(
            required=("type",),
            interval_options=fields.clearable(fields.list_of(_INTERVAL)),
            type=fields.one_of("indefinite", "interval_options"),
        ),
        enabled=fields.boolean,
    ),
    subscription_update=fields.fields(
        required=("enabled",),
        billing_cycle_anchor=fields.one_of("now", "unchanged"),
        enabled=fields.boolean,
        default_allowed_updates=fields.clearable(fields.list_of(fields.one_of("price", "promotion_code", "quantity"))),
        products=fields.clearable(fields.list_of(_PRODUCT, 10)),
        proration_behavior=_PRORATION,
        schedule_at_period_end=fields.fields(
            conditions=fields.list_of(
                fields.fields(required=("type",), type=fields.one_of("decreasing_item_amount", "shortening_interval"))
            )
        ),
        trial_update_behavior=fields.one_of("continue_trial", "end_trial"),
    ),
)
_CONFIGURATION: dict[str, fields.Reader] = {
    "business_profile": fields.fields(
        headline=fields.clearable(fields.text_up_to(60)), privacy_policy_url=fields.url, terms_of_service_url=fields.url
    ),
    "default_return_url": fields.clearable(fields.url),
    "features": _FEATURES,
    "login_page": _ENABLED,
    "metadata": fields.metadata,
    "name": fields.clearable(fields.text_up_to(100)),
}


def default_configuration(world: World) -> Json:
    """The configuration saved in the Dashboard: everything but changes of plan is allowed."""
    for row in world.table("billing_portal.configuration"):
        if row["is_default"]:
            return row
    made = _blank(world, {}, is_default=True)
    return world.table("billing_portal.configuration").add(made)


def _features(given: Json) -> Json:
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
        "subscription_cancel": _cancel(given.get("subscription_cancel", {})),
        "subscription_pause": _pause(given.get("subscription_pause", {})),
        "subscription_update": _update(given.get("subscription_update", {})),
    }


def _cancel(given: Json) -> Json:
    reason: Json = given.get("cancellation_reason", {})
    return {
        "cancellation_reason": {"enabled": reason.get("enabled", False), "options": reason.get("options") or []},
        "enabled": given.get("enabled", False),
        "mode": given.get("mode", "at_period_end"),
        "proration_behavior": given.get("proration_behavior", "none"),
    }


def _pause(given: Json) -> Json:
    """A pause lasts for a month unless something else is offered."""
    duration: Json = given.get("duration", {"type": "interval_options", "interval_options": [{"interval": "month"}]})
    options: list[Json] = duration.get("interval_options") or []
    return {
        "duration": {
            "interval_options": [{"interval_count": 1, **option} for option in options],
            "type": duration["type"],
        },
        "enabled": given.get("enabled", False),
    }


def _update(given: Json) -> Json:
    products: list[Json] = given.get("products") or []
    return {
        "billing_cycle_anchor": given.get("billing_cycle_anchor"),
        "default_allowed_updates": given.get("default_allowed_updates") or [],
        "enabled": given.get("enabled", False),
        "products": [_product(product) for product in products],
        "proration_behavior": given.get("proration_behavior", "none"),
        "schedule_at_period_end": {"conditions": given.get("schedule_at_period_end", {}).get("conditions", [])},
        "trial_update_behavior": given.get("trial_update_behavior", "end_trial"),
    }


def _product(given: Json) -> Json:
    quantity = {"enabled": False, "maximum": None, "minimum": 1, **given.get("adjustable_quantity", {})}
    return {**given, "adjustable_quantity": quantity}


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
        "login_page": _login_page(world, params),
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "name": params.get("name") or None,
        "updated": now,
    }


def _login_page(world: World, params: Json) -> Json:
    enabled = params.get("login_page", {}).get("enabled", False)
    return {
        "enabled": enabled,
        "url": f"{world.settings.portal_base}/p/login/test_{world.account_id}" if enabled else None,
    }


def _check(world: World, params: Json) -> None:
    """See that the features fit together, and that every product has the prices that are offered for it.

    Raises:
        ApiError: they do not.
    """
    features: Json = params.get("features", {})
    cancel: Json = features.get("subscription_cancel", {})
    at = "features[subscription_cancel][proration_behavior]"
    proration = cancel.get("proration_behavior", "none")
    if proration == "always_invoice" or (proration != "none" and cancel.get("mode") != "immediately"):
        raise invalid(f"`proration_behavior={proration}` can not be used with this `mode` of cancellation.", at)
    duration: Json = features.get("subscription_pause", {}).get("duration", {})
    if duration.get("type") == "interval_options" and not duration.get("interval_options"):
        at = "features[subscription_pause][duration][interval_options]"
        raise ApiError(f"Missing required param: {at}.", code="parameter_missing", param=at)
    update: Json = features.get("subscription_update", {})
    if update.get("enabled") and not (update.get("default_allowed_updates") and update.get("products")):
        at = "features[subscription_update]"
        raise invalid("An enabled `subscription_update` needs `default_allowed_updates` and `products`.", at)
    _check_products(world, params)


def _check_products(world: World, params: Json) -> None:
    update: Json = params.get("features", {}).get("subscription_update", {})
    for index, product in enumerate(update.get("products") or []):
        at = f"features[subscription_update][products][{index}]"
        world.table("product").get(product["product"], f"{at}[product]")
        for price in product["prices"]:
            if world.table("price").get(price, f"{at}[prices]")["product"] != product["product"]:
                raise invalid(f"The price {price} does not belong to product {product['product']}.", f"{at}[prices]")


def _create_configuration(world: World, call: Call) -> Json:
    _check(world, call.params)
    made = world.table("billing_portal.configuration").add(_blank(world, call.params))
    emit(world, "billing_portal.configuration.created", made)
    return made


def _update_configuration(world: World, call: Call) -> Json:
    configuration = world.table("billing_portal.configuration").get(call.ids[0], in_path=True)
    params = call.params
    _check(world, params)
    metadata = fields.merge_metadata(configuration["metadata"], params.get("metadata"))
    with updating(world, configuration, "billing_portal.configuration.updated"):
        if "active" in params:
            configuration["active"] = params["active"]
        if "features" in params:
            fresh = _features(params["features"])
            configuration["features"] |= {name: fresh[name] for name in params["features"]}
        if "default_return_url" in params:
            configuration["default_return_url"] = params["default_return_url"] or None
        if "name" in params:
            configuration["name"] = params["name"] or None
        if "login_page" in params:
            configuration["login_page"] = _login_page(world, params)
        for name, value in params.get("business_profile", {}).items():
            configuration["business_profile"][name] = value or None
        configuration |= {"metadata": metadata, "updated": world.clock.seconds()}
    return configuration


def _retrieve_configuration(world: World, call: Call) -> Json:
    return world.table("billing_portal.configuration").get(call.ids[0], in_path=True)


def _list_configurations(world: World, call: Call) -> Json:
    default_configuration(world)
    names = ("active", "is_default")
    rows = world.table("billing_portal.configuration")
    found = lists.filtered(rows, **{name: call.params.get(name) for name in names})
    return lists.page(found, call, kind="configuration")


ROUTES = (
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
