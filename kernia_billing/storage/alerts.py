"""billing_alert_fired: what was told of already."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select

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
_KEY = (t.c.customer_id, t.c.feature_key, t.c.entity_id, t.c.period_start, t.c.measure, t.c.threshold)
_OLD = (
    select(*_KEY)
    .where(t.c.period_end < number_param("old"))
    .order_by(t.c.period_end, t.c.customer_id)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(
    t.c.customer_id == text_param("customer"),
    t.c.feature_key == text_param("feature"),
    t.c.entity_id == text_param("entity"),
    t.c.period_start == number_param("start"),
    t.c.measure == text_param("of"),
    t.c.threshold == number_param("reached"),
)


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
        period_end: Instant,
    ) -> None:
        """Note what fires in a period, and when that ends. Raises `DuplicateKey` where one of them had fired."""
        rows = [
            {
                "customer_id": customer_id,
                "feature_key": feature,
                "entity_id": entity,
                "period_start": period_start,
                "measure": each.measure,
                "threshold": each.value,
                "fired_at": now,
                "period_end": period_end,
            }
            for each in thresholds
        ]
        if rows:
            self._db.run(_ADD, rows)

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what fired in the periods that ended first, before an instant, so many at most; how many."""
        names = ("customer", "feature", "entity", "start", "of", "reached")
        rows = self._db.all(_OLD, {"old": before, "limit": limit})
        self._db.run_all(_PRUNE, [dict(zip(names, row, strict=True)) for row in rows])
        return len(rows)
