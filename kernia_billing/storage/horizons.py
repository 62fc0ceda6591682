"""billing_horizon: how far back the books of customers are whole, and what is thrown away beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, case, delete, func, literal, or_, select, tuple_, update

from ..domain.instants import Instant
from ..domain.keeping import Horizon, OverBucket
from . import tables
from .db import Noun, Shape
from .dialects import AnySelect, locking, upsert
from .tables import horizon as t
from .types import Amount, number_param, text_param, texts_param

_SHAPE = Shape(Horizon, t, flags=("swept",))
_customer, _grant, _bucket = tables.customer.c, tables.entitlement.c, tables.bucket.c
_line, _event, _window = tables.ledger.c, tables.usage_event.c, tables.limit_window.c
_CUSTOMER, _SEQ, _LIMIT = text_param("customer"), number_param("seq"), number_param("limit")
_KEPT_FROM = number_param("kept_from")


def _numbers(name: str) -> BindParameter[int]:
    return bindparam(name, type_=Amount(), expanding=True)


_GET = _SHAPE.select().where(t.c.customer_id == _CUSTOMER)
_GET_LOCKED = locking(_GET)
_LOCK = locking(select(_customer.id).where(_customer.id == _CUSTOMER), on_postgresql=True)
_PUT = upsert(t, "customer_id")
_NOTE_SWEPT = (
    update(t)
    .values(swept=1)
    .where(t.c.customer_id == _CUSTOMER, t.c.seq == number_param("number"), t.c.kept_from == number_param("since"))
)
_CUSTOMERS = (
    select(_customer.id, case((_customer.created_at < number_param("before"), 1), else_=0), _customer.ledger_seq)
    .where(_customer.id > text_param("after"))
    .order_by(_customer.id)
    .limit(_LIMIT)
)
_FIRST_WINDOW = select(func.min(_window.window_start)).where(
    _window.customer_id == _CUSTOMER, _window.window_end > number_param("before")
)
_USE_FROM = (
    select(_event.seq, _event.received_at)
    .where(_event.customer_id == _CUSTOMER, _event.seq >= _SEQ)
    .order_by(_event.seq)
    .limit(1)
)


def _over() -> AnySelect:
    later = tables.bucket.alias("later")
    has_later = (
        select(literal(1))
        .where(
            later.c.entitlement_id == _bucket.entitlement_id,
            later.c.period_end > _bucket.period_end,
            later.c.period_end <= _KEPT_FROM,
        )
        .exists()
    )
    heir = tables.bucket.alias("heir")
    counts_elsewhere = select(literal(1)).where(heir.c.id == _bucket.heir_id).exists()
    is_held = select(literal(1)).where(tables.hold_line.c.bucket_id == _bucket.id).exists()
    # A plan that comes back finds the bucket of its running period again; what was given once does not.
    has_ended = (
        (_grant.interval_unit == "")
        & _grant.source_type.not_in(("default", "plan"))
        & or_(_grant.expires_at <= _KEPT_FROM, _grant.closed_at <= _KEPT_FROM)
    )
    return (
        select(_bucket.id, _grant.terms, case((has_ended | has_later, 0), else_=1))
        .join_from(tables.entitlement, tables.bucket, _bucket.entitlement_id == _grant.id)
        .where(
            _grant.customer_id == _CUSTOMER,
            or_(_bucket.period_end <= _KEPT_FROM, has_ended),
            _bucket.held == 0,
            ~is_held,
            ~counts_elsewhere,
            _bucket.id > text_param("after"),
        )
        .order_by(_bucket.id)
        .limit(_LIMIT)
    )


_OVER = _over()
_DROP_BUCKETS = (
    delete(tables.bucket_change).where(tables.bucket_change.c.bucket_id.in_(texts_param("ids"))),
    delete(tables.bucket).where(_bucket.id.in_(texts_param("ids"))),
)
_LINES = (
    select(_line.seq, _line.line, _line.bucket_id)
    .where(
        _line.customer_id == _CUSTOMER,
        _line.seq <= _SEQ,
        # The first condition tells the database where in the index to begin.
        _line.seq >= number_param("after"),
        tuple_(_line.seq, _line.line) > tuple_(number_param("after"), number_param("after_line")),
        ~select(literal(1)).where(_bucket.id == _line.bucket_id).exists(),
    )
    .order_by(_line.seq, _line.line)
    .limit(_LIMIT)
)
_DROP_LINES = delete(tables.ledger).where(
    _line.customer_id == _CUSTOMER, _line.seq.in_(_numbers("seqs")), _line.bucket_id.in_(texts_param("buckets"))
)
_USES = (
    select(_event.seq)
    .where(
        _event.customer_id == _CUSTOMER,
        _event.seq > number_param("after"),
        _event.seq <= _SEQ,
        _event.occurred_at < _KEPT_FROM,
        _event.received_at < _KEPT_FROM,
        ~select(literal(1)).where(_line.customer_id == _event.customer_id, _line.seq == _event.seq).exists(),
    )
    .order_by(_event.seq)
    .limit(_LIMIT)
)
_DROP_USES = delete(tables.usage_event).where(_event.customer_id == _CUSTOMER, _event.seq.in_(_numbers("seqs")))
_state, _plan = tables.entitlement_change, tables.customer_change


def _followed(table: Any, key: Any, *where: Any) -> AnySelect:
    next_one = table.alias("next_one")
    follows = (next_one.c[key.name] == key, next_one.c.seq > table.c.seq, next_one.c.seq <= _SEQ)
    return (
        select(key, table.c.seq)
        .where(table.c.customer_id == _CUSTOMER, select(literal(1)).where(*follows).exists(), *where)
        .limit(_LIMIT)
    )


_STATES = _followed(
    _state,
    _state.c.entitlement_id,
    ~select(literal(1)).where(_grant.id == _state.c.entitlement_id, _grant.created_seq == _state.c.seq).exists(),
)
_PLANS = _followed(_plan, _plan.c.customer_id)
_DROP_STATE = delete(_state).where(_state.c.entitlement_id == text_param("of"), _state.c.seq == _SEQ)
_DROP_PLAN = delete(_plan).where(_plan.c.customer_id == text_param("of"), _plan.c.seq == _SEQ)


class Horizons(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, customer_id: str, *, locked: bool = False) -> Horizon | None:
        """How far back the books of a customer are whole, None for all the way; `locked` sees the newest."""
        return _SHAPE.read_or_none(self._db.one(_GET_LOCKED if locked else _GET, {"customer": customer_id}))

    def lock(self, customer_id: str) -> None:
        """Keep everybody else from writing to the books of a customer until the end of the transaction."""
        self._db.one(_LOCK, {"customer": customer_id})

    def put(self, horizon: Horizon) -> None:
        """Insert or overwrite."""
        self._db.run(_PUT, _SHAPE.values(horizon))

    def note_swept(self, horizon: Horizon) -> None:
        """Note that everything up to a horizon has gone that may go, unless it has moved."""
        values = {"customer": horizon.customer_id, "number": horizon.seq, "since": horizon.kept_from}
        self._db.run(_NOTE_SWEPT, values)

    def customers(self, after: str, before: Instant, limit: int) -> Sequence[tuple[str, bool]]:
        """The next customers by their ids, and whether there may be anything of them that is of before an instant."""
        rows = self._db.all(_CUSTOMERS, {"after": after, "before": before, "limit": limit})
        return [(str(id_), bool(is_old and last)) for id_, is_old, last in rows]

    def kept_from(self, customer_id: str, before: Instant) -> Instant:
        """When the first usage limit began to count that still did at an instant; the instant where none did."""
        (first,) = self._db.only(_FIRST_WINDOW, {"customer": customer_id, "before": before})
        return before if first is None else min(int(first), before)

    def use_from(self, customer_id: str, seq: int) -> tuple[int, Instant] | None:
        """The first use of the write `seq` or of a later one: its number, and when it was recorded."""
        row = self._db.one(_USE_FROM, {"customer": customer_id, "seq": seq})
        return None if row is None else (row[0], row[1])

    def over(self, customer_id: str, kept_from: Instant, after: str, limit: int) -> Sequence[OverBucket]:
        """Buckets that were over at an instant, by their ids from just after one, so many at most.

        Over is the bucket of a period that has ended, and that of a grant without periods that has ended, unless a
        plan gave it. Those of which anything is held are left out, and those whose usage counts in another one that is
        there.
        """
        values = {"customer": customer_id, "kept_from": kept_from, "after": after, "limit": limit}
        return [OverBucket(id_, terms, bool(is_last)) for id_, terms, is_last in self._db.all(_OVER, values)]

    def drop_buckets(self, bucket_ids: Sequence[str]) -> None:
        """Delete buckets and what was noted of their states."""
        for statement in _DROP_BUCKETS if bucket_ids else ():
            self._db.run(statement, {"ids": list(bucket_ids)})

    def sweep_lines(self, horizon: Horizon, after: tuple[int, int], limit: int) -> Sequence[tuple[int, int]]:
        """Delete the first lines after one, up to the horizon, of buckets that are gone; the numbers of what went."""
        place = {"after": after[0], "after_line": after[1], "limit": limit}
        rows = self._db.all(_LINES, {"customer": horizon.customer_id, "seq": horizon.seq, **place})
        if rows:
            seqs, buckets = sorted({row[0] for row in rows}), sorted({str(row[2]) for row in rows})
            self._db.run(_DROP_LINES, {"customer": horizon.customer_id, "seqs": seqs, "buckets": buckets})
        return [(row[0], row[1]) for row in rows]

    def sweep_uses(self, horizon: Horizon, after: int, limit: int) -> Sequence[int]:
        """Delete the first uses after a number, up to the horizon, of which no line is left; their numbers.

        Those that are said to have happened since `kept_from` stay.
        """
        place = {"seq": horizon.seq, "kept_from": horizon.kept_from, "after": after, "limit": limit}
        seqs = [int(seq) for (seq,) in self._db.all(_USES, {"customer": horizon.customer_id, **place})]
        if seqs:
            self._db.run(_DROP_USES, {"customer": horizon.customer_id, "seqs": seqs})
        return seqs

    def sweep_states(self, horizon: Horizon, limit: int) -> int:
        """Delete what was noted of grants and plans and was followed by another state up to the horizon; how many.

        The first state of a grant stays: it tells when it was given.
        """
        values = {"customer": horizon.customer_id, "seq": horizon.seq, "limit": limit}
        number = 0
        for find, drop in ((_STATES, _DROP_STATE), (_PLANS, _DROP_PLAN)):
            rows = self._db.all(find, values)
            self._db.run_all(drop, [{"of": of, "seq": seq} for of, seq in rows])
            number += len(rows)
        return number
