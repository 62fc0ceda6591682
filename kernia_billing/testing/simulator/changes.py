"""Changing a subscription through the API: prices, quantities, metadata, payment method, cancellation.

Prorations are not modelled: the next invoice bills what the items say by then, and changes that Stripe bills at once
are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from . import cycle, fields, payment_methods, subscriptions
from .errors import Json, invalid, not_modelled
from .events import updating
from .prices import is_metered
from .router import Call
from .subscriptions import Sale

if TYPE_CHECKING:
    from .world import World

CANCELLATION_DETAILS = fields.fields(
    comment=fields.clearable(fields.text),
    feedback=fields.clearable(
        fields.one_of(
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        )
    ),
)
FIELDS: dict[str, fields.Reader] = {
    "cancel_at": fields.clearable(fields.timestamp),
    "cancel_at_period_end": fields.boolean,
    "cancellation_details": CANCELLATION_DETAILS,
    "default_payment_method": fields.text,
    "description": fields.clearable(fields.text_up_to(500)),
    "items": fields.list_of(
        fields.fields(
            id=fields.text,
            price=fields.text,
            quantity=fields.integer(0, 999_999),
            metadata=fields.metadata,
            deleted=fields.boolean,
        ),
        20,
    ),
    "metadata": fields.metadata,
    "off_session": fields.boolean,
    "payment_behavior": fields.one_of("allow_incomplete", "error_if_incomplete"),
    "proration_behavior": fields.one_of("create_prorations", "none", "always_invoice"),
}
_ALWAYS_EDITABLE = {"cancellation_details", "metadata"}


@frozen
class _ItemChange:
    item: Json | None
    sale: Sale
    deleted: bool = False


def update(world: World, call: Call) -> Json:
    """Serve `POST /v1/subscriptions/{id}`."""
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    params = call.params
    _check_editable(subscription, params)
    if "default_payment_method" in params:
        id = params["default_payment_method"]
        payment_methods.of_customer(world, id, subscription["customer"], "default_payment_method")
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid("`cancel_at` and `cancel_at_period_end` are exclusive.", "cancel_at", "parameters_exclusive")
    if params.get("cancel_at") and params["cancel_at"] <= world.clock.seconds():
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
    metadata = fields.merge_metadata(subscription["metadata"], params.get("metadata"))
    planned = _plan_items(world, subscription, params)
    with updating(world, subscription, "customer.subscription.updated"):
        subscription["metadata"] = metadata
        if "default_payment_method" in params:
            subscription["default_payment_method"] = params["default_payment_method"]
        if "description" in params:
            subscription["description"] = params["description"] or None
        if "cancellation_details" in params:
            given = {name: value or None for name, value in params["cancellation_details"].items()}
            subscription["cancellation_details"] |= given
        _apply_items(world, subscription, planned)
        if "cancel_at_period_end" in params:
            end_at_period_end(world, subscription, wanted=params["cancel_at_period_end"])
        elif "cancel_at" in params:
            _end_at(world, subscription, params["cancel_at"] or None)
    return subscription


def end_at_period_end(world: World, subscription: Json, *, wanted: bool) -> None:
    """Set or take back the cancellation at the end of the period."""
    end = subscriptions.period_of(world, subscription)[1] if wanted else None
    _end_at(world, subscription, end)
    subscription["cancel_at_period_end"] = wanted


def _end_at(world: World, subscription: Json, moment: int | None) -> None:
    now = world.clock.seconds()
    subscription |= {
        "cancel_at": moment,
        "cancel_at_period_end": False,
        "canceled_at": now if moment is not None else None,
    }
    subscription["cancellation_details"] |= {"reason": "cancellation_requested" if moment is not None else None}
    if moment is not None:
        world.agenda.add(moment, cycle.period_end, subscription["id"])


def _check_editable(subscription: Json, params: Json) -> None:
    status = subscription["status"]
    if status in subscriptions.ENDED and set(params) - _ALWAYS_EDITABLE:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if status == "incomplete" and set(params) - {"metadata", "default_payment_method", "description"}:
        raise invalid("This subscription is incomplete: only its metadata and payment method can be updated.")
    if params.get("proration_behavior") == "always_invoice" and "items" in params:
        raise not_modelled("proration_behavior=always_invoice", "proration_behavior")


def _plan_items(world: World, subscription: Json, params: Json) -> list[_ItemChange]:
    planned = [
        _plan_item(world, subscription, given, f"items[{index}]") for index, given in enumerate(params.get("items", []))
    ]
    if not planned:
        return []
    changed = {change.item["id"]: change for change in planned if change.item is not None}
    kept = [
        Sale(world.table("price").get(item["price"]), item["quantity"])
        for item in subscriptions.items_of(world, subscription)
        if item["id"] not in changed
    ]
    after = [*kept, *(change.sale for change in planned if not change.deleted)]
    if not after:
        raise invalid("A subscription must have at least one active plan.", "items")
    interval, count, currency = subscriptions.common_terms(after, "items")
    if currency != subscription["currency"]:
        raise invalid("The currency of a subscription cannot be changed.", "items")
    first = world.table("price").get(subscriptions.items_of(world, subscription)[0]["price"])["recurring"]
    if (interval, count) != (first["interval"], first["interval_count"]):
        raise not_modelled("a change of billing interval, which Stripe bills at once", "items")
    return planned


def _plan_item(world: World, subscription: Json, given: Json, at: str) -> _ItemChange:
    item = _own_item(world, subscription, given["id"], f"{at}[id]") if "id" in given else None
    if item is None and "price" not in given:
        raise invalid(f"Missing required param: {at}[price].", f"{at}[price]", "parameter_missing")
    price_id = given["price"] if "price" in given else item["price"] if item else ""
    price = world.table("price").get(price_id, f"{at}[price]")
    if price["type"] != "recurring":
        raise invalid("This field only accepts prices with `type=recurring`.", f"{at}[price]")
    if given.get("deleted"):
        return _ItemChange(item, Sale(price, None), deleted=True)
    current = item["quantity"] if item else None
    quantity = given.get("quantity", None if is_metered(price) else (current if current is not None else 1))
    metadata = fields.merge_metadata(item["metadata"] if item else {}, given.get("metadata"))
    if item is not None and item["price"] == price_id and not price["active"]:
        return _ItemChange(item, Sale(price, quantity, metadata))  # an old price may be kept, though not sold
    sale = subscriptions.checked_sale(world, price_id, quantity, at)
    return _ItemChange(item, Sale(sale.price, sale.quantity, metadata))


def _own_item(world: World, subscription: Json, id: str, at: str) -> Json:
    if id not in subscription["_items"]:
        raise invalid(f"Subscription item {id} does not belong to subscription {subscription['id']}.", at)
    return world.table("subscription_item").get(id, at)


def _apply_items(world: World, subscription: Json, planned: list[_ItemChange]) -> None:
    period = subscriptions.period_of(world, subscription)
    for change in planned:
        if change.item is None:
            subscriptions.add_item(world, subscription, change.sale, period)
        elif change.deleted:
            subscription["_items"] = [id for id in subscription["_items"] if id != change.item["id"]]
            del world.table("subscription_item").rows[change.item["id"]]
        else:
            change.item.update(
                price=change.sale.price["id"],
                quantity=change.sale.quantity,
                metadata=dict(change.sale.metadata),
            )
