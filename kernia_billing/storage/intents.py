"""billing_intent: calls to Stripe that are about to be made."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update

from ..domain.instants import Instant
from ..domain.outbound import IntentRow, IntentState
from .db import Noun, Shape
from .dialects import insert_new
from .tables import intent as t
from .types import number_param, text_param

_SHAPE = Shape(IntentRow, t, key="idempotency_key")
_IS_IT = t.c.idempotency_key == text_param("this")
_GET = _SHAPE.select().where(_IS_IT)
_ADD = insert_new(t, "idempotency_key")
_FINISH = update(t).values(state=text_param("becomes"), stripe_id=text_param("stripe")).where(_IS_IT)
_UNFINISHED = (
    _SHAPE.select()
    .where(t.c.state == "pending", t.c.created_at < number_param("old"))
    .order_by(t.c.created_at, t.c.idempotency_key)
    .limit(number_param("limit"))
)


class Intents(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, key: str) -> IntentRow | None:
        """One intent."""
        return _SHAPE.read_or_none(self._db.one(_GET, {"this": key}))

    def add(self, row: IntentRow) -> IntentRow:
        """Insert, and give what is stored under the key: the older one where there is one."""
        self._db.insert_new(_ADD, _SHAPE.values(row))
        return self.get(row.key) or row

    def finish(self, key: str, state: IntentState, stripe_id: str | None) -> None:
        """Note what became of it."""
        self._db.run(_FINISH, {"this": key, "becomes": state, "stripe": stripe_id})

    def unfinished(self, before: Instant, limit: int) -> Sequence[IntentRow]:
        """Pending intents written before an instant, oldest first."""
        return _SHAPE.read_all(self._db.all(_UNFINISHED, {"old": before, "limit": limit}))
