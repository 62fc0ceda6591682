"""billing_alert_fired: what was told of already."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from ..domain.alerts import Threshold
from ..domain.instants import Instant
from .db import Noun
from .dialects import locking, plain_insert
from .tables import alert_fired as t
from .types import number_param, text_param

_FIRED = locking(
    select(t.c.threshold, t.c.measure).where(
        t.c.customer_id == text_param("customer"),
        t.c.feature_key == text_param("feature"),
        t.c.entity_id == text_param("entity"),
        t.c.period_start == number_param("start"),
    )
)
_ADD = plain_insert(t)


class Alerts(Noun):
    """The port of the same name."""

    __slots__ = ()

    def fired(self, customer_id: str, feature: str, entity: str, period_start: Instant) -> set[Threshold]:
        """What fired in a period, for a customer whose row is locked."""
        values = {"customer": customer_id, "feature": feature, "entity": entity, "start": period_start}
        return {Threshold(*row) for row in self._db.all(_FIRED, values)}

    def add(
        self,
        customer_id: str,
        feature: str,
        entity: str,
        period_start: Instant,
        thresholds: Iterable[Threshold],
        now: Instant,
    ) -> None:
        """Note what fires. Raises `DuplicateKey` where one of them had fired."""
        rows = [
            {
                "customer_id": customer_id,
                "feature_key": feature,
                "entity_id": entity,
                "period_start": period_start,
                "measure": each.measure,
                "threshold": each.value,
                "fired_at": now,
            }
            for each in thresholds
        ]
        if rows:
            self._db.run(_ADD, rows)
