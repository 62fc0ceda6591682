"""What discounts take off the lines of an invoice, in minor units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..catalog.coupons import amount_off
from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World


def apply(world: World, invoice: Json) -> None:
    """Write `discount_amounts` and the discounts' `pretax_credit_amounts` to each line of an invoice.

    A line's own discounts go first, then the invoice's, each on what the ones before it left. Lines that are not
    discountable, which prorations never are, and credits stay as they are.
    """
    lines: list[Json] = invoice["lines"]["data"]
    left = [max(0, line["amount"]) if line["discountable"] else 0 for line in lines]
    taken: list[list[Json]] = [[] for _ in lines]

    def take(discount: str, at: Sequence[int]) -> None:
        coupon = coupon_of(world, invoice, discount)
        rows = [(_product(lines[index]), left[index]) for index in at]
        for index, amount in zip(at, off(coupon, rows, invoice["currency"]), strict=True):
            left[index] -= amount
            taken[index].append({"amount": amount, "discount": discount})

    for discount in dict.fromkeys(discount for line in lines for discount in line["discounts"]):
        take(discount, [index for index, line in enumerate(lines) if discount in line["discounts"]])
    for discount in invoice["discounts"]:
        take(discount, range(len(lines)))
    for line, amounts in zip(lines, taken, strict=True):
        line["discount_amounts"] = amounts
        line["pretax_credit_amounts"] = [_as_credit(row) for row in amounts]


def off(coupon: Json, rows: Iterable[tuple[str | None, int]], currency: str) -> list[int]:
    """What a coupon takes off rows of product and amount: its percentage of each, or its amount spread over them."""
    given = list(rows)
    products = coupon["_products"]
    amounts = [amount if not products or product in products else 0 for product, amount in given]
    if coupon["percent_off"] is not None:
        share = Decimal(str(coupon["percent_off"])) / 100
        return [_rounded(amount * share) for amount in amounts]
    return spread(min(amount_off(coupon, currency) or 0, sum(amounts)), amounts)


def spread(total: int, amounts: Sequence[int]) -> list[int]:
    """`total` in parts that stand to each other as `amounts` do; none is larger than its amount if `total` is not."""
    parts: list[int] = []
    whole, rest = sum(amounts), total
    for amount in amounts:
        part = _rounded(Decimal(rest) * amount / whole) if whole else 0
        parts.append(part)
        whole, rest = whole - amount, rest - part
    return parts


def coupon_of(world: World, invoice: Json, discount: str) -> Json:
    """The coupon behind a discount of an invoice; a quote has no discounts yet and names the coupons themselves."""
    quoted: dict[str, Json] = invoice.get("_quoted", {})
    coupon: Json = quoted[discount] if discount in quoted else world.table("discount").get(discount)["_coupon"]
    return coupon


def _product(line: Json) -> str | None:
    pricing: Json | None = line["pricing"]
    return pricing["price_details"]["product"] if pricing else None


def _as_credit(row: Json) -> Json:
    return {**row, "credit_balance_transaction": None, "type": "discount"}


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
