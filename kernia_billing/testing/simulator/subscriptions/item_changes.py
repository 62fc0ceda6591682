"""Reading what a request wants of the items of a subscription, and seeing that it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..api import fields
from ..catalog import tax_rates
from ..catalog.prices import is_metered
from ..invoices import discounts
from ..world.errors import Json, invalid
from . import deductions, selling, subscriptions
from .selling import Sale, within
from .transitions import ItemChange

if TYPE_CHECKING:
    from ..world.world import World

ITEM: dict[str, fields.Reader] = {
    "discounts": discounts.PARAM,
    "metadata": fields.metadata,
    "price": fields.text,
    "quantity": fields.integer(0, 999_999),
    "tax_rates": tax_rates.IDS,
}
ITEMS = fields.list_of(
    fields.fields(
        required=(),
        **ITEM,
        clear_usage=fields.boolean,
        deleted=fields.boolean,
        id=fields.text,
    ),
    20,
)
EXTRAS = fields.list_of(
    fields.fields(
        required=("price",), metadata=fields.metadata, price=fields.text, quantity=fields.integer(1, 999_999)
    ),
    20,
)
"""Reads `add_invoice_items`. Not modelled: their discounts, tax rates and periods."""


def plan(world: World, subscription: Json, given: Sequence[Json], at: str = "items") -> list[ItemChange]:
    """The changes that a request asks for; `at` names its parameter.

    Raises:
        ApiError: an item of another subscription, a price that cannot be sold, nothing left, or terms that do not fit.
    """
    planned = [plan_one(world, subscription, entry, f"{at}[{index}]") for index, entry in enumerate(given)]
    check(world, subscription, planned, at)
    return planned


def check(world: World, subscription: Json, planned: Sequence[ItemChange], at: str = "items") -> None:
    """See that the subscription could be what is planned; raises as `plan` does."""
    if not planned:
        return
    changed = {change.item["id"] for change in planned if change.item is not None}
    if len(changed) != len([change for change in planned if change.item is not None]):
        raise invalid("A subscription item can be changed only once in a request.", at)
    kept = [
        Sale(world.table("price").get(item["price"]), item["quantity"])
        for item in subscriptions.items_of(world, subscription)
        if item["id"] not in changed
    ]
    after = [*kept, *(change.sale for change in planned if not change.deleted)]
    if not after:
        raise invalid("A subscription must have at least one active plan.", at)
    if len(after) > 20:
        raise invalid("A subscription can have at most 20 items.", at)
    flexible = subscription["billing_mode"]["type"] == "flexible"
    if selling.mixed_terms(after, at, flexible=flexible) != subscription["currency"]:
        raise invalid("The currency of a subscription cannot be changed.", at)


def plan_one(world: World, subscription: Json, given: Json, at: str) -> ItemChange:
    """The change of one item that `given` asks for, which is the whole request when `at` is empty."""
    item = _own(world, subscription, given["id"], within(at, "id")) if "id" in given else None
    if item is None and "price" not in given:
        raise invalid(f"Missing required param: {within(at, 'price')}.", within(at, "price"), "parameter_missing")
    price_id: str = given["price"] if "price" in given else item["price"] if item else ""
    price = world.table("price").get(price_id, within(at, "price"))
    if price["type"] != "recurring":
        raise invalid("This field only accepts prices with `type=recurring`.", within(at, "price"))
    if given.get("deleted"):
        return _deletion(price, item, given, at)
    if "clear_usage" in given:
        raise invalid("`clear_usage` can only be set with `deleted`.", within(at, "clear_usage"))
    same = item is not None and item["price"] == price_id
    quantity = given.get("quantity", item["quantity"] if item and same else None if is_metered(price) else 1)
    metadata = fields.merge_metadata(item["metadata"] if item else {}, given.get("metadata"))
    deducted = deductions.plan(
        world,
        given,
        at,
        customer=subscription["customer"],
        currency=subscription["currency"],
        has=deductions.ancestors(world, subscription, item),
        rates="tax_rates",
    )
    if same and not price["active"]:  # an old price may be kept, though not sold
        return ItemChange(item, Sale(price, quantity, metadata), deductions=deducted)
    sale = selling.checked_sale(world, price_id, quantity, at)
    return ItemChange(item, Sale(sale.price, sale.quantity, metadata), deductions=deducted)


def extras(world: World, given: Sequence[Json], currency: str) -> list[Sale]:
    """The one-time prices that `add_invoice_items` asks for.

    Raises:
        ApiError: one is not a one-time price of the currency that may be sold.
    """
    sales: list[Sale] = []
    for index, entry in enumerate(given):
        at = f"add_invoice_items[{index}]"
        sale = selling.checked_sale(world, entry["price"], entry.get("quantity", 1), at)
        if sale.price["type"] != "one_time" or sale.price["currency"] != currency:
            raise invalid(
                "This field only accepts prices with `type=one_time` of the same currency.", within(at, "price")
            )
        sales.append(Sale(sale.price, sale.quantity, fields.merge_metadata({}, entry.get("metadata"))))
    return sales


def _deletion(price: Json, item: Json | None, given: Json, at: str) -> ItemChange:
    if item is None:
        raise invalid(f"Missing required param: {within(at, 'id')}.", within(at, "id"), "parameter_missing")
    if given.get("clear_usage") and not is_metered(price):
        raise invalid("`clear_usage` can only be set for metered prices.", within(at, "clear_usage"))
    return ItemChange(item, Sale(price, None), deleted=True, clear_usage=given.get("clear_usage", False))


def _own(world: World, subscription: Json, id: str, at: str) -> Json:
    if id not in subscription["_items"]:
        raise invalid(f"Subscription item {id} does not belong to subscription {subscription['id']}.", at)
    return world.table("subscription_item").get(id, at)
