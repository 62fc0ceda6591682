"""billing_audit: who changed what."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from ..domain.instants import FOREVER, Instant
from ..domain.upkeep import AuditRow
from ..ports.mirror import Position
from . import pages
from .db import Noun, Shape
from .dialects import plain_insert
from .tables import audit as t
from .types import number_param, text_param, texts_param

_SHAPE = Shape(AuditRow, t, at="happened_at", before="state_before", after="state_after")
_ADD = plain_insert(t)
_PAGES = pages.Pages(
    _SHAPE.select().where(pages.before(t.c.happened_at, t.c.id)).order_by(t.c.happened_at.desc(), t.c.id.desc()),
    customer=t.c.customer_id == text_param("customer"),
    actions=t.c.action.in_(texts_param("actions")),
)
_OLD = (
    select(t.c.id)
    .where(t.c.happened_at < number_param("old"))
    .order_by(t.c.happened_at, t.c.id)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(t.c.id.in_(texts_param("ids")))


class Audit(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, row: AuditRow) -> None:
        """Insert."""
        self._db.run(_ADD, _SHAPE.values(row))

    def page(
        self, *, customer_id: str | None, limit: int, before: Position | None, actions: Sequence[str] | None = None
    ) -> Sequence[AuditRow]:
        """Changes, newest first, from just after the position (at, id); of these actions only, where any are given."""
        at, id_ = before or (FOREVER, "")
        values = {
            "customer": customer_id,
            "limit": limit,
            "before": at,
            "before_id": id_,
            "actions": list(actions or ()),
        }
        given = _PAGES.given(customer=customer_id, actions=actions)
        return _SHAPE.read_all(self._db.all(given, values))

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest rows, those of before an instant, so many at most; how many."""
        return self._prune(_OLD, _PRUNE, before, limit)
