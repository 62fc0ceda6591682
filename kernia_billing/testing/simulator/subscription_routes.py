"""The subscription endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import (
    changes,
    collection,
    customers,
    cycle,
    fields,
    invoices,
    lists,
    payment_methods,
    payments,
    prices,
    subscriptions,
)
from .errors import Decline, Json, invalid, missing
from .events import emit, updating
from .purchases import COMPLETION_ORDER
from .router import Call, Route
from .subscriptions import Sale, Terms

if TYPE_CHECKING:
    from .world import World

_STATUSES = ("active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")
_TRIAL_SETTINGS = fields.fields(
    required=("end_behavior",),
    end_behavior=fields.fields(
        required=("missing_payment_method",), missing_payment_method=fields.one_of("cancel", "create_invoice", "pause")
    ),
)
_NEW_ITEM = fields.fields(
    required=("price",), price=fields.text, quantity=fields.integer(0, 999_999), metadata=fields.metadata
)


def _create(world: World, call: Call) -> Json:
    params = call.params
    customer = customers.live(world, params["customer"])
    sales = _sales(world, params)
    customers.settle_currency(customer, subscriptions.common_terms(sales, "items")[2], "items")
    terms = _terms(world, customer, params)
    behavior = params.get("payment_behavior", "allow_incomplete")
    due = cycle.due_at_start(sales, trial=terms.trial_end is not None)
    method_id = terms.default_payment_method or customer["invoice_settings"]["default_payment_method"]
    refusal = _refusal(world, method_id) if due and behavior != "default_incomplete" else None
    if refusal is collection.NO_METHOD:
        raise invalid(
            "This customer has no attached payment source or default payment method.", None, "resource_missing"
        )
    if refusal is not None and behavior == "error_if_incomplete":
        raise collection.card_error(refusal)
    with world.events.in_order(COMPLETION_ORDER):
        subscription = subscriptions.build(world, customer, sales, terms)
        invoice = invoices.draft(
            world, subscription, "subscription_create", cycle.first_lines(world, subscription, sales)
        )
        invoices.finalize(world, invoice)
        if due:
            subscription["status"] = "incomplete"
        if due and behavior != "default_incomplete":
            _first_payment(world, subscription, invoice, method_id, refusal)
        with updating(world, customer, "customer.updated"):
            customer["currency"] = subscription["currency"]
        emit(world, "customer.subscription.created", subscription)
        if params.get("cancel_at_period_end"):
            changes.end_at_period_end(world, subscription, wanted=True)
        cycle.begin(world, subscription)
    return subscription


def _sales(world: World, params: Json) -> list[Sale]:
    sales: list[Sale] = []
    for index, item in enumerate(params["items"]):
        at = f"items[{index}]"
        price = world.table("price").get(item["price"], f"{at}[price]")
        quantity = item.get("quantity", None if prices.is_metered(price) else 1)
        sale = subscriptions.checked_sale(world, item["price"], quantity, at)
        if price["type"] != "recurring":
            raise invalid(
                "The price specified is set to `type=one_time` but this field only accepts prices with "
                "`type=recurring`.",
                f"{at}[price]",
            )
        sales.append(Sale(sale.price, sale.quantity, fields.merge_metadata({}, item.get("metadata"))))
    if not sales:
        raise invalid("Missing required param: items.", "items", "parameter_missing")
    return sales


def _terms(world: World, customer: Json, params: Json) -> Terms:
    if "trial_end" in params and "trial_period_days" in params:
        raise invalid("`trial_end` and `trial_period_days` are exclusive.", "trial_end", "parameters_exclusive")
    trial_end: int | None = params.get("trial_end")
    if trial_end is not None and trial_end <= world.clock.seconds():
        raise invalid("The `trial_end` must be in the future.", "trial_end")
    if params.get("trial_period_days"):
        trial_end = world.clock.seconds() + params["trial_period_days"] * 86_400
    if "default_payment_method" in params:
        id = params["default_payment_method"]
        payment_methods.of_customer(world, id, customer["id"], "default_payment_method")
    ending: Json = params.get("trial_settings", {}).get("end_behavior", {})
    return Terms(
        metadata=fields.merge_metadata({}, params.get("metadata")),
        description=params.get("description"),
        trial_end=trial_end,
        missing_payment_method=ending.get("missing_payment_method", "create_invoice"),
        default_payment_method=params.get("default_payment_method"),
        billing_mode=params.get("billing_mode", {}).get("type", "flexible"),
    )


def _refusal(world: World, method_id: str | None) -> Decline | None:
    if method_id is None:
        return collection.NO_METHOD
    used = payment_methods.card_of(world, method_id)
    return used.refusal(charging=True, present=False, passes=False)


def _first_payment(
    world: World, subscription: Json, invoice: Json, method_id: str | None, refusal: Decline | None
) -> None:
    method = world.table("payment_method").get(method_id or "")
    payments.charge(world, invoices.intent_of(world, invoice), method, refusal)
    if refusal is None:
        subscription["status"] = "active"
        invoices.mark_paid(world, invoice)
    else:
        invoices.mark_failed(world, invoice, None)


def _retrieve(world: World, call: Call) -> Json:
    return world.table("subscription").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    found = lists.filtered(
        world.table("subscription"),
        customer=params.get("customer"),
        collection_method=params.get("collection_method"),
    )
    found = [row for row in found if _has_status(row, params.get("status"))]
    if "price" in params:
        found = [
            row for row in found if any(item["price"] == params["price"] for item in subscriptions.items_of(world, row))
        ]
    return lists.page(lists.created_in(found, params), call, kind="subscription")


def _has_status(subscription: Json, wanted: str | None) -> bool:
    if wanted is None:
        return bool(subscription["status"] != "canceled")
    if wanted == "ended":
        return subscription["status"] in subscriptions.ENDED
    return wanted in ("all", subscription["status"])


def _cancel(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    if subscription["status"] in subscriptions.ENDED:
        raise missing("subscription", subscription["id"], in_path=True)
    for name in ("invoice_now", "prorate"):
        if call.params.get(name):
            raise invalid(f"The simulator does not model {name}", name, "simulator_not_modelled")
    subscriptions.cancel(world, subscription, details=call.params.get("cancellation_details"))
    return subscription


def _items(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.params["subscription"], "subscription")
    return lists.page(subscriptions.items_of(world, subscription), call, kind="subscription item")


def _item(world: World, call: Call) -> Json:
    return world.table("subscription_item").get(call.ids[0], "item", in_path=True)


ROUTES = (
    Route(
        "POST",
        "/v1/subscriptions",
        _create,
        {
            "billing_mode": fields.fields(required=("type",), type=fields.one_of("classic", "flexible")),
            "cancel_at_period_end": fields.boolean,
            "collection_method": fields.one_of("charge_automatically"),
            "customer": fields.text,
            "default_payment_method": fields.text,
            "description": fields.text_up_to(500),
            "items": fields.list_of(_NEW_ITEM, 20),
            "metadata": fields.metadata,
            "off_session": fields.boolean,
            "payment_behavior": fields.one_of("allow_incomplete", "default_incomplete", "error_if_incomplete"),
            "proration_behavior": fields.one_of("create_prorations", "none"),
            "trial_end": fields.timestamp,
            "trial_period_days": fields.integer(0, 730),
            "trial_settings": _TRIAL_SETTINGS,
        },
        ("customer", "items"),
    ),
    Route(
        "GET",
        "/v1/subscriptions",
        _list,
        {
            "collection_method": fields.one_of("charge_automatically", "send_invoice"),
            "created": fields.range_of_time,
            "customer": fields.text,
            "price": fields.text,
            "status": fields.one_of(*_STATUSES, "all", "ended"),
        },
        lists=True,
    ),
    Route("GET", "/v1/subscriptions/{id}", _retrieve),
    Route("POST", "/v1/subscriptions/{id}", changes.update, changes.FIELDS),
    Route(
        "DELETE",
        "/v1/subscriptions/{id}",
        _cancel,
        {
            "cancellation_details": changes.CANCELLATION_DETAILS,
            "invoice_now": fields.boolean,
            "prorate": fields.boolean,
        },
    ),
    Route("GET", "/v1/subscription_items", _items, {"subscription": fields.text}, ("subscription",), lists=True),
    Route("GET", "/v1/subscription_items/{id}", _item),
)
