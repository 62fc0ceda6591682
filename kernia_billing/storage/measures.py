"""billing_measure and billing_unique_value: what maxima, latest values and counts of different values amount to."""

from __future__ import annotations

from typing import Any

from attrs import asdict
from sqlalchemy import Table, and_, delete, select

from ..domain.aggregation import Measured, MeasureKey
from ..domain.instants import Instant
from . import tables
from .db import Noun
from .dialects import insert_new, locking, upsert
from .types import number_param, text_param

_KEY = ("customer_id", "feature_key", "entity_id", "period_start")
_measure, _value = tables.measure, tables.unique_value


def _in_period(table: Table) -> Any:
    return and_(
        table.c.customer_id == text_param("customer_id"),
        table.c.feature_key == text_param("feature"),
        table.c.entity_id == text_param("entity"),
        table.c.period_start == number_param("period_start"),
    )


_GET = locking(select(_measure.c.measured, _measure.c.covered).where(_in_period(_measure)))
_PUT = upsert(_measure, *_KEY)
_ADD_VALUE = insert_new(_value, *_KEY, "value_hash")
_DROP_VALUE = delete(_value).where(_in_period(_value), _value.c.value_hash == text_param("value"))
_OLD = (
    select(*(_measure.c[name] for name in (*_KEY, "period_end")))
    .where(_measure.c.period_end < number_param("old"))
    .order_by(_measure.c.period_end, _measure.c.customer_id)
    .limit(number_param("limit"))
)
_VALUES = (
    select(_value.c.value_hash).where(_in_period(_value)).order_by(_value.c.value_hash).limit(number_param("limit"))
)
_FORGET = delete(_measure).where(_in_period(_measure))


def _columns(key: MeasureKey) -> dict[str, str | int]:
    return dict(zip(_KEY, (key.customer_id, key.feature, key.entity, key.period_start), strict=True))


class Measures(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, key: MeasureKey) -> Measured | None:
        """What the values reported so far amount to; None for no value."""
        row = self._db.one(_GET, asdict(key))
        return None if row is None else Measured(*row)

    def put(self, key: MeasureKey, measured: Measured) -> None:
        """Insert or overwrite."""
        told = {"measured": measured.value, "covered": measured.covered, "period_end": key.period_end}
        self._db.run(_PUT, {**_columns(key), **told})

    def add_value(self, key: MeasureKey, value_hash: str) -> bool:
        """Remember a value; says whether it is new."""
        return self._db.insert_new(_ADD_VALUE, {**_columns(key), "value_hash": value_hash})

    def drop_value(self, key: MeasureKey, value_hash: str) -> None:
        """Forget a value, so that it is new again."""
        self._db.run(_DROP_VALUE, {**asdict(key), "value": value_hash})

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what was measured in the periods that ended first, before an instant; how many rows, so many at most.

        The values of a period go before what they amount to: where there are more, the rest is found again.
        """
        left = limit
        for row in self._db.all(_OLD, {"old": before, "limit": limit}):
            key = MeasureKey(*row)
            values = self._db.all(_VALUES, {**asdict(key), "limit": left})
            self._db.run_all(_DROP_VALUE, [{**asdict(key), "value": value} for (value,) in values])
            left -= len(values)
            if left == 0:
                break
            self._db.run(_FORGET, asdict(key))
            left -= 1
            if left == 0:
                break
        return limit - left
