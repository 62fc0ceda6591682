"""Alerts as the core sees them: which of them have fired."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..domain.alerts import Threshold
from ..domain.instants import Instant


class Alerts(Protocol):
    """billing_alert_fired."""

    def fired(self, customer_id: str, feature: str, entity: str, period_start: Instant) -> set[Threshold]:
        """What fired in a period, for a customer whose row is locked."""
        ...

    def add(
        self,
        customer_id: str,
        feature: str,
        entity: str,
        period_start: Instant,
        thresholds: Iterable[Threshold],
        now: Instant,
        period_end: Instant,
    ) -> None:
        """Note what fires in a period, and when that ends. Raises `DuplicateKey` where one of them had fired."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what fired in the periods that ended first, before an instant, so many at most; how many."""
        ...
