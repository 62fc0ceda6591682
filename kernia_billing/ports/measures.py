"""What was measured of features that are no plain sums, as the core sees it."""

from __future__ import annotations

from typing import Protocol

from ..domain.aggregation import Measured, MeasureKey
from ..domain.instants import Instant


class Measures(Protocol):
    """billing_measure and billing_unique_value, of a customer whose row is locked."""

    def get(self, key: MeasureKey) -> Measured | None:
        """What the values reported so far amount to; None for no value."""
        ...

    def put(self, key: MeasureKey, measured: Measured) -> None:
        """Insert or overwrite."""
        ...

    def add_value(self, key: MeasureKey, value_hash: str) -> bool:
        """Remember a value; says whether it is new."""
        ...

    def drop_value(self, key: MeasureKey, value_hash: str) -> None:
        """Forget a value, so that it is new again."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what was measured in the periods that ended first, before an instant; how many rows, so many at most.

        The values of a period go before what they amount to: where there are more, the rest is found again.
        """
        ...
