"""Features whose uses do not add up: what their values amount to in a period, kept beside the balances.

A balance is a sum. A maximum, a latest value and a count of different values become one by adding only what a value
changes. For that it is remembered what the values amount to, and how much of it balances covered.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from ..domain.aggregation import Measured, MeasureKey, delta, value_hash
from ..domain.buckets import Mode
from ..domain.customers import CustomerRow
from ..domain.grants import UsageRow
from ..domain.ids import Property
from ..domain.instants import FOREVER
from ..domain.offer import FeatureSpec
from ..errors import InvalidInput
from ..ports.store import Transaction
from .situation import Situation

UNIQUE_VALUE = "value"
"""The property that says which value is used, of a feature that counts different values."""


@frozen
class Report:
    """What a reported value makes of what was measured: `target` is what the values amount to with it."""

    key: MeasureKey
    known: Measured | None
    target: int
    new_value: str | None = None
    """What the value is remembered by, where it is new in the period."""

    @property
    def measured(self) -> Measured:
        """What was measured before it."""
        return self.known or Measured()

    def units(self, before: Situation, mode: Mode) -> int:
        """How many units it adds; below zero so many are to be given back.

        What no balance covered is drawn as soon as there is room for it; it is not recorded a second time.
        """
        wanted = self.target - self.measured.covered
        grows = self.target > self.measured.value
        if wanted < 0 or (grows and mode != "record") or self.measured.covered == self.measured.value:
            return wanted
        if mode != "record":
            return 0
        return max(before.allocate(wanted, "cap").funded, self.target - self.measured.value)

    def note(self, tx: Transaction, mode: Mode, moved: int) -> None:
        """Remember it, after so many units were drawn (below zero: given back)."""
        covered = self.target if moved < 0 else self.measured.covered + moved
        value = self.target if mode == "record" or moved < 0 else min(self.target, self.measured.value)
        after = Measured(max(covered, value), covered)
        if after != self.known:
            tx.measures.put(self.key, after)
        if self.new_value is not None and after.value < self.target:
            tx.measures.drop_value(self.key, self.new_value)


def adds_up(feature: FeatureSpec) -> bool:
    """Whether what is used is the sum of the uses, so that nothing has to be remembered beside the balances."""
    return feature.aggregation in ("sum", "count")


def unique_value(feature: FeatureSpec, properties: Mapping[str, Property]) -> Property | None:
    """The value that a use reports of a feature that counts different values, None of every other.

    Raises:
        InvalidInput: it is missing.
    """
    if feature.aggregation != "unique":
        return None
    if UNIQUE_VALUE not in properties:
        raise InvalidInput("says which value was used: this feature counts different ones", field="properties.value")
    return properties[UNIQUE_VALUE]


def reported(
    tx: Transaction, customer: CustomerRow, before: Situation, amount: int, value: Property | None = None
) -> Report:
    """What a use of a feature that does not add up makes of what was measured; a new `value` is remembered."""
    key = key_of(customer, before)
    known = tx.measures.get(key)
    hashed = None if value is None else value_hash(value)
    is_new = hashed is not None and tx.measures.add_value(key, hashed)
    so_far = (known or Measured()).value
    target = so_far + delta(before.feature.aggregation, amount, so_far, is_new=is_new)
    return Report(key, known, target, hashed if is_new else None)


def key_of(customer: CustomerRow, before: Situation) -> MeasureKey:
    """What the values of a feature are measured in.

    It is the period of its allowance that ends first, of its pools' where it has none of its own, or all time where
    nothing starts anew.
    """
    found = [each for each in before.own or before.holdings if each.grant.interval is not None]
    end, start = min(((each.bucket.period_end, each.bucket.period_start) for each in found), default=(FOREVER, 0))
    return MeasureKey(customer.id, before.feature.key, before.entity, start, end)


def lower(tx: Transaction, customer: CustomerRow, before: Situation, units: int, use: UsageRow | None = None) -> None:
    """Note that so many units were given back; those of a `use` count where it was one of the running period."""
    if adds_up(before.feature) or units == 0:
        return
    key = key_of(customer, before)
    if use is not None and use.received_at < key.period_start:
        return
    known = tx.measures.get(key)
    if known is not None:
        tx.measures.put(key, known.lowered(units))
    value = None if use is None else use.properties.get(UNIQUE_VALUE)
    if before.feature.aggregation == "unique" and value is not None:
        tx.measures.drop_value(key, value_hash(value))
