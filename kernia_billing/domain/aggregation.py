"""Aggregations as deltas: what a reported value adds to what is used.

The balance is always a sum. A maximum, a latest value and a count of different values become one by adding only the
difference that a new value makes.
"""

from __future__ import annotations

import hashlib

from attrs import field, frozen

from .instants import FOREVER, Instant
from .plans import Aggregation


@frozen
class MeasureKey:
    """What is measured together: one feature of a customer, or of an entity of theirs ("" for none), in one period.

    When the period ends, `FOREVER` where it never does, tells only how long it has to be remembered.
    """

    customer_id: str
    feature: str
    entity: str
    period_start: Instant
    period_end: Instant = field(default=FOREVER, eq=False)


@frozen
class Measured:
    """What the values reported so far amount to: `value`, of which balances covered `covered` units."""

    value: int = 0
    covered: int = 0

    def lowered(self, units: int) -> Measured:
        """After so many covered units were given back."""
        return Measured(max(0, self.value - units), max(0, self.covered - units))


def delta(aggregation: Aggregation, value: int, measured: int, *, is_new: bool = True) -> int:
    """How much more is used after `value` was reported; below 0 it is given back, which only `latest` does.

    `measured` is what the values of the period amount to so far: everything reported, also what no balance covered.
    For `unique` the value itself does not count, but whether it `is_new` in this period.
    """
    if aggregation == "sum":
        return value
    if aggregation == "count":
        return 1
    if aggregation == "unique":
        return 1 if is_new else 0
    difference = value - measured
    return max(0, difference) if aggregation == "max" else difference


def value_hash(value: str | int) -> str:
    """What a value is remembered by: 64 hexadecimal digits. A number and its text are different values."""
    return hashlib.sha256(f"{type(value).__name__}:{value}".encode()).hexdigest()
