"""The lines of a checkout session: prices that exist, or prices made for it alone by `price_data`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..catalog import prices, products, tax_rates
from ..subscriptions import selling
from ..subscriptions.selling import Sale
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit

if TYPE_CHECKING:
    from ..world.world import World

MOST_RECURRING = MOST_ONE_TIME = 20


@contextmanager
def priced(world: World, params: Json) -> Generator[list[Sale]]:
    """The sales of a session that is being made. When the block refuses it, prices made for it are gone again.

    Raises:
        ApiError: a line names no usable price, or the lines do not fit together or the mode.
    """
    made: list[Json] = []
    world.events.muted, before = True, world.events.muted
    try:
        try:
            lines: list[Json] = params.get("line_items", [])
            sales = [_sale(world, line, f"line_items[{index}]", made) for index, line in enumerate(lines)]
            if params["mode"] != "setup":
                _check(sales, params["mode"])
        finally:
            world.events.muted = before
        yield sales
    except ApiError:
        for row in made:
            del world.table(row["object"]).rows[row["id"]]
        raise
    for row in made:
        if row["object"] == "price":
            row["active"] = False  # it is for this session alone
        emit(world, f"{row['object']}.created", row)


def currency_of(sales: list[Sale], mode: str) -> str:
    """The one currency of all lines.

    Raises:
        ApiError: there are several, or prices of one subscription differ in their interval.
    """
    if mode == "subscription":
        return selling.common_terms(sales, "line_items")[2]
    currencies = {str(sale.price["currency"]) for sale in sales}
    if len(currencies) != 1:
        raise invalid("You must use the same currency for all prices.", "line_items")
    return currencies.pop()


def _check(sales: list[Sale], mode: str) -> None:
    for index, sale in enumerate(sales):
        if sale.quantity == 0:
            raise invalid("This value must be greater than or equal to 1.", f"line_items[{index}][quantity]")
    recurring = [sale for sale in sales if sale.price["type"] == "recurring"]
    if mode == "payment":
        if recurring:
            message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode "
            raise invalid(f"{message}or use only one-time prices.", "line_items")
        if not sales:
            raise ApiError("Missing required param: line_items.", code="parameter_missing", param="line_items")
    elif not recurring:
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.", "line_items"
        )
    most = 100 if mode == "payment" else MOST_ONE_TIME
    if len(recurring) > MOST_RECURRING or len(sales) - len(recurring) > most:
        raise invalid("Checkout takes at most 20 recurring and 20 one-time prices.", "line_items")


def _sale(world: World, line: Json, at: str, made: list[Json]) -> Sale:
    if "price" in line and "price_data" in line:
        raise invalid("You may only specify one of these parameters: price, price_data.", f"{at}[price]")
    if "price" not in line and "price_data" not in line:
        raise ApiError(f"Missing required param: {at}[price].", code="parameter_missing", param=f"{at}[price]")
    price = line["price"] if "price" in line else _make(world, line["price_data"], f"{at}[price_data]", made)
    sale = selling.checked_sale(world, price, line.get("quantity"), at)
    return Sale(sale.price, sale.quantity, tax_rates=tax_rates.named(world, line.get("tax_rates"), f"{at}[tax_rates]"))


def _make(world: World, data: Json, at: str, made: list[Json]) -> str:
    if ("product" in data) == ("product_data" in data):
        raise invalid("Give exactly one of `product` and `product_data`.", at)
    if "unit_amount" not in data:
        where = f"{at}[unit_amount]"
        raise ApiError(f"Missing required param: {where}.", code="parameter_missing", param=where)
    if "product" in data:
        product = world.table("product").get(data["product"], f"{at}[product]")
    else:
        given = data["product_data"]
        product = products.new(world, given["name"])
        product |= {name: given[name] for name in ("description", "images", "metadata", "unit_label") if name in given}
        made.append(product)
    recurring: Json | None = data.get("recurring")
    price = prices.new(
        world,
        product["id"],
        data["unit_amount"],
        data["currency"],
        interval=recurring["interval"] if recurring else None,
    )
    if recurring:
        price["recurring"]["interval_count"] = recurring.get("interval_count", 1)
    price["tax_behavior"] = data.get("tax_behavior", price["tax_behavior"])
    made.append(price)
    return str(price["id"])
