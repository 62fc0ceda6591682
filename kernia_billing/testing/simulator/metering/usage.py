"""Usage on invoices: what was counted for a customer in a period, priced by the price of a subscription item.

A line is priced when its invoice is drafted and once more when it is finalised, so that usage that is counted within
the draft hour is still billed. Usage before an item had its price, and usage during a trial, is never billed. Source:
Stripe, "Configure an invoice finalization grace period" and "Manage your usage-based billing setup".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..catalog import prices
from ..invoices import invoice_lines
from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World


def line_for(world: World, subscription: Json, item: Json, period: tuple[int, int]) -> Json:
    """The line that bills what was counted for a metered item in a period, in UTC seconds."""
    since: int = item["_priced_at"] if "_priced_at" in item else item["created"]
    start = min(max(period[0], since), period[1])
    return _price(world, subscription, invoice_lines.line(world, subscription, item, 0, (start, period[1])))


def last_lines(world: World, subscription: Json, items: Iterable[Json]) -> list[Json]:
    """The lines that bill what was counted since the current period began, of a subscription that ends now.

    They are empty when nothing was used.
    """
    lines = [
        line_for(world, subscription, item, (item["current_period_start"], world.clock.seconds()))
        for item in items
        if prices.is_metered(world.table("price").get(item["price"]))
    ]
    return lines if any(line["quantity"] for line in lines) else []


def refresh(world: World, invoice: Json) -> None:
    """Price the usage on a draft anew, by what has been counted by now."""
    if invoice["_subscription"] is None:
        return
    subscription = world.table("subscription").get(invoice["_subscription"])
    for line in invoice["lines"]["data"]:
        price = price_of(world, line)
        if price is not None and prices.is_metered(price) and line["period"]["end"] <= world.clock.seconds():
            _price(world, subscription, line)


def price_of(world: World, line: Json) -> Json | None:
    """The price that a line bills, if it has one."""
    pricing: Json = line["pricing"] or {}
    return world.table("price").get(pricing["price_details"]["price"]) if "price_details" in pricing else None


def changed_price(world: World, item: Json) -> None:
    """Note that an item has a new price: only usage from now on is billed by it."""
    item["_priced_at"] = world.clock.seconds()


def _price(world: World, subscription: Json, line: Json) -> Json:
    price = world.table("price").get(line["pricing"]["price_details"]["price"])
    meter = world.table("billing.meter").get(price["recurring"]["meter"])
    start = max(line["period"]["start"], subscription["trial_end"] or 0)
    quantity = max(0, world.usage.total(meter, subscription["customer"], start, line["period"]["end"]))
    amount = prices.cost(price, quantity) if start < line["period"]["end"] else 0
    line |= {
        "amount": amount,
        "description": f"{quantity} × {world.table('product').get(price['product'])['name']}",
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subtotal": amount,
    }
    return line
