"""billing_entitlement and billing_bucket: what was given, and how much of it is left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

import attrs
from attrs import evolve
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Text,
    and_,
    column,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import cast as cast_
from sqlalchemy.dialects import postgresql

from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Grant, Holding
from ..domain.instants import FOREVER, Instant
from ..domain.limits import Window
from ..domain.period import Interval, Unit
from ..domain.references import Reference
from ..ports.store import Earlier, Held, Lapse, Left, Needs, Standing
from . import customers, holds, limits, tables
from .bulk import Part, inserting, updating
from .db import Noun, Shape
from .dialects import AnySelect, among_many, insert_new, locking
from .types import Amount, Id, Row, number_param, padded, text_param, texts_param

_grant, _bucket, _window = tables.entitlement, tables.bucket, tables.limit_window.c
_hold, _line = tables.hold.c, tables.hold_line.c
Columns = tuple[ColumnElement[Any], ...]
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
    _bucket.c.own,
)
"""What a bucket does not share with its grant."""
_BUCKET_AT = len(_GRANT)
_END_AT = _BUCKET_AT + _BUCKET.index(_bucket.c.period_end)
_NO_BUCKET = (None,) * len(_BUCKET)
_CUSTOMER_AT = _BUCKET_AT + len(_BUCKET)
_LAPSE_AT = _CUSTOMER_AT + len(customers.COLUMNS)
_NOW = number_param("now")


def _is_current(now: ColumnElement[Any]) -> ColumnElement[bool]:
    return and_(
        _bucket.c.entitlement_id == _grant.c.id,
        _bucket.c.period_end > now,
        _bucket.c.period_start <= now,
        _bucket.c.closed_at > now,
    )


def _seen(now: ColumnElement[Any]) -> Columns:
    """`_BUCKET` for readers, who write nothing down: holds whose time has come hold nothing."""
    return tuple(holds.held_at(_bucket, now).label("held") if each is _bucket.c.held else each for each in _BUCKET)


_IS_CURRENT = _is_current(_NOW)
_EARLIER = _bucket.alias("earlier")
_IS_CURRENT_OR_LAST = and_(
    _bucket.c.entitlement_id == _grant.c.id,
    _bucket.c.period_end
    >= func.coalesce(
        select(func.max(_EARLIER.c.period_end))
        .where(_EARLIER.c.entitlement_id == _grant.c.id, _EARLIER.c.period_end <= _NOW)
        .scalar_subquery(),
        _NOW,
    ),
    or_(_bucket.c.period_end <= _NOW, and_(_bucket.c.period_start <= _NOW, _bucket.c.closed_at > _NOW)),
)
"""The current bucket of a grant and the last one that is over, which are neighbours in the index."""
_LAPSED, _LAPSED_LINE = tables.hold.alias("lapsed"), tables.hold_line.alias("lapsed_line")
_IS_LAPSED_LINE = and_(_LAPSED_LINE.c.bucket_id == _bucket.c.id, _bucket.c.held > literal_column("0", Amount()))
_IS_LAPSED = and_(
    _LAPSED.c.id == _LAPSED_LINE.c.hold_id,
    _LAPSED.c.status == literal_column("'open'", Id()),
    _LAPSED.c.expires_at <= _NOW,
)
_LAPSE = (_LAPSED_LINE.c.hold_id, _LAPSED_LINE.c.line, _LAPSED.c.expires_at, _LAPSED_LINE.c.amount)
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_SIZES = (1, 4, 16)
"""How many features a statement names; shorter lists repeat their last one, longer ones read all features."""


_NAMES = [f"feature_{index}" for index in range(max(_SIZES))]


def _among(size: int) -> tuple[ColumnElement[bool], ...]:
    return (_grant.c.feature_key.in_([text_param(name) for name in _NAMES[:size]]),) if size else ()


def _of_reference(size: int, *, limited: bool = False, earlier: bool = False) -> AnySelect:
    is_open = and_(_grant.c.customer_id == tables.customer.c.id, _grant.c.closed_at > _NOW, *_among(size))
    joined = tables.customer.outerjoin(_grant, is_open)
    if earlier:
        columns: Columns = (*_GRANT, *_BUCKET, *customers.COLUMNS, *_LAPSE)
        joined = joined.outerjoin(_bucket, _IS_CURRENT_OR_LAST)
        joined = joined.outerjoin(_LAPSED_LINE, _IS_LAPSED_LINE).outerjoin(_LAPSED, _IS_LAPSED)
    else:
        columns = (*_GRANT, *_seen(_NOW), *customers.COLUMNS)
        joined = joined.outerjoin(_bucket, _IS_CURRENT)
    if limited:
        joined = joined.outerjoin(tables.limit_window, and_(_window.customer_id == tables.customer.c.id, _runs(size)))
        columns += limits.COLUMNS
    return select(*columns).select_from(joined).where(customers.HAS_REFERENCE)


def _of_references() -> AnySelect:
    """`_of_reference` for many, each with features and an instant of its own, in the form of PostgreSQL.

    How many there are is said apart: the planner would take every list for a hundred, and read whole tables for it.
    """
    told = func.json_to_recordset(cast_(text_param("asked"), postgresql.JSON)).table_valued(
        column("n", Integer),
        column("type_", Text),
        column("reference", Text),
        column("features", postgresql.ARRAY(Text)),
        column("now", BigInteger),
    )
    limited = select(told.render_derived(name="told", with_types=True)).limit(number_param("most"))
    asked = limited.subquery("asked")
    who, now = tables.customer.c, asked.c.now
    is_open = and_(
        _grant.c.customer_id == who.id, _grant.c.closed_at > now, _grant.c.feature_key == func.any(asked.c.features)
    )
    joined = asked.join(
        tables.customer, and_(who.customer_type == asked.c.type_, who.reference_id == asked.c.reference)
    )
    joined = joined.outerjoin(_grant, is_open).outerjoin(_bucket, _is_current(now))
    return select(*_GRANT, *_seen(now), *customers.COLUMNS, asked.c.n).select_from(joined)


def _runs(size: int) -> ColumnElement[bool]:
    among = (_window.feature_key.in_([text_param(name) for name in _NAMES[:size]]),) if size else ()
    return and_(limits.IS_RUNNING, *among)


def _of_customer(size: int) -> AnySelect:
    joined: FromClause = _grant.outerjoin(_bucket, _IS_CURRENT)
    is_open = (_grant.c.customer_id == text_param("customer"), _grant.c.closed_at > _NOW, *_among(size))
    return select(*_GRANT, *_BUCKET).select_from(joined).where(*is_open)


_OF_REFERENCE = {size: _of_reference(size) for size in (*_SIZES, 0)}
_OF_REFERENCES = _of_references()
_STANDING = {
    (size, limited, earlier): _of_reference(size, limited=limited, earlier=earlier)
    for size in (*_SIZES, 0)
    for limited in (False, True)
    for earlier in (False, True)
}
_OF_CUSTOMER = {size: locking(_of_customer(size)) for size in (*_SIZES, 0)}
_OF_BUCKETS = locking(
    select(*_GRANT, *_BUCKET)
    .select_from(_bucket.join(_grant, _grant.c.id == _bucket.c.entitlement_id))
    .where(_bucket.c.customer_id == text_param("customer"), _bucket.c.id.in_(texts_param("ids")))
)
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
_OF_CUSTOMERS = among_many(
    lambda among: (
        select(*_GRANT, *_BUCKET)
        .select_from(_grant.outerjoin(_bucket, _IS_CURRENT))
        .where(
            among(_grant.c.customer_id, "customers"),
            among(_grant.c.feature_key, "features"),
            _grant.c.closed_at > _NOW,
        )
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
_ADD_BUCKET = inserting(_bucket, _BUCKET_SHAPE.columns)
_CHANGING_BUCKET = ("amount", "used", "held", "closed_at", "heir_id", "owed", "own")
_PUT_BUCKET = updating(_bucket, *_CHANGING_BUCKET)


@lru_cache(maxsize=1_000)
def _interval(unit: str, count: int) -> Interval | None:
    return Interval(cast("Unit", unit), count) if unit else None


@lru_cache(maxsize=10_000)
def _grant_of(values: Row) -> Grant:
    """Grants seldom change: a grant that was read before is found by what its row says, all of it."""
    unit, count = values[_BUCKET_AT - 2 :]
    told: tuple[Any, ...] = (*values[:_INTERVAL_AT], _interval(unit, count), *values[_INTERVAL_AT : _BUCKET_AT - 2])
    return Grant(*told)


def _read_known(rows: Sequence[Row], reference: Reference) -> CustomerRow | None:
    return customers.read_customer(rows[0][_CUSTOMER_AT:_LAPSE_AT], reference) if rows else None


def _read_grant(row: Row) -> Grant:
    return _grant_of(tuple(row[:_BUCKET_AT]))


def _read_bucket(row: Row, grant: Grant) -> BucketRow:
    id_, period_no, *rest = row[_BUCKET_AT:_CUSTOMER_AT]
    return BucketRow(id_, grant.id, grant.customer_id, grant.feature, grant.entity, period_no, *rest)


def _read_held(rows: Iterable[Row]) -> Sequence[Held]:
    held: dict[str, Held] = {}
    for row in rows:
        grant = _read_grant(row)
        bucket = None if row[_BUCKET_AT] is None else _read_bucket(row, grant)
        known = held.get(grant.id)
        # After a change of the anchor two periods may overlap: the later one counts.
        if known is None or _is_later(bucket, known[1]):
            held[grant.id] = grant, bucket
    return list(held.values())


def _is_later(one: BucketRow | None, other: BucketRow | None) -> bool:
    return one is not None and (other is None or one.period_start > other.period_start)


def _read_earlier(rows: Iterable[Row], now: Instant) -> tuple[Sequence[Held], Earlier]:
    """Rows with last buckets and lapses; holds whose time has come hold nothing of current buckets."""
    current: list[Row] = []
    last: dict[str, BucketRow] = {}
    lapses: dict[tuple[str, int], Lapse] = {}
    for row in rows:
        hold_id, line, expires_at, amount = row[_LAPSE_AT : _LAPSE_AT + len(_LAPSE)]
        if expires_at is not None:
            lapses[hold_id, line] = row[_BUCKET_AT], expires_at, amount
        is_over = row[_BUCKET_AT] is not None and row[_END_AT] <= now
        if is_over and row[0] not in last:
            last[row[0]] = _read_bucket(row, _read_grant(row))
        current.append([*row[:_BUCKET_AT], *_NO_BUCKET] if is_over else row)
    freed: dict[str, int] = {}
    for bucket_id, _, amount in lapses.values():
        freed[bucket_id] = freed.get(bucket_id, 0) + amount
    held = [(grant, bucket and _without(bucket, freed.get(bucket.id, 0))) for grant, bucket in _read_held(current)]
    return held, Earlier(last, list(lapses.values()))


def _without(bucket: BucketRow, freed: int) -> BucketRow:
    return evolve(bucket, held=bucket.held - freed) if freed else bucket


def _wanted(features: Sequence[str] | None) -> tuple[int, Mapping[str, str]]:
    """The size of the statement for so many features, and their parameters."""
    if not features or len(features) > _SIZES[-1]:
        return 0, {}
    try:
        return _remembered(tuple(features))
    except TypeError:
        # What is no text cannot be remembered, and is refused where it is bound.
        return _sized(tuple(features))


def _sized(features: tuple[str, ...]) -> tuple[int, Mapping[str, str]]:
    size = next(size for size in _SIZES if len(features) <= size)
    padded = [*features, *[features[-1]] * (size - len(features))]
    return size, dict(zip(_NAMES[:size], padded, strict=True))


_remembered = lru_cache(maxsize=1_000)(_sized)


def _only(rows: Sequence[Row], features: Sequence[str] | None, size: int) -> Iterable[Row]:
    """The rows that have a grant, of these features where the statement did not choose them."""
    if features is None or size:
        return [row for row in rows if row[0] is not None]
    return [row for row in rows if row[2] in features]


_changing = attrgetter("id", *_CHANGING_BUCKET)


def changed(buckets: Iterable[BucketRow]) -> Part:
    """`Entitlements.put_bucket` for several, as it is run with other changes."""
    return _PUT_BUCKET, [_changing(each) for each in buckets]


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
        rows = self._db.all(_OF_REFERENCE[size], values)
        return _read_known(rows, reference), _read_held(_only(rows, features, size))

    def of_references(self, asked: Sequence[Needs]) -> Sequence[tuple[CustomerRow | None, Sequence[Held]]]:
        """`of_reference` for several, each at its own instant, in one read; answers in their order. PostgreSQL only."""
        told = [
            {
                "n": number,
                "type_": each.reference.type,
                "reference": each.reference.id,
                "features": each.features,
                "now": each.now,
            }
            for number, each in enumerate(asked)
        ]
        found: list[list[Row]] = [[] for _ in asked]
        for row in self._db.all(_OF_REFERENCES, {"asked": _to_json(told), "most": len(told)}):
            number: int = row[-1]
            found[number].append(row)
        return [
            (_read_known(rows, each.reference), _read_held(_only(rows, None, 0)))
            for each, rows in zip(asked, found, strict=True)
        ]

    def standing(
        self, reference: Reference, features: Sequence[str] | None, now: Instant, *, entity: str | None, earlier: bool
    ) -> Standing:
        """`of_reference` with what else a reader may have to know of these features, still in one read.

        With an `entity` ("" for none) it is the running windows of usage limits, the customer's own and its; with
        `earlier` the last buckets of all these grants that are over, and the lapses of all these buckets.
        """
        size, names = _wanted(features)
        values = {**names, "type_": reference.type, "reference": reference.id, "now": now}
        if entity is not None:
            values["entity"] = entity
        rows = self._db.all(_STANDING[size, entity is not None, earlier], values)
        customer = _read_known(rows, reference)
        windows: Sequence[Window] | None = None
        if entity is not None:
            windows_at = _LAPSE_AT + earlier * len(_LAPSE)
            windows = limits.read((row[windows_at:] for row in rows), features)
        found = _only(rows, features, size)
        held, past = _read_earlier(found, now) if earlier else (_read_held(found), None)
        return Standing(customer, held, windows, past)

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

    def lapses(self, customer_id: str, now: Instant, *, locked: bool) -> Sequence[Lapse]:
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
        _ADD_BUCKET.run(self._db, map(_BUCKET_SHAPE.row, buckets))

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
        self.add_buckets([bucket])

    def left(self, customer_id: str, feature: str, entity: str, now: Instant) -> Left | None:
        """None: a unit that has the transaction for itself reads."""
        return None

    def leave(self, customer_id: str, feature: str, entity: str, now: Instant, left: Left) -> None:
        """Nothing: nobody comes after it."""

    def put_bucket(self, bucket: BucketRow) -> None:
        """Overwrite amount, used, held, closing, heir, debt and own amount by id."""
        _PUT_BUCKET.run(self._db, [_changing(bucket)])
