"""Prorations: credit for the unused time of what was sold before, debit for the remaining time of what is sold now.

Time counts by the second, and each line is rounded by itself, halves away from zero, so that the credit and the debit
of the same thing over the same time cancel out. A percentage that a discount takes is included in the amounts, as
`proration_discounts=included` has it. Not modelled: amounts off in prorations, and credit by what was really paid.
Source: Stripe, "Prorations" and "Billing mode".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from ..catalog import prices
from ..world.errors import Json, invalid
from . import invoice_items, invoice_lines, reductions

if TYPE_CHECKING:
    from ..world.world import World

Behavior = Literal["always_invoice", "create_prorations", "none"]


@frozen
class Held:
    """What a subscription item was before it changed: enough to credit it."""

    item: str
    price: str
    quantity: int | None
    start: int
    end: int
    discounts: Sequence[str] = ()


def held(item: Json) -> Held:
    """How a subscription item stands now."""
    period = item["current_period_start"], item["current_period_end"]
    return Held(item["id"], item["price"], item["quantity"], *period, tuple(item["discounts"]))


def share(amount: int, period: tuple[int, int], since: int) -> int:
    """The part of `amount` for a period, in UTC seconds, that falls on its time from `since` on."""
    left = max(0, period[1] - max(since, period[0]))
    return _rounded(Decimal(amount) * left / (period[1] - period[0])) if period[1] > period[0] else 0


def check_date(at: int | None, items: Sequence[Json], now: int) -> int:
    """The moment that prorations are reckoned from: now, or what a preview said, within the current period.

    Raises:
        ApiError: the moment lies outside of the current period.
    """
    if at is None:
        return now
    if not all(item["current_period_start"] <= at <= item["current_period_end"] for item in items):
        raise invalid("The proration date must be within the current subscription period.", "proration_date")
    return at


def credit(world: World, subscription: Json, before: Held, at: int) -> Json | None:
    """Leave a credit for the unused time of an item as it was; None when it had cost nothing."""
    price = world.table("price").get(before.price)
    if before.quantity is None or not prices.cost(price, before.quantity) or at >= before.end:
        return None
    whole = _net(world, subscription, before, prices.cost(price, before.quantity))
    made = _leave(world, subscription, before, (max(at, before.start), before.end), -share(whole, _period(before), at))
    made["_credited"] = _debited(world, subscription, before)
    return invoice_items.keep(world, made)


def debit(world: World, subscription: Json, after: Held, at: int) -> Json | None:
    """Leave a debit for the remaining time of an item as it is now; None when it costs nothing."""
    price = world.table("price").get(after.price)
    if after.quantity is None or not prices.cost(price, after.quantity) or at >= after.end:
        return None
    whole = _net(world, subscription, after, prices.cost(price, after.quantity))
    made = _leave(world, subscription, after, (max(at, after.start), after.end), share(whole, _period(after), at))
    return invoice_items.keep(world, made)


def _leave(world: World, subscription: Json, item: Held, period: tuple[int, int], amount: int) -> Json:
    price = world.table("price").get(item.price)
    name = world.table("product").get(price["product"])["name"]
    what = f"{item.quantity} × {name}" if item.quantity != 1 else name
    day = datetime.fromtimestamp(period[0], tz=UTC).strftime("%d %b %Y")
    return invoice_items.new(
        world,
        subscription["customer"],
        subscription["currency"],
        amount,
        description=f"{'Unused' if amount < 0 else 'Remaining'} time on {what} after {day}",
        price=price,
        quantity=item.quantity or 0,
        period=period,
        subscription=subscription["id"],
        subscription_item=item.item,
        proration=True,
    )


def _net(world: World, subscription: Json, item: Held, amount: int) -> int:
    """What percentages off leave of an amount."""
    product = world.table("price").get(item.price)["product"]
    for id in (*item.discounts, *subscription["discounts"]):
        discount = world.table("discount").get(id)
        if discount["_coupon"]["percent_off"] is not None and not discount["_ended"]:
            (off,) = reductions.off(discount["_coupon"], [(product, amount)], subscription["currency"])
            amount -= off
    return amount


def _debited(world: World, subscription: Json, before: Held) -> Json | None:
    """The invoice line that billed what is credited, if one did."""
    for invoice in world.table("invoice"):
        if invoice["_subscription"] == subscription["id"]:
            lines = [line["id"] for line in invoice["lines"]["data"] if _bills(line, before)]
            if lines:
                return {"invoice": invoice["id"], "invoice_line_items": lines[:1]}
    return None


def _bills(line: Json, before: Held) -> bool:
    named: Json = line["pricing"] or {"price_details": {"price": None}}
    price: str | None = named["price_details"]["price"]
    return invoice_lines.item_of(line) == before.item and price == before.price and line["amount"] > 0


def _period(item: Held) -> tuple[int, int]:
    return item.start, item.end


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
