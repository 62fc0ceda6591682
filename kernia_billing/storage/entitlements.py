"""billing_entitlement and billing_bucket: what was given, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import attrs
from sqlalchemy import ColumnElement, FromClause, and_, func, literal_column, select, update

from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Grant, Holding
from ..domain.instants import FOREVER, Instant
from ..domain.limits import Window
from ..domain.period import Interval, Unit
from ..domain.references import Reference
from ..ports.store import Held
from . import customers, holds, limits, tables
from .db import Noun, Row, Shape
from .dialects import AnySelect, insert_new, locking, plain_insert
from .hot import HotSelect
from .types import Id, number_param, padded, text_param, texts_param

_grant, _bucket, _window = tables.entitlement, tables.bucket, tables.limit_window.c
_hold, _line = tables.hold.c, tables.hold_line.c
_GRANT_SHAPE = Shape(Grant, _grant, skip=("interval",), feature="feature_key", entity="entity_id")
_GRANT = (*_GRANT_SHAPE.columns, _grant.c.interval_unit, _grant.c.interval_count)
_BUCKET_SHAPE = Shape(BucketRow, _bucket, grant_id="entitlement_id", feature="feature_key", entity="entity_id")
_INTERVAL_AT = [field.name for field in attrs.fields(Grant)].index("interval")
_BUCKET = (
    _bucket.c.id,
    _bucket.c.period_no,
    _bucket.c.period_start,
    _bucket.c.period_end,
    _bucket.c.amount,
    _bucket.c.used,
    _bucket.c.held,
    _bucket.c.closed_at,
    _bucket.c.heir_id,
    _bucket.c.owed,
)
"""What a bucket does not share with its grant."""
_SEEN = tuple(
    holds.held_at(_bucket, number_param("now")).label("held") if each is _bucket.c.held else each for each in _BUCKET
)
"""The same for readers, who write nothing down: holds whose time has come hold nothing."""
_BUCKET_AT = len(_GRANT)
_CUSTOMER_AT = _BUCKET_AT + len(_BUCKET)
_WINDOW_AT = _CUSTOMER_AT + len(customers.COLUMNS)
_NOW = number_param("now")
_IS_CURRENT = and_(
    _bucket.c.entitlement_id == _grant.c.id,
    _bucket.c.period_end > _NOW,
    _bucket.c.period_start <= _NOW,
    _bucket.c.closed_at > _NOW,
)
_SIZES = (1, 4, 16)
"""How many features a statement names; shorter lists repeat their last one, longer ones read all features."""


_NAMES = [f"feature_{index}" for index in range(max(_SIZES))]


def _among(size: int) -> tuple[ColumnElement[bool], ...]:
    return (_grant.c.feature_key.in_([text_param(name) for name in _NAMES[:size]]),) if size else ()


def _of_reference(size: int, *, limited: bool = False) -> AnySelect:
    is_open = and_(_grant.c.customer_id == tables.customer.c.id, _grant.c.closed_at > _NOW, *_among(size))
    joined = tables.customer.outerjoin(_grant, is_open).outerjoin(_bucket, _IS_CURRENT)
    window = limits.COLUMNS if limited else ()
    if limited:
        joined = joined.outerjoin(tables.limit_window, and_(_window.customer_id == tables.customer.c.id, _runs(size)))
    return select(*_GRANT, *_SEEN, *customers.COLUMNS, *window).select_from(joined).where(customers.HAS_REFERENCE)


def _runs(size: int) -> ColumnElement[bool]:
    among = (_window.feature_key.in_([text_param(name) for name in _NAMES[:size]]),) if size else ()
    return and_(limits.IS_RUNNING, *among)


def _of_customer(size: int) -> AnySelect:
    joined: FromClause = _grant.outerjoin(_bucket, _IS_CURRENT)
    is_open = (_grant.c.customer_id == text_param("customer"), _grant.c.closed_at > _NOW, *_among(size))
    return select(*_GRANT, *_BUCKET).select_from(joined).where(*is_open)


_OF_REFERENCE = {size: HotSelect(_of_reference(size)) for size in (*_SIZES, 0)}
_OF_REFERENCE_LIMITED = {size: HotSelect(_of_reference(size, limited=True)) for size in (*_SIZES, 0)}
_OF_CUSTOMER = {size: locking(_of_customer(size)) for size in (*_SIZES, 0)}
_OF_BUCKETS = locking(
    select(*_GRANT, *_BUCKET)
    .select_from(_bucket.join(_grant, _grant.c.id == _bucket.c.entitlement_id))
    .where(_bucket.c.customer_id == text_param("customer"), _bucket.c.id.in_(texts_param("ids")))
)
_EARLIER = _bucket.alias("earlier")
_LAST = select(*_BUCKET_SHAPE.columns).where(
    _bucket.c.entitlement_id.in_(texts_param("ids")),
    _bucket.c.period_end
    == select(func.max(_EARLIER.c.period_end))
    .where(_EARLIER.c.entitlement_id == _bucket.c.entitlement_id, _EARLIER.c.period_end <= _NOW)
    .scalar_subquery(),
)
_LAST_LOCKED = locking(_LAST)
_LAPSES = (
    select(_line.bucket_id, _hold.expires_at, _line.amount)
    .select_from(tables.hold.join(tables.hold_line, _line.hold_id == _hold.id))
    .where(
        _hold.customer_id == text_param("customer"),
        _hold.status == literal_column("'open'", Id()),
        _hold.expires_at <= _NOW,
    )
)
_LAPSES_LOCKED = locking(_LAPSES)
_REOPEN = update(_bucket).where(
    _bucket.c.entitlement_id == text_param("this"), _bucket.c.period_start <= _NOW, _bucket.c.period_end > _NOW
)
_OF_CUSTOMERS = (
    select(*_GRANT, *_BUCKET)
    .select_from(_grant.outerjoin(_bucket, _IS_CURRENT))
    .where(
        _grant.c.customer_id.in_(texts_param("customers")),
        _grant.c.feature_key.in_(texts_param("features")),
        _grant.c.closed_at > _NOW,
    )
)
_OF_SOURCE = (
    select(*_GRANT)
    .where(_grant.c.customer_id == text_param("customer"), _grant.c.source_type == text_param("source"))
    .order_by(_grant.c.created_seq, _grant.c.id)
)
_GIVEN = (
    select(*_GRANT)
    .where(
        _grant.c.customer_id == text_param("customer"),
        _grant.c.source_type == text_param("source"),
        _grant.c.source_id == text_param("thing"),
    )
    .order_by(_grant.c.created_seq, _grant.c.id)
)
_GIVEN_LOCKED = locking(_GIVEN)
_BY_ID = locking(
    select(*_GRANT).where(_grant.c.customer_id == text_param("customer"), _grant.c.id == text_param("this"))
)
_ADD_GRANT = insert_new(_grant, "customer_id", "source_type", "source_id", "feature_key", "entity_id", "kind")
_PUT_GRANT = update(_grant).where(_grant.c.id == text_param("this"))
_CHANGING_GRANT = ("amount", "priority", "expires_at", "closed_at", "anchor_at", "meter", "terms", "source_id")
_ADD_BUCKET = plain_insert(_bucket)
_PUT_BUCKET = update(_bucket).where(_bucket.c.id == text_param("this"))
_CHANGING_BUCKET = ("amount", "used", "held", "closed_at", "heir_id", "owed")


@lru_cache(maxsize=1_000)
def _interval(unit: str, count: int) -> Interval | None:
    return Interval(cast("Unit", unit), count) if unit else None


def _read_grant(row: Row) -> Grant:
    unit, count = row[_BUCKET_AT - 2 : _BUCKET_AT]
    values: tuple[Any, ...] = (*row[:_INTERVAL_AT], _interval(unit, count), *row[_INTERVAL_AT : _BUCKET_AT - 2])
    return Grant(*values)


def _read_bucket(row: Row, grant: Grant) -> BucketRow:
    id_, period_no, *rest = row[_BUCKET_AT:_CUSTOMER_AT]
    return BucketRow(id_, grant.id, grant.customer_id, grant.feature, grant.entity, period_no, *rest)


def _read_held(rows: Iterable[Row]) -> Sequence[Held]:
    held: dict[str, Held] = {}
    for row in rows:
        grant = _read_grant(row)
        bucket = None if row[_BUCKET_AT] is None else _read_bucket(row, grant)
        earlier = held.get(grant.id, (grant, None))[1]
        # After a change of the anchor two periods may overlap: the later one counts.
        if bucket is None or earlier is None or bucket.period_start > earlier.period_start:
            held[grant.id] = grant, bucket
    return list(held.values())


def _wanted(features: Sequence[str] | None) -> tuple[int, dict[str, str]]:
    """The size of the statement for so many features, and their parameters."""
    if features:
        for size in _SIZES:
            if len(features) <= size:
                padded = [*features, *[features[-1]] * (size - len(features))]
                return size, dict(zip(_NAMES[:size], padded, strict=True))
    return 0, {}


def _only(rows: Sequence[Row], features: Sequence[str] | None, size: int) -> Iterable[Row]:
    """The rows that have a grant, of these features where the statement did not choose them."""
    if features is None or size:
        return (row for row in rows if row[0] is not None)
    return (row for row in rows if row[2] in features)


def _changing(bucket: BucketRow) -> dict[str, Any]:
    return {"this": bucket.id, **{name: getattr(bucket, name) for name in _CHANGING_BUCKET}}


class Entitlements(Noun):
    """The port of the same name."""

    __slots__ = ()

    def of_reference(
        self, reference: Reference, features: Sequence[str] | None, now: Instant
    ) -> tuple[CustomerRow | None, Sequence[Held]]:
        """One read: the customer, and the open grants of these features (None: all) with their current buckets.

        Open are those that are not closed at `now`, expired ones among them: what was used of them may still count.
        """
        size, names = _wanted(features)
        values = {**names, "type_": reference.type, "reference": reference.id, "now": now}
        rows = _OF_REFERENCE[size].all(self._db, values)
        if not rows:
            return None, ()
        return customers.read_customer(rows[0][_CUSTOMER_AT:], reference), _read_held(_only(rows, features, size))

    def of_reference_limited(
        self, reference: Reference, features: Sequence[str], entity: str, now: Instant
    ) -> tuple[CustomerRow | None, Sequence[Held], Sequence[Window]]:
        """`of_reference` with the running windows of the usage limits on these features, still in one read."""
        size, names = _wanted(features)
        values = {**names, "type_": reference.type, "reference": reference.id, "entity": entity, "now": now}
        rows = _OF_REFERENCE_LIMITED[size].all(self._db, values)
        if not rows:
            return None, (), ()
        customer = customers.read_customer(rows[0][_CUSTOMER_AT:_WINDOW_AT], reference)
        windows = limits.read((row[_WINDOW_AT:] for row in rows), features)
        return customer, _read_held(_only(rows, features, size)), windows

    def of_customer(self, customer_id: str, features: Sequence[str] | None, now: Instant) -> Sequence[Held]:
        """The same for a customer whose row is locked; a locking read where the engine needs one to see the truth."""
        size, names = _wanted(features)
        rows = self._db.all(_OF_CUSTOMER[size], {**names, "customer": customer_id, "now": now})
        return _read_held(_only(rows, features, size))

    def of_buckets(self, customer_id: str, bucket_ids: Sequence[str]) -> Mapping[str, Holding]:
        """These buckets with their grants, by the bucket's id, whatever became of them; locking like `of_customer`."""
        if not bucket_ids:
            return {}
        found: dict[str, Holding] = {}
        for row in self._db.all(_OF_BUCKETS, {"customer": customer_id, "ids": list(bucket_ids)}):
            grant = _read_grant(row)
            bucket = _read_bucket(row, grant)
            found[bucket.id] = Holding(grant, bucket, opened=True)
        return found

    def last_buckets(self, grant_ids: Sequence[str], now: Instant, *, locked: bool) -> Mapping[str, BucketRow]:
        """The bucket of the last period of each grant that is over at `now` and was opened, by the grant's id.

        It tells what is written down, by a locking read where it is `locked` and the engine needs one.
        """
        if not grant_ids:
            return {}
        found = self._db.all(_LAST_LOCKED if locked else _LAST, {"ids": list(grant_ids), "now": now})
        return {bucket.grant_id: bucket for bucket in _BUCKET_SHAPE.read_all(found)}

    def lapses(self, customer_id: str, now: Instant, *, locked: bool) -> Sequence[tuple[str, Instant, int]]:
        """What holds whose time has come at `now` hold on paper: bucket, when it was free again, and how much."""
        rows = self._db.all(_LAPSES_LOCKED if locked else _LAPSES, {"customer": customer_id, "now": now})
        return [(bucket_id, at, amount) for bucket_id, at, amount in rows]

    def reopen(self, grant_id: str, now: Instant) -> None:
        """Let the bucket of the period at `now` count again, if there is one."""
        self._db.run(_REOPEN, {"this": grant_id, "now": now, "closed_at": FOREVER})

    def of_customers(self, features: Mapping[str, Iterable[str]], now: Instant) -> Mapping[str, Sequence[Held]]:
        """`of_customer` for several, by their ids: the features that any of them asks for.

        A plain read, for transactions of our own, in which every statement sees what was committed before it. One that
        locks would wait for rows of other customers that it merely comes across.
        """
        if not features:
            return {}
        wanted = {feature for each in features.values() for feature in each}
        values = {"customers": padded(features), "features": padded(wanted), "now": now}
        rows = self._db.all(_OF_CUSTOMERS, values)
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row[1], []).append(row)
        return {customer_id: _read_held(mine) for customer_id, mine in found.items()}

    def add_buckets(self, buckets: Sequence[BucketRow]) -> None:
        """Insert the buckets of periods."""
        self._db.run_all(_ADD_BUCKET, [_BUCKET_SHAPE.values(each) for each in buckets])

    def put_buckets(self, buckets: Sequence[BucketRow]) -> None:
        """`put_bucket` for several."""
        self._db.run_all(_PUT_BUCKET, [_changing(each) for each in buckets])

    def grants(self, customer_id: str, source_type: str) -> Sequence[Grant]:
        """Every grant of a source, closed ones too, in the order of their creation."""
        rows = self._db.all(_OF_SOURCE, {"customer": customer_id, "source": source_type})
        return [_read_grant(row) for row in rows]

    def of_source(self, customer_id: str, source_type: str, source_id: str, *, locked: bool) -> Sequence[Grant]:
        """What one source has given, closed grants too: what is found where the same thing is given again."""
        values = {"customer": customer_id, "source": source_type, "thing": source_id}
        return [_read_grant(row) for row in self._db.all(_GIVEN_LOCKED if locked else _GIVEN, values)]

    def by_id(self, customer_id: str, grant_id: str) -> Grant | None:
        """A grant of a customer whose row is locked, None where it has no such one."""
        rows = self._db.all(_BY_ID, {"customer": customer_id, "this": grant_id})
        return _read_grant(rows[0]) if rows else None

    def add_grant(self, grant: Grant) -> bool:
        """Insert unless the same thing was given already; says whether it was inserted."""
        values = {
            **_GRANT_SHAPE.values(grant),
            "interval_unit": "" if grant.interval is None else grant.interval.unit,
            "interval_count": 0 if grant.interval is None else grant.interval.count,
        }
        return self._db.insert_new(_ADD_GRANT, values)

    def put_grant(self, grant: Grant) -> None:
        """Overwrite amount, priority, expiry, closing, anchor, meter, terms and source by id."""
        self._db.run(_PUT_GRANT, {"this": grant.id, **{name: getattr(grant, name) for name in _CHANGING_GRANT}})

    def add_bucket(self, bucket: BucketRow) -> None:
        """Insert the bucket of a period."""
        self._db.run(_ADD_BUCKET, _BUCKET_SHAPE.values(bucket))

    def put_bucket(self, bucket: BucketRow) -> None:
        """Overwrite amount, used, held, closing, heir and debt by id."""
        self._db.run(_PUT_BUCKET, _changing(bucket))
