"""The lines of an invoice: what a subscription item, an invoice item or a one-time price costs on it.

Sums, discounts and taxes of lines are not computed here but in `totals`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..catalog import prices
from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World


def line(world: World, subscription: Json, item: Json, quantity: int, period: tuple[int, int]) -> Json:
    """A line for `quantity` units of a subscription item over a period, in UTC seconds."""
    price = world.table("price").get(item["price"])
    made = _priced(world, subscription, price, quantity, period)
    return made | {"parent": _of_subscription_item(subscription["id"], item["id"])}


def free_line(world: World, subscription: Json, item: Json, period: tuple[int, int]) -> Json:
    """A line over a trial or before any usage: nothing to pay."""
    made = line(world, subscription, item, item.get("quantity") or 0, period)
    return made | {"amount": 0, "subtotal": 0}


def partial_line(world: World, subscription: Json, item: Json, period: tuple[int, int], amount: int) -> Json:
    """A line for a first period that is shorter than a whole one, of `amount` minor units."""
    made = line(world, subscription, item, item["quantity"], period)
    made["parent"]["subscription_item_details"]["proration"] = True
    return made | {"amount": amount, "subtotal": amount, "discountable": False}


def one_time_line(world: World, subscription: Json, price: Json, quantity: int) -> Json:
    """A line for a one-time price sold along with a subscription."""
    now = world.clock.seconds()
    made = _priced(world, subscription, price, quantity, (now, now))
    return made | {"parent": _of_invoice_item(world.ids.new("ii"), subscription["id"], proration=False)}


def item_line(world: World, item: Json) -> Json:
    """The line that an invoice item becomes on its invoice."""
    of: Json = item["parent"] or {}
    details: Json = of.get("subscription_details") or {}
    if details.get("subscription_item"):
        parent = _of_subscription_item(details["subscription"], details["subscription_item"])
        parent["subscription_item_details"] |= {
            "invoice_item": item["id"],
            "proration": item["proration"],
            "proration_details": {"credited_items": item["_credited"]},
        }
    else:
        parent = _of_invoice_item(item["id"], details.get("subscription"), proration=item["proration"])
    return {
        "id": world.ids.new("il"),
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": item["discountable"],
        "discounts": list(item["discounts"]),
        "invoice": None,
        "livemode": False,
        "metadata": dict(item["metadata"]),
        "parent": parent,
        "period": dict(item["period"]),
        "pretax_credit_amounts": [],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
        "quantity_decimal": item["quantity_decimal"],
        "subscription": item["_subscription"],
        "subtotal": item["amount"],
        "taxes": [],
    }


def pricing_of(price: Json) -> Json:
    """How lines and invoice items name their price."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def item_of(line: Json) -> str | None:
    """The id of the subscription item that a line bills."""
    details: Json = line["parent"].get("subscription_item_details") or {}
    return details.get("subscription_item")


def _priced(world: World, subscription: Json, price: Json, quantity: int, period: tuple[int, int]) -> Json:
    amount = prices.cost(price, quantity)
    product = world.table("product").get(price["product"])
    return {
        "id": world.ids.new("il"),
        "object": "line_item",
        "amount": amount,
        "currency": subscription["currency"],
        "description": f"{quantity} × {product['name']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": dict(subscription["metadata"]),
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": pricing_of(price),
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription["id"],
        "subtotal": amount,
        "taxes": [],
    }


def _of_subscription_item(subscription: str, item: str) -> Json:
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": subscription,
            "subscription_item": item,
        },
        "type": "subscription_item_details",
    }


def _of_invoice_item(item: str, subscription: str | None, *, proration: bool) -> Json:
    return {
        "invoice_item_details": {
            "invoice_item": item,
            "proration": proration,
            "proration_details": {"credited_items": None},
            "subscription": subscription,
        },
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
