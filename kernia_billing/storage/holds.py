"""billing_hold and billing_hold_line: what is set aside for work that has begun."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, delete, func, literal_column, select, update

from ..domain.buckets import Draw
from ..domain.holds import Hold, HoldRow
from ..domain.instants import FOREVER, Instant
from ..domain.references import Reference
from . import tables
from .customers import HAS_REFERENCE
from .db import Noun, Shape
from .dialects import AnySelect, locking, plain_insert
from .types import Amount, Id, Row, number_param, text_param, texts_param

_hold, _line = tables.hold.c, tables.hold_line.c
_SHAPE = Shape(HoldRow, tables.hold, feature="feature_key", entity="entity_id", left="left_units")
_LINE_AT = len(_SHAPE.columns)
_CUSTOMER = _hold.customer_id == text_param("customer")
_IS_IT = _hold.id == text_param("this")
_HAS_LAPSED = (_hold.status == "open", _hold.expires_at <= number_param("until"))

_OVER = ("settled", "released", "expired")

_OF_REFERENCE = (
    _SHAPE.select()
    .join_from(tables.customer, tables.hold, _hold.customer_id == tables.customer.c.id)
    .where(HAS_REFERENCE)
)
_BY_KEY = _OF_REFERENCE.where(_hold.idempotency_key == text_param("key"))
_BY_ID = _OF_REFERENCE.where(_IS_IT)
_BY_KEY_LOCKED = locking(_SHAPE.select().where(_CUSTOMER, _hold.idempotency_key == text_param("key")))


def _with_lines(*which: ColumnElement[bool]) -> AnySelect:
    joined = tables.hold.outerjoin(tables.hold_line, _line.hold_id == _hold.id)
    lines = (_line.bucket_id, _line.feature_key, _line.amount, _line.units)
    return (
        select(*_SHAPE.columns, *lines)
        .select_from(joined)
        .where(_CUSTOMER, *which)
        .order_by(_hold.expires_at, _hold.id, _line.line)
    )


_GET = locking(_with_lines(_IS_IT))
_LAPSED = locking(_with_lines(*_HAS_LAPSED))
_OVERDUE = (
    select(_hold.customer_id)
    .where(*_HAS_LAPSED)
    .group_by(_hold.customer_id)
    .order_by(func.min(_hold.expires_at), _hold.customer_id)
    .limit(number_param("limit"))
)
_NEXT_END = select(func.min(_hold.expires_at)).where(
    _CUSTOMER, _hold.status == "open", _hold.expires_at > number_param("until")
)
_ADD = plain_insert(tables.hold)
_ADD_LINE = plain_insert(tables.hold_line)
_PUT = update(tables.hold).where(_IS_IT)
_DROP_LINES = delete(tables.hold_line).where(_line.hold_id == text_param("this"))
_MOVE = update(tables.hold_line).where(_line.bucket_id == text_param("this"))
_OLD = (
    select(_hold.id)
    .where(_hold.status.in_(_OVER), _hold.expires_at < number_param("old"), _hold.ended_at < number_param("old"))
    .order_by(_hold.status, _hold.expires_at)
    .limit(number_param("limit"))
)
_PRUNE = delete(tables.hold).where(_hold.id.in_(texts_param("ids")), _hold.status.in_(_OVER))


def held_at(bucket: Any, when: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is held of a bucket by holds that count at an instant: those whose time has come count no longer.

    The holds are looked at only where anything is held at all. It has no parameters but those of `when`.
    """
    nothing: ColumnElement[int] = literal_column("0", Amount())
    is_open = _hold.status == literal_column("'open'", Id())
    lapsed = (
        select(func.coalesce(func.sum(_line.amount), nothing))
        .select_from(tables.hold_line.join(tables.hold, _hold.id == _line.hold_id))
        .where(_line.bucket_id == bucket.c.id, is_open, _hold.expires_at <= when)
        .scalar_subquery()
    )
    return case((bucket.c.held > nothing, bucket.c.held - cast(lapsed, BigInteger)), else_=bucket.c.held)


