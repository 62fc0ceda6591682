"""Alerts: which thresholds a use reaches. Each fires once in a period; giving back does not arm it again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from attrs import frozen

Measure = Literal["percent", "used", "remaining"]


@frozen
class Threshold:
    """Where an alert fires: at `value` percent of what is granted, units used, or units remaining."""

    value: int
    measure: Measure = "percent"

    def is_reached(self, used: int, granted: int | None) -> bool:
        """Whether it is reached with so much used. Nothing is a share of, or remains of, what has no limit (None)."""
        if self.measure == "used":
            return used >= self.value
        if granted is None:
            return False
        if self.measure == "remaining":
            return granted - used <= self.value
        return granted > 0 and used * 100 >= self.value * granted


def fired(
    thresholds: Iterable[Threshold],
    before: int,
    after: int,
    granted: int | None,
    already: Collection[Threshold] = (),
) -> Sequence[Threshold]:
    """The thresholds that a use fires which raised what is used from `before` to `after`, in the order given.

    `already` are those that fired in this period. One that was reached without any use, because the plan shrank or the
    alert is new, fires with the next use.
    """
    if after <= before:
        return ()
    return tuple(each for each in thresholds if each not in already and each.is_reached(after, granted))
