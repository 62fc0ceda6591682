"""What a sale comes to before it is made: the sums of the first invoice, coupons, taxes and the balance included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..catalog import prices
from ..world.errors import Json
from . import totals

if TYPE_CHECKING:
    from ..subscriptions.selling import Sale
    from ..world.world import World


def at_start(
    world: World,
    sales: Sequence[Sale],
    *,
    trial: bool = False,
    coupons: Sequence[Json] = (),
    default_tax_rates: Sequence[Json] = (),
    customer: Json | None = None,
) -> Json:
    """The sums of the invoice that a subscription would begin with, one line per sale.

    One-time prices are due always, recurring ones unless a trial begins, usage never. Without coupons of its own the
    sale gets the discount of the customer.
    """
    own: str | None = customer["discount"] if customer else None
    if own is not None and not coupons:
        coupons = [world.table("discount").get(own)["_coupon"]]
    return totals.quote(
        world,
        [_line(sale, trial=trial) for sale in sales],
        sales[0].price["currency"],
        coupons=coupons,
        default_tax_rates=default_tax_rates,
        customer=customer,
    )


def _line(sale: Sale, *, trial: bool) -> Json:
    free = prices.is_metered(sale.price) or (trial and sale.price["type"] == "recurring")
    amount = 0 if free else prices.cost(sale.price, sale.quantity or 1)
    own = [wanted.coupon for wanted in sale.discounts]
    return totals.quote_line(sale.price, amount, coupons=own, rates=sale.tax_rates or None)
