"""billing_measure and billing_unique_value: what maxima, latest values and counts of different values amount to."""

from __future__ import annotations

from typing import Any

from attrs import asdict
from sqlalchemy import Table, and_, delete, select

from ..domain.aggregation import Measured, MeasureKey
from . import tables
from .db import Noun
from .dialects import insert_new, locking, upsert
from .types import number_param, text_param

_KEY = ("customer_id", "feature_key", "entity_id", "period_start")
_measure, _value = tables.measure, tables.unique_value


def _of(table: Table) -> Any:
    return and_(
        table.c.customer_id == text_param("customer_id"),
        table.c.feature_key == text_param("feature"),
        table.c.entity_id == text_param("entity"),
    )


def _in_period(table: Table) -> Any:
    return _of(table) & (table.c.period_start == number_param("period_start"))


_GET = locking(select(_measure.c.measured, _measure.c.covered).where(_in_period(_measure)))
_PUT = upsert(_measure, *_KEY)
_ADD_VALUE = insert_new(_value, *_KEY, "value_hash")
_DROP_VALUE = delete(_value).where(_in_period(_value), _value.c.value_hash == text_param("value"))
_FORGET = delete(_measure).where(_of(_measure), _measure.c.period_start < number_param("period_start"))
_FORGET_VALUES = delete(_value).where(_of(_value), _value.c.period_start < number_param("period_start"))


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
        self._db.run(_PUT, {**_columns(key), "measured": measured.value, "covered": measured.covered})

    def add_value(self, key: MeasureKey, value_hash: str) -> bool:
        """Remember a value; says whether it is new."""
        return self._db.insert_new(_ADD_VALUE, {**_columns(key), "value_hash": value_hash})

    def drop_value(self, key: MeasureKey, value_hash: str) -> None:
        """Forget a value, so that it is new again."""
        self._db.run(_DROP_VALUE, {**asdict(key), "value": value_hash})

    def forget_before(self, key: MeasureKey) -> None:
        """Delete what was measured of the same in earlier periods."""
        for statement in (_FORGET, _FORGET_VALUES):
            self._db.run(statement, asdict(key))
