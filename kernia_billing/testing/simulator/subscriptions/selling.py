"""What may be sold, and what together: prices with their quantities, before they are items of a subscription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ..catalog import prices
from ..invoices.discounts import Wanted
from ..world.clock import add_interval
from ..world.errors import Json, invalid, not_modelled

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Sale:
    """One price and how many of it; the quantity of a metered price is None."""

    price: Json
    quantity: int | None
    metadata: Json = field(factory=dict[str, Any])
    tax_rates: Sequence[Json] = ()
    discounts: Sequence[Wanted] = ()


def within(at: str, name: str) -> str:
    """The name of a parameter within the map that is called `at`; the request itself has no name."""
    return f"{at}[{name}]" if at else name


def checked_sale(world: World, price_id: str, quantity: int | None, at: str) -> Sale:
    """A price that may be sold, with a quantity as its kind demands.

    Raises:
        ApiError: unknown or inactive price, a quantity on a metered one, none on a licensed one.
    """
    price = world.table("price").get(price_id, within(at, "price"))
    if not price["active"]:
        raise invalid(
            f"The price specified is inactive. This field only accepts active prices. `{price_id}`", within(at, "price")
        )
    if not world.table("product").get(price["product"])["active"]:
        raise invalid("The product of the price specified is inactive.", within(at, "price"))
    if prices.is_metered(price):
        if quantity is not None:
            raise invalid("Quantity should not be specified where usage_type is `metered`.", within(at, "quantity"))
    elif quantity is None:
        raise invalid("Quantity is required. Add `quantity` to the line item.", within(at, "quantity"))
    return Sale(price, quantity)


def common_terms(sales: Sequence[Sale], at: str) -> tuple[str, int, str]:
    """The billing interval, its count and the currency that all recurring prices share.

    Checkout demands one interval; `mixed_terms` is for subscriptions that are made directly.

    Raises:
        ApiError: they differ, or one price is there twice.
    """
    recurring = [sale.price for sale in sales if sale.price["type"] == "recurring"]
    intervals = {(price["recurring"]["interval"], price["recurring"]["interval_count"]) for price in recurring}
    currencies = {sale.price["currency"] for sale in sales}
    if len(intervals) != 1:
        raise invalid("Checkout does not support multiple prices with different billing intervals.", at)
    if len(currencies) != 1:
        raise invalid("You must use the same currency for all prices.", at)
    if len({price["id"] for price in recurring}) != len(recurring):
        raise invalid("You cannot add multiple subscription items with the same price.", at)
    (interval, count), currency = intervals.pop(), currencies.pop()
    return interval, count, currency


def mixed_terms(sales: Sequence[Sale], at: str, *, flexible: bool) -> str:
    """The currency that all prices share; their intervals may differ in flexible billing mode.

    Not modelled: intervals that are no multiples of each other.

    Raises:
        ApiError: currencies differ, intervals do not fit, or one price is there twice.
    """
    recurring = [sale.price for sale in sales if sale.price["type"] == "recurring"]
    intervals = {interval_of(price) for price in recurring}
    if len({sale.price["currency"] for sale in sales}) != 1:
        raise invalid("You must use the same currency for all prices.", at)
    if len({price["id"] for price in recurring}) != len(recurring):
        raise invalid("You cannot add multiple subscription items with the same price.", at)
    if len(intervals) > 1 and not flexible:
        raise invalid(
            "Currently, all prices on a subscription must have the same `recurring.interval` and "
            "`recurring.interval_count`, unless its billing mode is flexible.",
            at,
        )
    lengths = sorted(_length(*interval) for interval in intervals)
    if any(kind != lengths[0][0] or length % lengths[0][1] for kind, length in lengths):
        raise not_modelled("intervals that are no multiples of the shortest one", at)
    return str(sales[0].price["currency"])


def interval_of(price: Json) -> tuple[str, int]:
    """How often a recurring price bills: the interval and how many of it."""
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def period_from(price: Json, start: int) -> int:
    """When a period of a price that begins at that second ends."""
    return add_interval(start, *interval_of(price))


def _length(interval: str, count: int) -> tuple[str, int]:
    if interval in ("day", "week"):
        return "day", count * (1 if interval == "day" else 7)
    return "month", count * (1 if interval == "month" else 12)
