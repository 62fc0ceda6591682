"""What parameters of a checkout session go together, and what excludes what. Source: `SessionCreateParams`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..customers import customers
from ..subscriptions import pending_intervals
from ..world.clock import add_interval
from ..world.errors import ApiError, Json, invalid, not_modelled

if TYPE_CHECKING:
    from ..subscriptions.selling import Sale
    from ..world.world import World

SHORTEST_SECONDS, LONGEST_SECONDS = 1_800, 86_400
_TWO_DAYS = 2 * 86_400
_ONLY_IN = {
    "customer_creation": ("payment", "setup"),
    "payment_intent_data": ("payment",),
    "payment_method_collection": ("subscription",),
    "setup_intent_data": ("setup",),
    "submit_type": ("payment", "subscription"),
    "subscription_data": ("subscription",),
    "line_items": ("payment", "subscription"),
    "discounts": ("payment", "subscription"),
    "allow_promotion_codes": ("payment", "subscription"),
}
_NOT_WITH_ELEMENTS = ("after_expiration", "custom_fields", "custom_text", "submit_type")


def check_mode(params: Json) -> None:
    """See that no parameter belongs to another mode.

    Raises:
        ApiError: one does.
    """
    mode = params["mode"]
    for name, modes in _ONLY_IN.items():
        if name in params and mode not in modes:
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", name)
    if mode == "setup" and "currency" not in params:
        raise ApiError("Missing required param: currency.", code="parameter_missing", param="currency")
    if "currency" in params and mode != "setup":
        raise not_modelled("the parameter currency beside line_items", "currency")


def check_page(params: Json) -> None:
    """See that the URLs fit where the page is shown.

    Raises:
        ApiError: one is missing or does not belong there.
    """
    ui_mode = params.get("ui_mode", "hosted_page")
    if ui_mode == "form":
        raise not_modelled("ui_mode=form", "ui_mode")
    hosted = ui_mode == "hosted_page"
    for name in ("success_url", "cancel_url"):
        if name in params and not hosted:
            raise invalid(f"`{name}` can not be set when `ui_mode` is `{ui_mode}`.", name)
    if "return_url" in params and hosted:
        raise invalid("`return_url` can only be set when `ui_mode` is `embedded_page` or `elements`.", "return_url")
    if "redirect_on_completion" in params and ui_mode != "embedded_page":
        message = "`redirect_on_completion` can only be set when `ui_mode` is `embedded_page`."
        raise invalid(message, "redirect_on_completion")
    if ui_mode == "elements":
        for name in _NOT_WITH_ELEMENTS:
            if name in params:
                raise invalid(f"You can not pass `{name}` when `ui_mode` is `elements`.", name)
    _check_way_back(params, hosted=hosted)


def _check_way_back(params: Json, *, hosted: bool) -> None:
    needed = "success_url" if hosted else "return_url"
    stays = params.get("redirect_on_completion") == "never"
    if needed not in params and not stays:
        raise invalid(f"Missing required param: {needed}.", needed, "parameter_missing")
    if stays and "return_url" in params:
        raise invalid("`return_url` can not be set when `redirect_on_completion` is `never`.", "return_url")


def check_customer(world: World, params: Json) -> Json | None:
    """The customer who is named, if one is.

    Raises:
        ApiError: unknown or deleted, or other parameters speak of another one or do not fit it.
    """
    if "customer" not in params:
        if "customer_update" in params:
            raise invalid("`customer_update` can only be used with `customer`.", "customer_update")
        return None
    for name in ("customer_email", "customer_creation"):
        if name in params:
            raise invalid(f"You may only specify one of these parameters: customer, {name}.", name)
    wants_name = params.get("tax_id_collection", {}).get("enabled")
    if wants_name and params.get("customer_update", {}).get("name") != "auto":
        raise invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
            "existing customer, please set `customer_update[name]` to `auto`.",
            "tax_id_collection",
        )
    customer = customers.live(world, params["customer"])
    _check_location(params, customer)
    return customer


def _check_location(params: Json, customer: Json) -> None:
    update: Json = params.get("customer_update", {})
    if not params.get("automatic_tax", {}).get("enabled") or "auto" in (update.get("address"), update.get("shipping")):
        return
    if not customer["address"]:
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' "
            "to save the address entered in Checkout to the Customer.",
            "automatic_tax",
            "customer_tax_location_invalid",
        )


def check_expiry(world: World, params: Json) -> int:
    """When the session expires: after 30 minutes to 24 hours, by default the latter.

    Raises:
        ApiError: it is to be sooner or later.
    """
    now = world.clock.seconds()
    expires_at: int = params.get("expires_at", now + LONGEST_SECONDS)
    if not now + SHORTEST_SECONDS <= expires_at <= now + LONGEST_SECONDS:
        least = "at least 30 minutes from Checkout Session creation"
        most = "less than 24 hours from Checkout Session creation"
        early = expires_at < now + SHORTEST_SECONDS
        raise invalid(f"The `expires_at` timestamp must be {least if early else most}.", "expires_at")
    return expires_at


def check_subscription_data(world: World, params: Json, sales: list[Sale]) -> None:
    """See that trial, anchor and the interval of pending items are possible.

    Raises:
        ApiError: both are given, or one lies where it cannot.
    """
    data: Json = params.get("subscription_data", {})
    if "trial_end" in data and "trial_period_days" in data:
        raise invalid("`trial_end` and `trial_period_days` are exclusive.", "subscription_data", "parameters_exclusive")
    if "trial_end" in data and data["trial_end"] < world.clock.seconds() + _TWO_DAYS:
        raise invalid("The `trial_end` date has to be at least 2 days in the future.", "subscription_data[trial_end]")
    at = "subscription_data[pending_invoice_item_interval]"
    given = data.get("pending_invoice_item_interval")
    pending_intervals.check(given, [sale.price for sale in sales], world.clock.seconds(), at)
    _check_anchor(world, data, sales)


def _check_anchor(world: World, data: Json, sales: list[Sale]) -> None:
    at = "subscription_data[billing_cycle_anchor]"
    if "proration_behavior" in data and "billing_cycle_anchor" not in data:
        at = "subscription_data[proration_behavior]"
        raise invalid("`proration_behavior` can only be set with `billing_cycle_anchor`.", at)
    if "billing_cycle_anchor" not in data:
        return
    if "trial_end" in data or "trial_period_days" in data:
        raise invalid("`billing_cycle_anchor` can not be set together with a trial.", at)
    now, anchor = world.clock.seconds(), data["billing_cycle_anchor"]
    recurring: Json = next(sale.price["recurring"] for sale in sales if sale.price["type"] == "recurring")
    if not now < anchor <= add_interval(now, recurring["interval"], recurring["interval_count"]):
        raise invalid("`billing_cycle_anchor` must be in the future, within one billing period.", at)


def check_custom_fields(params: Json) -> None:
    """See that the fields differ and that each has what its type needs.

    Raises:
        ApiError: they do not.
    """
    given: list[Json] = params.get("custom_fields", [])
    for index, field in enumerate(given):
        at = f"custom_fields[{index}]"
        if not field["key"].isalnum():
            raise invalid("The key must be alphanumeric.", f"{at}[key]")
        if field["type"] == "dropdown" and not field.get("dropdown", {}).get("options"):
            raise invalid("A dropdown needs at least one option.", f"{at}[dropdown]", "parameter_missing")
        for other in {"dropdown", "numeric", "text"} - {field["type"]}:
            if other in field:
                raise invalid(f"`{other}` can only be set when `type` is `{other}`.", f"{at}[{other}]")
    if len({field["key"] for field in given}) != len(given):
        raise invalid("The keys of custom fields must be unique.", "custom_fields")
