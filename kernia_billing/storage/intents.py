"""billing_intent: calls to Stripe that are about to be made."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, update

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
_PARK = update(t).values(state=text_param("becomes"), stripe_id=text_param("stripe")).where(_IS_IT)
_FINISH = _PARK.values(params={})
_FORGET = update(t).values(params={}).where(_IS_IT)
_REMOVE = delete(t).where(_IS_IT)
_UNFINISHED = (
    _SHAPE.select()
    .where(t.c.state == "pending", t.c.created_at < number_param("old"))
    .order_by(t.c.created_at, t.c.idempotency_key)
    .limit(number_param("limit"))
)
_PARKED = (
    _SHAPE.select()
    .where(t.c.state == "parked", t.c.created_at < number_param("old"), t.c.params != {})
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
        """Note what became of it; one that will not be sent again forgets its parameters."""
        statement = _FINISH if state in ("done", "failed") else _PARK
        self._db.run(statement, {"this": key, "becomes": state, "stripe": stripe_id})

    def unfinished(self, before: Instant, limit: int) -> Sequence[IntentRow]:
        """Pending intents written before an instant, oldest first."""
        return _SHAPE.read_all(self._db.all(_UNFINISHED, {"old": before, "limit": limit}))

    def parked(self, before: Instant, limit: int) -> Sequence[IntentRow]:
        """Parked intents written before an instant whose parameters are not forgotten, oldest first."""
        return _SHAPE.read_all(self._db.all(_PARKED, {"old": before, "limit": limit}))

    def forget(self, key: str) -> None:
        """Throw the parameters of an intent away."""
        self._db.run(_FORGET, {"this": key})

    def remove(self, key: str) -> None:
        """Delete an intent."""
        self._db.run(_REMOVE, {"this": key})
