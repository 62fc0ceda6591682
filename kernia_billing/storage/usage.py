"""billing_usage_event and billing_ledger: what happened, and what it moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import and_, func, or_, select, update

from ..domain.grants import Entry, LedgerLine, Movement, Source, UsageRow
from ..domain.ids import Property
from ..domain.instants import FOREVER, Instant
from ..domain.references import Reference
from . import tables
from .bulk import Part, inserting, run_all
from .customers import HAS_REFERENCE
from .db import Noun, Shape
from .dialects import among_many, has_members, locking
from .pages import Pages, before, joined
from .types import number_param, padded, text_param

_event = tables.usage_event.c
_SHAPE = Shape(UsageRow, tables.usage_event, feature="feature_key", entity="entity_id")
_LINE = Shape(LedgerLine, tables.ledger)

_BY_KEY = (
    _SHAPE.select()
    .join_from(tables.customer, tables.usage_event, _event.customer_id == tables.customer.c.id)
    .where(HAS_REFERENCE, _event.idempotency_key == text_param("key"))
)
_BY_KEY_LOCKED = locking(
    _SHAPE.select().where(_event.customer_id == text_param("customer"), _event.idempotency_key == text_param("key"))
)
_BY_KEYS = among_many(
    lambda among: _SHAPE.select().where(among(_event.customer_id, "customers"), among(_event.idempotency_key, "keys"))
)
_PAGES = Pages(
    _SHAPE.select()
    .where(
        _event.customer_id == text_param("customer"),
        _event.occurred_at >= number_param("start"),
        before(_event.occurred_at, _event.id),
    )
    .order_by(_event.occurred_at.desc(), _event.id.desc()),
    feature=_event.feature_key == text_param("feature"),
    properties=has_members(_event.properties, "properties"),
)
_BY_ID = locking(_SHAPE.select().where(_event.customer_id == text_param("customer"), _event.id == text_param("this")))
_ledger = tables.ledger.c
_LINES = locking(
    _LINE.select()
    .where(_ledger.customer_id == text_param("customer"), _ledger.seq == number_param("number"))
    .order_by(_ledger.line)
)
_bucket, _grant = tables.bucket.c, tables.entitlement.c
_MOVEMENTS = Pages(
    select(
        *_LINE.columns,
        _grant.source_type,
        _grant.id,
        _bucket.feature_key,
        _bucket.entity_id,
        _event.properties,
    )
    .select_from(
        tables.ledger.outerjoin(tables.bucket, _bucket.id == _ledger.bucket_id)
        .outerjoin(tables.entitlement, _grant.id == _bucket.entitlement_id)
        .outerjoin(
            tables.usage_event,
            and_(_event.customer_id == _ledger.customer_id, _event.seq == _ledger.seq, _event.id == _ledger.event_id),
        )
    )
    .where(
        _ledger.customer_id == text_param("customer"),
        _ledger.seq > number_param("first"),
        # The first condition tells the database where in the index to begin.
        _ledger.seq <= number_param("before"),
        or_(_ledger.seq < number_param("before"), _ledger.line < number_param("before_line")),
        # Lines of periods that are thrown away just now.
        joined(_grant.id) != "",
    )
    .order_by(_ledger.seq.desc(), _ledger.line.desc()),
    feature=joined(_bucket.feature_key) == text_param("feature"),
    source=joined(_grant.source_type) == text_param("source"),
    entry=_ledger.entry == text_param("entry"),
    properties=has_members(joined(_event.properties, "{}"), "properties"),
)
_DRAWN = locking(
    select(_ledger.bucket_id, func.sum(_ledger.amount))
    .join_from(
        tables.usage_event,
        tables.ledger,
        and_(_ledger.customer_id == _event.customer_id, _ledger.seq == _event.seq),
    )
    .where(
        _event.customer_id == text_param("customer"),
        _event.feature_key == text_param("feature"),
        _event.occurred_at >= number_param("since"),
        _ledger.entry.in_(("use", "settle", "return", "refund")),
    )
    .group_by(_ledger.bucket_id)
)
_PUT_REFUNDED = update(tables.usage_event).values(refunded=number_param("back")).where(_event.id == text_param("this"))
_ADD = inserting(tables.usage_event, _SHAPE.columns)
_ADD_LINE = inserting(tables.ledger, _LINE.columns)


def added(events: Iterable[UsageRow], lines: Iterable[LedgerLine]) -> Sequence[Part]:
    """`UsageEvents.add` for several, as it is run with other changes."""
    return (_ADD, [_SHAPE.row(each) for each in events]), (_ADD_LINE, [_LINE.row(each) for each in lines])


class UsageEvents(Noun):
    """The port of the same name."""

    __slots__ = ()

    def by_key(self, reference: Reference, idempotency_key: str) -> UsageRow | None:
        """The event that a key was used for: a plain read that takes no lock."""
        values = {"type_": reference.type, "reference": reference.id, "key": idempotency_key}
        return _SHAPE.read_or_none(self._db.one(_BY_KEY, values))

    def by_key_locked(self, customer_id: str, idempotency_key: str) -> UsageRow | None:
        """The same by a locking read, which sees what an older snapshot hides."""
        return _SHAPE.read_or_none(self._db.one(_BY_KEY_LOCKED, {"customer": customer_id, "key": idempotency_key}))

    def by_id(self, customer_id: str, event_id: str) -> UsageRow | None:
        """An event of a customer whose row is locked."""
        return _SHAPE.read_or_none(self._db.one(_BY_ID, {"customer": customer_id, "this": event_id}))

    def lines(self, customer_id: str, seq: int) -> Sequence[LedgerLine]:
        """The ledger lines of one number of a customer whose row is locked, in their order."""
        return _LINE.read_all(self._db.all(_LINES, {"customer": customer_id, "number": seq}))

    def drawn(self, customer_id: str, feature: str, since: Instant) -> Mapping[str, int]:
        """What uses of a feature moved in each bucket, less what came back, by events with occurred_at ≥ `since`."""
        values = {"customer": customer_id, "feature": feature, "since": since}
        return {str(bucket): int(amount) for bucket, amount in self._db.all(_DRAWN, values)}

    def put_refunded(self, event_id: str, refunded: int) -> None:
        """Overwrite how much of an event came back by refunds."""
        self._db.run(_PUT_REFUNDED, {"this": event_id, "back": refunded})

    def by_keys(self, keys: Iterable[tuple[str, str]]) -> Sequence[UsageRow]:
        """The events of these pairs of a customer's id and a key, and perhaps of other pairs of the same.

        A plain read, for transactions of our own.
        """
        wanted = list(keys)
        if not wanted:
            return ()
        values = {"customers": padded({id_ for id_, _ in wanted}), "keys": padded({key for _, key in wanted})}
        return _SHAPE.read_all(self._db.all(_BY_KEYS, values))

    def add(self, event: UsageRow, lines: Sequence[LedgerLine]) -> None:
        """Insert an event and its ledger lines. Raises `DuplicateKey` where the key was used."""
        run_all(self._db, added([event], lines))

    def add_lines(self, lines: Sequence[LedgerLine]) -> None:
        """Insert ledger lines that no event caused."""
        _ADD_LINE.run(self._db, map(_LINE.row, lines))

    def page(
        self,
        customer_id: str,
        *,
        feature: str | None,
        properties: Mapping[str, Property] | None,
        start: Instant | None,
        end: Instant | None,
        limit: int,
        before: tuple[Instant, str] | None,
    ) -> Sequence[UsageRow]:
        """Events with start ≤ occurred_at < end, newest first, from just after the position `before`.

        With `properties`, those that have all of these.
        """
        # Of two upper bounds a database might begin at the wrong one.
        before_at, before_id = min((FOREVER if end is None else end, ""), before or (FOREVER, ""))
        values = {
            "customer": customer_id,
            "feature": feature,
            "properties": properties,
            "start": -FOREVER if start is None else start,
            "limit": limit,
            "before": before_at,
            "before_id": before_id,
        }
        return _SHAPE.read_all(self._db.all(_PAGES.given(feature=feature, properties=properties), values))

    def movements(
        self,
        customer_id: str,
        *,
        feature: str | None,
        source: Source | None,
        entry: Entry | None,
        properties: Mapping[str, Property] | None,
        first: int,
        before: tuple[int, int],
        limit: int,
    ) -> Sequence[Movement]:
        """Lines of the ledger after the write `first`, newest first, from just after the position (write, line).

        `feature` is that of the bucket; with `properties`, lines of uses that have all of these.
        """
        narrowed = {"feature": feature, "source": source, "entry": entry, "properties": properties}
        values = {
            **narrowed,
            "customer": customer_id,
            "first": first,
            "before": before[0],
            "before_line": before[1],
            "limit": limit,
        }
        rows = self._db.all(_MOVEMENTS.given(**narrowed), values)
        return [Movement(_LINE.read(row[:-5]), *row[-5:]) for row in rows]
