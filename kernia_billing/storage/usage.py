"""billing_usage_event and billing_ledger: what happened, and what it moved."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.grants import LedgerLine, UsageRow
from ..domain.instants import FOREVER, Instant
from ..domain.references import Reference
from . import tables
from .customers import HAS_REFERENCE
from .db import Noun, Shape
from .dialects import locking, plain_insert
from .pages import Pages
from .types import number_param, text_param

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
_PAGES = Pages(
    _SHAPE.select()
    .where(
        _event.customer_id == text_param("customer"),
        _event.occurred_at >= number_param("start"),
        _event.occurred_at < number_param("end"),
        (_event.occurred_at < number_param("before"))
        | ((_event.occurred_at == number_param("before")) & (_event.id < text_param("before_id"))),
    )
    .order_by(_event.occurred_at.desc(), _event.id.desc()),
    feature=_event.feature_key == text_param("feature"),
)
_ADD = plain_insert(tables.usage_event)
_ADD_LINE = plain_insert(tables.ledger)


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

    def add(self, event: UsageRow, lines: Sequence[LedgerLine]) -> None:
        """Insert an event and its ledger lines. Raises `DuplicateKey` where the key was used."""
        self._db.run(_ADD, _SHAPE.values(event))
        self.add_lines(lines)

    def add_lines(self, lines: Sequence[LedgerLine]) -> None:
        """Insert ledger lines that no event caused."""
        if lines:
            self._db.run(_ADD_LINE, [_LINE.values(line) for line in lines])

    def page(
        self,
        customer_id: str,
        *,
        feature: str | None,
        start: Instant | None,
        end: Instant | None,
        limit: int,
        before: tuple[Instant, str] | None,
    ) -> Sequence[UsageRow]:
        """Events with start ≤ occurred_at < end, newest first, from just after the position `before`."""
        before_at, before_id = before or (FOREVER, "")
        values = {
            "customer": customer_id,
            "feature": feature,
            "start": -FOREVER if start is None else start,
            "end": FOREVER if end is None else end,
            "limit": limit,
            "before": before_at,
            "before_id": before_id,
        }
        return _SHAPE.read_all(self._db.all(_PAGES.given(feature=feature), values))
