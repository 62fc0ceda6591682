"""billing_entitlement_change and billing_customer_change, and the ledger read backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Label, Text, and_, case, func, literal_column, select, tuple_, type_coerce
from sqlalchemy import cast as cast_
from sqlalchemy.dialects import postgresql

from ..domain.grants import BucketRow, Grant, LedgerLine, UsageRow
from ..domain.history import BucketState, GrantState, PlanState, SetAside
from ..domain.holds import HoldRow
from ..domain.ids import Property
from ..domain.instants import Instant
from ..domain.minimums import SOURCE
from ..domain.period import Interval, Unit
from ..domain.references import Reference
from . import tables
from .db import Noun, Shape
from .dialects import AnySelect, Variants, has_members, upsert
from .pages import Pages, joined
from .types import Amount, Row, number_param, text_param, texts_param

_grant, _bucket, _line, _event = tables.entitlement.c, tables.bucket.c, tables.ledger.c, tables.usage_event.c
_hold = tables.hold.c
_GRANT = Shape(Grant, tables.entitlement, skip=("interval",), feature="feature_key", entity="entity_id")
_BUCKET = Shape(BucketRow, tables.bucket, grant_id="entitlement_id", feature="feature_key", entity="entity_id")
_LINE = Shape(LedgerLine, tables.ledger)
_EVENT = Shape(UsageRow, tables.usage_event, feature="feature_key", entity="entity_id")
_HOLD = Shape(HoldRow, tables.hold, feature="feature_key", entity="entity_id", left="left_units")
_GRANT_STATE = Shape(GrantState, tables.entitlement_change, grant_id="entitlement_id")
_PLAN_STATE = Shape(PlanState, tables.customer_change)
_BUCKET_STATE = Shape(BucketState, tables.bucket_change)
_CUSTOMER, _SEQ = text_param("customer"), number_param("seq")
_INTERVAL_AT = list(Grant.__annotations__).index("interval")

_PUT_GRANT = upsert(tables.entitlement_change, "entitlement_id", "seq")
_PUT_PLAN = upsert(tables.customer_change, "customer_id", "seq")
_PUT_BUCKET = upsert(tables.bucket_change, "bucket_id", "seq")
_GRANTS = (
    select(*_GRANT.columns, _grant.interval_unit, _grant.interval_count)
    .where(_grant.customer_id == _CUSTOMER, _grant.feature_key.in_(texts_param("features")))
    .order_by(_grant.created_seq, _grant.id)
)
_GRANT_STATES = (
    _GRANT_STATE.select()
    .where(tables.entitlement_change.c.customer_id == _CUSTOMER)
    .order_by(tables.entitlement_change.c.seq, tables.entitlement_change.c.entitlement_id)
)
_BUCKET_STATES = (
    _BUCKET_STATE.select()
    .where(tables.bucket_change.c.bucket_id == text_param("bucket"))
    .order_by(tables.bucket_change.c.seq)
)
_PLAN_STATES = (
    _PLAN_STATE.select().where(tables.customer_change.c.customer_id == _CUSTOMER).order_by(tables.customer_change.c.seq)
)
_BUCKETS = (
    _BUCKET.select()
    .where(
        _bucket.entitlement_id.in_(texts_param("grants")),
        _bucket.period_end > number_param("at"),
        _bucket.period_start <= number_param("at"),
    )
    .order_by(_bucket.entitlement_id, _bucket.period_start)
)
_OF_CUSTOMER = _LINE.select().where(_line.customer_id == _CUSTOMER)
_MOVED_FROM = _OF_CUSTOMER.where(_line.seq >= _SEQ, _line.moved_at > 0).order_by(_line.seq, _line.line).limit(1)
_LAST_LINE = (
    _OF_CUSTOMER.where(_line.seq <= _SEQ, _line.bucket_id == text_param("bucket"))
    .order_by(_line.seq.desc(), _line.line.desc())
    .limit(1)
)
_COUNTED_AT = (
    _hold.customer_id == _CUSTOMER,
    _hold.created_at <= number_param("at"),
    _hold.ended_at > number_param("at"),
)
_LAPSES = (
    select(_line.bucket_id, _hold.expires_at, _line.held)
    .join_from(
        tables.hold,
        tables.ledger,
        and_(_line.customer_id == _hold.customer_id, _line.event_id == _hold.id, _line.entry == "hold"),
    )
    .where(*_COUNTED_AT, _hold.expires_at <= number_param("at"))
)
_HOLDS = (
    _HOLD.select()
    .where(*_COUNTED_AT, _hold.expires_at > number_param("at"), _hold.feature_key.in_(texts_param("features")))
    .order_by(_hold.expires_at, _hold.id)
)
_NOTHING = literal_column("0", Amount())
_IS_MADE = _line.entry == "hold"
_SET_ASIDE = (
    select(
        *_HOLD.columns,
        func.sum(case((and_(_IS_MADE, _bucket.feature_key == text_param("feature")), _line.held), else_=_NOTHING)),
        func.min(case((_IS_MADE, _line.seq))),
        func.max(case((_line.entry == "release", _line.seq))),
    )
    .select_from(
        tables.hold.outerjoin(
            tables.ledger, and_(_line.customer_id == _hold.customer_id, _line.event_id == _hold.id)
        ).outerjoin(tables.bucket, _bucket.id == _line.bucket_id)
    )
    .where(
        _hold.customer_id == _CUSTOMER,
        _hold.created_at >= number_param("since"),
        _hold.created_at <= number_param("until"),
    )
    .group_by(*_HOLD.columns)
)
_OVERDRAWN = (
    select(func.coalesce(func.sum(_line.amount), _NOTHING))
    .select_from(
        tables.entitlement.join(tables.bucket, _bucket.entitlement_id == _grant.id).join(
            tables.ledger, and_(_line.customer_id == _grant.customer_id, _line.bucket_id == _bucket.id)
        )
    )
    .where(
        _grant.customer_id == _CUSTOMER,
        _grant.feature_key == text_param("feature"),
        _grant.source_type == SOURCE,
        _line.entry.in_(("use", "settle", "return", "refund")),
        _line.moved_at >= number_param("start"),
        _line.moved_at < number_param("end"),
    )
)
_VERSIONS = (
    select(tables.plan.c.id)
    .where(tables.plan.c.plan_key == text_param("plan"), tables.plan.c.created_at <= number_param("by"))
    .order_by(tables.plan.c.version.desc())
)
_LAST_USES = (
    _EVENT.select()
    .where(
        _event.customer_id == _CUSTOMER,
        _event.seq <= _SEQ,
        _event.feature_key.in_(texts_param("features")),
        _event.received_at <= number_param("received_by"),
    )
    .order_by(_event.seq.desc())
    .limit(number_param("limit"))
)

_NEXT_USES = (
    _EVENT.select()
    .where(_event.customer_id == _CUSTOMER, _event.seq > number_param("after"))
    .order_by(_event.seq)
    .limit(number_param("limit"))
)


def _export(place: Sequence[ColumnElement[bool]], *order: ColumnElement[Any]) -> Pages:
    return Pages(
        select(tables.customer.c.reference_id, tables.customer.c.customer_type, *_EVENT.columns)
        .select_from(tables.usage_event.outerjoin(tables.customer, tables.customer.c.id == _event.customer_id))
        .where(
            *place,
            joined(tables.customer.c.id) != "",
            # By an index on the time every page would have to be sorted anew.
            _event.occurred_at + _NOTHING >= number_param("start"),
            _event.occurred_at + _NOTHING < number_param("end"),
        )
        .order_by(*order),
        feature=_event.feature_key == text_param("feature"),
        properties=has_members(_event.properties, "properties"),
    )


_EXPORT = _export(
    # The first condition tells the database where in the index to begin.
    (
        _event.customer_id >= text_param("last"),
        tuple_(_event.customer_id, _event.seq) > tuple_(text_param("last"), number_param("after")),
    ),
    _event.customer_id,
    _event.seq,
)
# MariaDB would sort the uses of one customer if it were told to order them by the customer too.
_EXPORT_OF = _export((_event.customer_id == _CUSTOMER, _event.seq > number_param("after")), _event.seq)
_AT = (_event.occurred_at - _event.occurred_at % number_param("grain")).label("began")
_PROPERTIES: ColumnElement[Any] = type_coerce(_event.properties, Text())
_PATH = text_param("path")


def _sums(*group: ColumnElement[Any]) -> AnySelect:
    return (
        select(_AT, *group, func.sum(_event.quantity - _event.refunded))
        .where(
            _event.customer_id == _CUSTOMER,
            _event.feature_key == text_param("feature"),
            _event.occurred_at >= number_param("start"),
            _event.occurred_at < number_param("end"),
            # What a refund took back is told of by the use that it refunds.
            _event.refund_of == "",
        )
        .group_by("began", *(each.name for each in group if isinstance(each, Label)))
        .order_by("began")
        .limit(number_param("limit"))
    )


def _found_on_sqlite() -> ColumnElement[Any]:
    """The value of a property as JSON. Taken out of it, a boolean would be a number."""
    kind = func.json_type(_PROPERTIES, _PATH)
    truths: list[ColumnElement[Any]] = [literal_column("'true'"), literal_column("'false'")]
    return case((kind.in_(truths), kind), else_=func.json_quote(func.json_extract(_PROPERTIES, _PATH)))


def _found_on_postgresql() -> ColumnElement[Any]:
    return cast_(cast_(_PROPERTIES, postgresql.JSON).op("->")(cast_(text_param("name"), Text)), Text)


_SUMS = _sums()
_GROUPED_SUMS = Variants(
    sqlite=_sums(_found_on_sqlite().label("found")),
    postgresql=_sums(_found_on_postgresql().label("found")),
    mysql=_sums(func.json_extract(_PROPERTIES, _PATH).label("found")),
)


def _read_grant(row: Row) -> Grant:
    *values, unit, count = row
    values.insert(_INTERVAL_AT, Interval(cast("Unit", unit), count) if unit else None)
    return Grant(*values)


class History(Noun):
    """The port of the same name."""

    __slots__ = ()

    def put_grant(self, state: GrantState) -> None:
        """Note the state that a write left a grant in; of several within one write the last one counts."""
        self._db.run(_PUT_GRANT, _GRANT_STATE.values(state))

    def put_plan(self, state: PlanState) -> None:
        """Note the plan that a write left a customer with; of several within one write the last one counts."""
        self._db.run(_PUT_PLAN, _PLAN_STATE.values(state))

    def put_bucket(self, state: BucketState) -> None:
        """Note where a write let the usage of a bucket count, and what it owes; of several the last one counts."""
        self._db.run(_PUT_BUCKET, _BUCKET_STATE.values(state))

    def grants(self, customer_id: str, features: Sequence[str]) -> Sequence[Grant]:
        """Every grant of these features that there ever was, as it is now, oldest first."""
        rows = self._db.all(_GRANTS, {"customer": customer_id, "features": list(features)})
        return [_read_grant(row) for row in rows]

    def grant_states(self, customer_id: str) -> Sequence[GrantState]:
        """Every noted state of the customer's grants, oldest first."""
        return _GRANT_STATE.read_all(self._db.all(_GRANT_STATES, {"customer": customer_id}))

    def plan_states(self, customer_id: str) -> Sequence[PlanState]:
        """Every noted plan of the customer, oldest first."""
        return _PLAN_STATE.read_all(self._db.all(_PLAN_STATES, {"customer": customer_id}))

    def buckets(self, grant_ids: Sequence[str], at: Instant) -> Sequence[BucketRow]:
        """The stored buckets of these grants whose period an instant lies in, as they are now."""
        if not grant_ids:
            return ()
        return _BUCKET.read_all(self._db.all(_BUCKETS, {"grants": list(grant_ids), "at": at}))

    def bucket_states(self, bucket_id: str) -> Sequence[BucketState]:
        """Every noted state of a bucket, oldest first."""
        return _BUCKET_STATE.read_all(self._db.all(_BUCKET_STATES, {"bucket": bucket_id}))

    def moved_from(self, customer_id: str, seq: int) -> LedgerLine | None:
        """The first line of the write `seq`, or of the next one that moved anything at a time that was noted."""
        return _LINE.read_or_none(self._db.one(_MOVED_FROM, {"customer": customer_id, "seq": seq}))

    def last_line(self, customer_id: str, bucket_id: str, seq: int) -> LedgerLine | None:
        """The last line of a bucket up to the write `seq`."""
        values = {"customer": customer_id, "bucket": bucket_id, "seq": seq}
        return _LINE.read_or_none(self._db.one(_LAST_LINE, values))

    def lapses(self, customer_id: str, at: Instant) -> Sequence[tuple[str, Instant, int]]:
        """What holds held on paper at an instant whose time had come: bucket, when it was free again, and how much."""
        rows = self._db.all(_LAPSES, {"customer": customer_id, "at": at})
        return [(bucket_id, ended, held) for bucket_id, ended, held in rows]

    def holds(self, customer_id: str, features: Sequence[str], at: Instant) -> Sequence[HoldRow]:
        """The holds of these features that counted at an instant, the first to end first."""
        values = {"customer": customer_id, "features": list(features), "at": at}
        return _HOLD.read_all(self._db.all(_HOLDS, values))

    def set_aside(self, customer_id: str, feature: str, since: Instant, until: Instant) -> Sequence[SetAside]:
        """The holds that were made from an instant to another, those that took something of a feature."""
        values = {"customer": customer_id, "feature": feature, "since": since, "until": until}
        found = [(_HOLD.read(row[:-3]), *row[-3:]) for row in self._db.all(_SET_ASIDE, values)]
        taken = [(hold, hold.quantity if hold.feature == feature else int(held), *by) for hold, held, *by in found]
        return [SetAside(hold, amount, *by) for hold, amount, *by in taken if amount]

    def overdrawn(self, customer_id: str, feature: str, start: Instant, end: Instant) -> int:
        """What uses with start ≤ moved_at < end drew below zero of credits, less what came back of it then."""
        values = {"customer": customer_id, "feature": feature, "start": start, "end": end}
        return int(self._db.all(_OVERDRAWN, values)[0][0])

    def versions(self, plan_key: str, by: Instant) -> Sequence[str]:
        """The ids of the versions of a plan that were stored by an instant, newest first."""
        return [str(id_) for (id_,) in self._db.all(_VERSIONS, {"plan": plan_key, "by": by})]

    def last_uses(
        self, customer_id: str, features: Sequence[str], seq: int, received_by: Instant, limit: int
    ) -> Sequence[UsageRow]:
        """The last uses of these features up to the write `seq` that were recorded by an instant, newest first."""
        values = {
            "customer": customer_id,
            "features": list(features),
            "seq": seq,
            "received_by": received_by,
            "limit": limit,
        }
        return _EVENT.read_all(self._db.all(_LAST_USES, values))

    def next_uses(self, customer_id: str, after: int, limit: int) -> Sequence[UsageRow]:
        """The uses after the write `after`, in the order of the writes, so many at most."""
        return _EVENT.read_all(self._db.all(_NEXT_USES, {"customer": customer_id, "after": after, "limit": limit}))

    def export(
        self,
        *,
        customer_id: str | None,
        feature: str | None,
        properties: Mapping[str, Property] | None,
        start: Instant,
        end: Instant,
        after: tuple[str, int],
        limit: int,
    ) -> Sequence[tuple[Reference, UsageRow]]:
        """Uses with start ≤ occurred_at < end, of one customer or of all, from just after a customer's id and write.

        With `properties`, those that have all of these.
        """
        values = {
            "customer": customer_id,
            "feature": feature,
            "properties": properties,
            "start": start,
            "end": end,
            "last": after[0],
            "after": after[1],
            "limit": limit,
        }
        pages = _EXPORT if customer_id is None else _EXPORT_OF
        rows = self._db.all(pages.given(feature=feature, properties=properties), values)
        return [(Reference(row[0], row[1]), _EVENT.read(row[2:])) for row in rows]

    def sums(
        self,
        customer_id: str,
        feature: str,
        start: Instant,
        end: Instant,
        grain: int,
        property: str | None,
        limit: int,
    ) -> Sequence[tuple[Instant, str | None, int]]:
        """What was used of a feature with start ≤ occurred_at < end, less what was refunded of it.

        Summed over every `grain` microseconds since 1970, and every value of a property, which comes as JSON, None
        where an event has none. At most so many sums.
        """
        values = {
            "customer": customer_id,
            "feature": feature,
            "start": start,
            "end": end,
            "grain": grain,
            "limit": limit,
        }
        if property is None:
            return [(int(at), None, int(net)) for at, net in self._db.all(_SUMS, values)]
        path = {"name": property} if self._db.flavour == "postgresql" else {"path": f'$."{property}"'}
        rows = self._db.all(_GROUPED_SUMS, {**values, **path})
        return [(int(at), found, int(net)) for at, found, net in rows]
