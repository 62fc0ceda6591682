"""Checkout sessions: opened by the API, paid or left by a person. Only subscriptions are sold so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import customers, cycle, fields, lists, prices, subscriptions
from .errors import Json, invalid
from .events import emit
from .rendering import filler, includable, render
from .router import Call, Route
from .subscriptions import Sale

if TYPE_CHECKING:
    from .world import World

MOST_RECURRING = MOST_ONE_TIME = 20
_TWO_DAYS = 2 * 86_400

_AUTO = fields.one_of("auto", "never")
_ENABLED = fields.fields(required=("enabled",), enabled=fields.boolean)
_LINE = fields.fields(
    required=("price",),
    price=fields.text,
    quantity=fields.integer(0, 999_999),
    adjustable_quantity=fields.fields(
        required=("enabled",),
        enabled=fields.boolean,
        minimum=fields.integer(0, 999_999),
        maximum=fields.integer(1, 999_999),
    ),
    metadata=fields.metadata,
)
_SUBSCRIPTION_DATA = fields.fields(
    billing_mode=fields.fields(required=("type",), type=fields.one_of("classic", "flexible")),
    description=fields.text_up_to(500),
    metadata=fields.metadata,
    proration_behavior=fields.one_of("create_prorations", "none"),
    trial_end=fields.timestamp,
    trial_period_days=fields.integer(1, 730),
    trial_settings=fields.fields(
        required=("end_behavior",),
        end_behavior=fields.fields(
            required=("missing_payment_method",),
            missing_payment_method=fields.one_of("cancel", "create_invoice", "pause"),
        ),
    ),
)
_FIELDS: dict[str, fields.Reader] = {
    "allow_promotion_codes": fields.boolean,
    "allowed_payment_method_types": fields.list_of(fields.text),
    "automatic_tax": _ENABLED,
    "billing_address_collection": fields.one_of("auto", "required"),
    "cancel_url": fields.url,
    "client_reference_id": fields.text_up_to(200),
    "customer": fields.text,
    "customer_email": fields.email,
    "customer_update": fields.fields(address=_AUTO, name=_AUTO, shipping=_AUTO),
    "expires_at": fields.timestamp,
    "line_items": fields.list_of(_LINE, 100),
    "locale": fields.text,
    "metadata": fields.metadata,
    "mode": fields.one_of("payment", "setup", "subscription"),
    "payment_method_collection": fields.one_of("always", "if_required"),
    "phone_number_collection": _ENABLED,
    "return_url": fields.url,
    "subscription_data": _SUBSCRIPTION_DATA,
    "success_url": fields.url,
    "tax_id_collection": _ENABLED,
    "ui_mode": fields.one_of("hosted_page", "embedded_page", "elements", "form"),
}


def sales_of(world: World, session: Json) -> list[Sale]:
    """What a session sells."""
    rows = session["_lines"]
    return [Sale(world.table("price").get(row["price"]), row["quantity"]) for row in rows]


def trial_end_of(world: World, session: Json) -> int | None:
    """When a trial that begins now would end."""
    data: Json = session["_subscription_data"]
    if "trial_period_days" in data:
        return world.clock.seconds() + int(data["trial_period_days"]) * 86_400
    end: int | None = data.get("trial_end")
    return end


def expire(world: World, session: Json) -> None:
    """End an open session and emit `checkout.session.expired`."""
    session["status"] = "expired"
    emit(world, "checkout.session.expired", session)


def _expire_when_due(world: World, id: str) -> None:
    session = world.table("checkout.session").get(id)
    if session["status"] == "open" and session["expires_at"] <= world.clock.seconds():
        expire(world, session)


def _create(world: World, call: Call) -> Json:
    params = call.params
    _check_page(params)
    customer = _check_customer(world, params)
    expires_at = _check_expiry(world, params)
    sales = _check_lines(world, params)
    _check_trial(world, params)
    currency = subscriptions.common_terms(sales, "line_items")[2]
    if customer is not None:
        customers.settle_currency(customer, currency, "line_items")
    session = _blank(world, params, customer, currency, expires_at)
    session["_lines"] = [
        {
            "id": world.ids.new("li"),
            "price": sale.price["id"],
            "quantity": sale.quantity,
            "adjustable_quantity": line.get("adjustable_quantity"),
        }
        for sale, line in zip(sales, params["line_items"], strict=True)
    ]
    due = cycle.due_at_start(sales, trial=trial_end_of(world, session) is not None)
    session |= {"amount_subtotal": due, "amount_total": due}
    world.table("checkout.session").add(session)
    world.agenda.add(expires_at, _expire_when_due, session["id"])
    return session


def _check_page(params: Json) -> None:
    mode, ui_mode = params["mode"], params.get("ui_mode", "hosted_page")
    if mode != "subscription":
        raise invalid(f"The simulator does not model mode={mode} of Checkout yet", "mode", "simulator_not_modelled")
    if ui_mode != "hosted_page":
        raise invalid(f"The simulator does not model ui_mode={ui_mode}", "ui_mode", "simulator_not_modelled")
    if "return_url" in params:
        raise invalid("`return_url` can only be set when `ui_mode` is `embedded_page` or `elements`.", "return_url")
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", "success_url", "parameter_missing")
    if params.get("automatic_tax", {}).get("enabled"):
        raise invalid("The simulator does not model automatic tax", "automatic_tax", "simulator_not_modelled")


def _check_customer(world: World, params: Json) -> Json | None:
    if "customer" not in params:
        if "customer_update" in params:
            raise invalid("`customer_update` can only be used with `customer`.", "customer_update")
        return None
    if "customer_email" in params:
        raise invalid("You may only specify one of these parameters: customer, customer_email.", "customer_email")
    wants_name = params.get("tax_id_collection", {}).get("enabled")
    if wants_name and params.get("customer_update", {}).get("name") != "auto":
        raise invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
            "existing customer, please set `customer_update[name]` to `auto`.",
            "tax_id_collection",
        )
    return customers.live(world, params["customer"])


def _check_expiry(world: World, params: Json) -> int:
    now = world.clock.seconds()
    expires_at: int = params.get("expires_at", now + 86_400)
    if not now + 1_800 <= expires_at <= now + 86_400:
        least = "at least 30 minutes from Checkout Session creation"
        most = "less than 24 hours from Checkout Session creation"
        raise invalid(
            f"The `expires_at` timestamp must be {least if expires_at < now + 1_800 else most}.", "expires_at"
        )
    return expires_at


def _check_lines(world: World, params: Json) -> list[Sale]:
    lines: list[Json] = params.get("line_items", [])
    sales = [
        subscriptions.checked_sale(world, line["price"], line.get("quantity"), f"line_items[{index}]")
        for index, line in enumerate(lines)
    ]
    for index, sale in enumerate(sales):
        if sale.quantity == 0:
            raise invalid("This value must be greater than or equal to 1.", f"line_items[{index}][quantity]")
    recurring = [sale for sale in sales if sale.price["type"] == "recurring"]
    if not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.", "line_items"
        )
    if len(recurring) > MOST_RECURRING or len(sales) - len(recurring) > MOST_ONE_TIME:
        raise invalid("Checkout takes at most 20 recurring and 20 one-time prices.", "line_items")
    return sales


def _check_trial(world: World, params: Json) -> None:
    data: Json = params.get("subscription_data", {})
    if "trial_end" in data and "trial_period_days" in data:
        raise invalid("`trial_end` and `trial_period_days` are exclusive.", "subscription_data", "parameters_exclusive")
    if "trial_end" in data and data["trial_end"] < world.clock.seconds() + _TWO_DAYS:
        raise invalid("The `trial_end` date has to be at least 2 days in the future.", "subscription_data[trial_end]")


def _blank(world: World, params: Json, customer: Json | None, currency: str, expires_at: int) -> Json:
    id = world.ids.new("cs_test", 60)
    data: Json = params.get("subscription_data", {})
    email = customer["email"] if customer else params.get("customer_email")
    return {
        "id": id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": world.clock.seconds(),
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer["id"] if customer else None,
        "customer_account": None,
        "customer_creation": None if customer else "always",
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
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": params.get("phone_number_collection", {}).get("enabled", False)},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": params["success_url"],
        "tax_id_collection": _tax_id_collection(params),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        "wallet_options": None,
        "_customer_update": params.get("customer_update", {}),
        "_subscription_data": {**data, "metadata": fields.merge_metadata({}, data.get("metadata"))},
        "_attempted_intent": None,
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
    if shown["status"] == "open":
        shown["url"] = f"{world.settings.checkout_base}/c/pay/{shown['id']}"


@includable("checkout.session", "line_items")
def _line_items(world: World, session: Json) -> Json:
    return lists.embedded(_rows(world, session), f"/v1/checkout/sessions/{session['id']}/line_items")


def _rows(world: World, session: Json) -> list[Json]:
    rows: list[Json] = []
    for row in session["_lines"]:
        price = world.table("price").get(row["price"])
        amount = 0 if prices.is_metered(price) else prices.cost(price, row["quantity"])
        rows.append(
            {
                "id": row["id"],
                "object": "item",
                "adjustable_quantity": row["adjustable_quantity"],
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price["currency"],
                "description": world.table("product").get(price["product"])["name"],
                "metadata": {},
                "price": render(world, price),
                "quantity": row["quantity"],
            }
        )
    return rows


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
    return lists.page(_rows(world, session), call, kind="line item")


ROUTES = (
    Route("POST", "/v1/checkout/sessions", _create, _FIELDS, ("mode",)),
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