def _read(rows: Iterable[Row]) -> list[Hold]:
    holds: list[Hold] = []
    for _, group in groupby(rows, lambda row: row[0]):
        found = list(group)
        lines = [Draw(*row[_LINE_AT:]) for row in found if row[_LINE_AT] is not None]
        holds.append(_SHAPE.read(found[0][:_LINE_AT]).with_lines(lines))
    return holds


class Holds(Noun):
    """The port of the same name."""

    __slots__ = ()

    def by_key(self, reference: Reference, idempotency_key: str) -> HoldRow | None:
        """The hold that a key was used for: a plain read that takes no lock."""
        values = {"type_": reference.type, "reference": reference.id, "key": idempotency_key}
        return _SHAPE.read_or_none(self._db.one(_BY_KEY, values))

    def by_key_locked(self, customer_id: str, idempotency_key: str) -> HoldRow | None:
        """The same by a locking read, which sees what an older snapshot hides."""
        return _SHAPE.read_or_none(self._db.one(_BY_KEY_LOCKED, {"customer": customer_id, "key": idempotency_key}))

    def of_reference(self, reference: Reference, hold_id: str) -> HoldRow | None:
        """A hold of a reference: a plain read that takes no lock."""
        values = {"type_": reference.type, "reference": reference.id, "this": hold_id}
        return _SHAPE.read_or_none(self._db.one(_BY_ID, values))

    def get(self, customer_id: str, hold_id: str) -> Hold | None:
        """A hold of a customer whose row is locked, with its lines."""
        found = _read(self._db.all(_GET, {"customer": customer_id, "this": hold_id}))
        return found[0] if found else None

    def lapsed(self, customer_id: str, until: Instant) -> Sequence[Hold]:
        """Open holds of a customer whose row is locked that end at an instant or before, the first to end first."""
        return _read(self._db.all(_LAPSED, {"customer": customer_id, "until": until}))

    def overdue(self, until: Instant, limit: int) -> Sequence[str]:
        """The ids of customers with open holds that end at an instant or before, so many at most."""
        return [str(id_) for (id_,) in self._db.all(_OVERDUE, {"until": until, "limit": limit})]

    def next_end(self, customer_id: str, after: Instant) -> Instant:
        """When the first open hold of a customer ends that ends after an instant, `FOREVER` where there is none.

        A plain read that takes no lock.
        """
        ((found,),) = self._db.all(_NEXT_END, {"customer": customer_id, "until": after})
        return FOREVER if found is None else int(found)

    def add(self, row: HoldRow, lines: Sequence[Draw]) -> None:
        """Insert. Raises `DuplicateKey` where the customer used the key for another hold."""
        self._db.run(_ADD, _SHAPE.values(row))
        self._add_lines(row.id, lines)

    def put(self, hold: Hold, ended_at: Instant) -> None:
        """Overwrite status, what is left, and the lines."""
        values = {"this": hold.id, "status": hold.status, "left_units": hold.left, "ended_at": ended_at}
        self._db.run(_PUT, values)
        self._db.run(_DROP_LINES, {"this": hold.id})
        self._add_lines(hold.id, hold.lines)

    def move(self, bucket_id: str, heir_id: str) -> None:
        """Let what is held of a bucket be held of another one from now on."""
        self._db.run(_MOVE, {"this": bucket_id, "bucket_id": heir_id})

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest holds that ended before an instant, so many at most; how many."""
        return self._prune(_OLD, _PRUNE, before, limit)

    def _add_lines(self, hold_id: str, lines: Sequence[Draw]) -> None:
        if lines:
            self._db.run(_ADD_LINE, [_line_values(hold_id, number, line) for number, line in enumerate(lines)])


def _line_values(hold_id: str, number: int, line: Draw) -> dict[str, Any]:
    return {
        "hold_id": hold_id,
        "line": number,
        "bucket_id": line.bucket_id,
        "feature_key": line.feature,
        "amount": line.amount,
        "units": line.units,
    }
