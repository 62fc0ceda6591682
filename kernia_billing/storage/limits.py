"""billing_limit_window: how much of each usage limit is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, delete, func, literal_column, select, update

from ..domain.instants import Instant
from ..domain.limits import Drawn, Meter, Window
from ..domain.terms import UNFILTERED
from . import tables
from .db import Noun
from .dialects import locking, upsert
from .tables import limit_window as t
from .types import Row, number_param, text_param, texts_param

_hold, _line = tables.hold.c, tables.hold_line.c
_NOW = number_param("now")
_NOBODY: ColumnElement[Any] = literal_column("''")
_OPEN: ColumnElement[Any] = literal_column("'open'")
_NONE: ColumnElement[Any] = literal_column("0")

_IS_LAPSED = and_(
    _hold.customer_id == t.c.customer_id,
    _hold.status == _OPEN,
    _hold.expires_at <= _NOW,
    _hold.created_at >= t.c.window_start,
    (_hold.created_at > t.c.begun_at) | ((_hold.created_at == t.c.begun_at) & (_hold.created_seq >= t.c.begun_seq)),
    (t.c.entity_id == _NOBODY) | (_hold.entity_id == t.c.entity_id),
)


def _lapsed() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What lapsed holds have set aside in a window: units of the feature itself, and credits for others."""
    units = select(func.sum(_hold.left_units)).where(_IS_LAPSED, _hold.feature_key == t.c.feature_key)
    credits = (
        select(func.sum(_line.amount))
        .select_from(tables.hold_line.join(tables.hold, _hold.id == _line.hold_id))
        .where(_IS_LAPSED, _hold.feature_key != t.c.feature_key, _line.feature_key == t.c.feature_key)
    )
    return _amount(units), _amount(credits)


def _amount(total: Any) -> ColumnElement[Any]:
    # MySQL adds up to a decimal number.
    return cast(func.coalesce(total.scalar_subquery(), _NONE), BigInteger)


_UNITS, _CREDITS = _lapsed()
_KEY = (t.c.limit_id, t.c.entity_id, t.c.window_start)
COLUMNS: tuple[ColumnElement[Any], ...] = (
    *_KEY,
    t.c.used - _UNITS - _CREDITS,
    t.c.begun_at,
    t.c.begun_seq,
    t.c.feature_key,
)
"""What `read` wants: a window without what lapsed holds have set aside, which the next writer will take out of it."""
IS_RUNNING = and_(t.c.window_start <= _NOW, t.c.window_end > _NOW, t.c.entity_id.in_([_NOBODY, text_param("entity")]))

_MINE = (t.c.customer_id == text_param("customer"), t.c.feature_key.in_(texts_param("features")), IS_RUNNING)
_RUNNING = select(*COLUMNS).where(*_MINE)
_RUNNING_LOCKED = locking(select(*_KEY, t.c.used, t.c.begun_at, t.c.begun_seq, t.c.feature_key).where(*_MINE))
_PUT = upsert(t, "customer_id", "limit_id", "entity_id", "window_start")
_AMOUNT = number_param("amount")
_DRAWN_AT = number_param("drawn_at")
_DRAWN_BY = number_param("drawn_by")
_LOWER = (
    update(t)
    .values(used=case((t.c.used > _AMOUNT, t.c.used - _AMOUNT), else_=_NONE))
    .where(
        t.c.customer_id == text_param("customer"),
        t.c.feature_key == text_param("feature"),
        t.c.entity_id.in_([_NOBODY, text_param("entity")]),
        t.c.window_end > _NOW,
        t.c.window_start <= _DRAWN_AT,
        (t.c.begun_at < _DRAWN_AT) | ((t.c.begun_at == _DRAWN_AT) & (t.c.begun_seq <= _DRAWN_BY)),
        t.c.limit_id.like(text_param("unfiltered")),
    )
)
_OLD = (
    select(t.c.customer_id, *_KEY)
    .where(t.c.window_end < number_param("old"))
    .order_by(t.c.window_end)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(
    t.c.customer_id == text_param("customer"),
    t.c.limit_id == text_param("of"),
    t.c.entity_id == text_param("entity"),
    t.c.window_start == number_param("start"),
)


def read(rows: Iterable[Row], features: Sequence[str] | None) -> list[Window]:
    """The windows of these features (None: all) in rows of `COLUMNS`; a row may have none, or that of another row."""
    found = (
        Window(row[0], row[1], row[2], max(0, int(row[3])), Drawn(row[4], row[5]))
        for row in rows
        if _is_of(row[6], features)
    )
    return list({window.key: window for window in found}.values())


def _is_of(feature: str | None, features: Sequence[str] | None) -> bool:
    return feature is not None if features is None else feature in features


class Limits(Noun):
    """The port of the same name."""

    __slots__ = ()

    def running(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        """The windows of these features that `now` lies in: the customer's own, and those of an entity.

        A plain read. What holds have set aside whose time has come counts no longer.
        """
        return read(self._db.all(_RUNNING, _values(customer_id, features, entity, now)), features)

    def running_locked(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        """The same for a customer whose row is locked, by a read that sees the newest; every hold counts that is open.

        A writer releases the holds whose time has come before it looks.
        """
        return read(self._db.all(_RUNNING_LOCKED, _values(customer_id, features, entity, now)), features)

    def put(self, customer_id: str, meter: Meter) -> None:
        """Insert the window of a meter, or overwrite what is used in it."""
        values = {
            "customer_id": customer_id,
            "limit_id": meter.limit.id,
            "entity_id": meter.window.entity,
            "window_start": meter.window.start,
            "window_end": meter.resets_at,
            "feature_key": meter.limit.feature,
            "used": meter.window.used,
            "begun_at": meter.window.begun.at,
            "begun_seq": meter.window.begun.seq,
        }
        self._db.run(_PUT, values)

    def lower(self, customer_id: str, feature: str, entity: str, amount: int, *, drawn: Drawn, now: Instant) -> None:
        """Take back what was counted then, in the windows that run and count since then, never below 0.

        For what was drawn without properties, as a hold is: limits that ask for some did not count it.
        """
        values = {
            "customer": customer_id,
            "feature": feature,
            "entity": entity,
            "amount": amount,
            "drawn_at": drawn.at,
            "drawn_by": drawn.seq,
            "now": now,
            "unfiltered": f"{UNFILTERED}%",
        }
        self._db.run(_LOWER, values)

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the windows that ended first, those that ended before an instant, so many at most; how many."""
        rows = self._db.all(_OLD, {"old": before, "limit": limit})
        keys = [{"customer": row[0], "of": row[1], "entity": row[2], "start": row[3]} for row in rows]
        if keys:
            self._db.run(_PRUNE, keys)
        return len(keys)


def _values(customer_id: str, features: Sequence[str], entity: str, now: Instant) -> dict[str, Any]:
    return {"customer": customer_id, "features": features, "entity": entity, "now": now}
