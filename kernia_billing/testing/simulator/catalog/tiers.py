"""What a quantity costs under a price: per unit, by packages, or by tiers. Everything is reckoned in decimals.

An amount is rounded once, at the end, halves up. Stripe puts the tiers of a graduated price on lines of their own;
here one line has the sum of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from ..api import fields
from ..world.errors import Json, invalid

INFINITE = "inf"

_UNIT = ("unit_amount", "unit_amount_decimal")
_FLAT = ("flat_amount", "flat_amount_decimal")


def up_to(raw: Any, at: str) -> int | None:
    """The last quantity of a tier; `inf`, for the last tier, is None."""
    return None if raw == INFINITE else fields.integer(1)(raw, at)


TIER = fields.fields(
    required=("up_to",),
    flat_amount=fields.integer(0, 99_999_999),
    flat_amount_decimal=fields.decimal_text,
    unit_amount=fields.integer(0, 99_999_999),
    unit_amount_decimal=fields.decimal_text,
    up_to=up_to,
)


def read(given: Sequence[Mapping[str, Any]], at: str = "tiers") -> list[Json]:
    """The tiers of a price, as Stripe keeps them, from what `TIER` read.

    Raises:
        ApiError: tiers that do not rise, no infinite last one, a tier without an amount or with two of a kind.
    """
    if not given:
        raise invalid("You must specify at least one tier.", at)
    reached = 0
    for index, tier in enumerate(given):
        where, last = f"{at}[{index}][up_to]", index == len(given) - 1
        if (tier["up_to"] is None) != last:
            raise invalid("The last tier, and only the last, must have `up_to` set to `inf`.", where)
        if tier["up_to"] is not None and tier["up_to"] <= reached:
            raise invalid("Tiers must be in ascending order of `up_to`.", where)
        reached = tier["up_to"] or reached
    return [_kept(tier, f"{at}[{index}]") for index, tier in enumerate(given)]


def cost(price: Json, quantity: int) -> int:
    """What a quantity costs, in minor units; less than nothing costs what nothing does."""
    quantity = max(0, quantity)
    if price["billing_scheme"] == "tiered":
        by_mode = _volume if price["tiers_mode"] == "volume" else _graduated
        return rounded(by_mode(price["_tiers"], quantity))
    return rounded(Decimal(price["unit_amount_decimal"] or 0) * packages(price, quantity))


def packages(price: Json, quantity: int) -> int:
    """How many units are billed for a quantity: the packages that it fills, where the price has such."""
    transform: Json | None = price["transform_quantity"]
    if transform is None:
        return quantity
    whole, rest = divmod(quantity, int(transform["divide_by"]))
    return whole + (1 if rest and transform["round"] == "up" else 0)


def rounded(amount: Decimal) -> int:
    """Whole minor units, halves up."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _volume(tiers: Sequence[Json], quantity: int) -> Decimal:
    """All units at the amount of the tier that the quantity falls in."""
    tier = next(tier for tier in tiers if tier["up_to"] is None or quantity <= tier["up_to"])
    return _of(tier, "flat") + _of(tier, "unit") * quantity


def _graduated(tiers: Sequence[Json], quantity: int) -> Decimal:
    """Each unit at the amount of its tier, with the flat amounts of the tiers reached; the first always is."""
    total, below = Decimal(0), 0
    for tier in tiers:
        if quantity <= below and below:
            break
        top = quantity if tier["up_to"] is None else min(quantity, tier["up_to"])
        total += _of(tier, "flat") + _of(tier, "unit") * (top - below)
        below = top if tier["up_to"] is None else tier["up_to"]
    return total


def _of(tier: Json, kind: str) -> Decimal:
    return Decimal(tier[f"{kind}_amount_decimal"] or 0)


def _kept(tier: Mapping[str, Any], at: str) -> Json:
    for pair in (_UNIT, _FLAT):
        if all(name in tier for name in pair):
            raise invalid(f"You may only specify one of these parameters: {pair[0]}, {pair[1]}.", at)
    if not any(name in tier for name in (*_UNIT, *_FLAT)):
        raise invalid("A tier must have a `unit_amount` or a `flat_amount`.", at)
    return {**_both(tier, *_FLAT), **_both(tier, *_UNIT), "up_to": tier["up_to"]}


def _both(tier: Mapping[str, Any], name: str, decimal_name: str) -> Json:
    given = tier.get(name, tier.get(decimal_name))
    if given is None:
        return {name: None, decimal_name: None}
    exact = Decimal(given)
    whole = int(exact) if exact == exact.to_integral_value() else None
    return {name: whole, decimal_name: str(given)}
