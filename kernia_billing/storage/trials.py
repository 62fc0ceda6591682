"""billing_trial: who has, or had, a trial. billing_local_trial: trials without Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from ..domain.instants import Instant
from ..domain.trials import LocalTrial, TrialRow
from .db import Noun, Shape
from .dialects import insert_new, upsert
from .tables import local_trial as own
from .tables import trial as t
from .types import number_param, text_param

_SHAPE = Shape(TrialRow, t)
_GET = _SHAPE.select().where(t.c.scope_key == text_param("key"))
_OF_HOLDER = _SHAPE.select().where(t.c.holder == text_param("holder_")).order_by(t.c.scope_key)
_ADD = insert_new(t, "scope_key")
_PUT = upsert(t, "scope_key")
_RELEASE = delete(t).where(t.c.holder == text_param("holder_"), t.c.started_at.is_(None))

_LOCAL = Shape(LocalTrial, own, group="plan_group")
_LOCAL_OF = _LOCAL.select().where(own.c.customer_id == text_param("customer")).order_by(own.c.started_at, own.c.id)
_PUT_LOCAL = upsert(own, "id")
_DUE = (
    select(own.c.customer_id)
    .where(own.c.due_at <= number_param("now"))
    .order_by(own.c.due_at, own.c.customer_id)
    .limit(number_param("limit"))
)


class Trials(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, scope_key: str) -> TrialRow | None:
        """Whose the trial of a scope is."""
        return _SHAPE.read_or_none(self._db.one(_GET, {"key": scope_key}))

    def of_holder(self, holder: str) -> Sequence[TrialRow]:
        """What a checkout, or a subscription, holds."""
        return _SHAPE.read_all(self._db.all(_OF_HOLDER, {"holder_": holder}))

    def add(self, row: TrialRow) -> bool:
        """Insert unless the scope has its trial; says whether it had none."""
        return self._db.insert_new(_ADD, _SHAPE.values(row))

    def put(self, row: TrialRow) -> None:
        """Insert, or overwrite by key."""
        self._db.run(_PUT, _SHAPE.values(row))

    def release(self, holder: str) -> int:
        """Delete what a checkout claimed and nobody began; how many."""
        return self._db.run(_RELEASE, {"holder_": holder})

    def local(self, customer_id: str) -> Sequence[LocalTrial]:
        """Every trial without Stripe that a customer ever had, oldest first."""
        return _LOCAL.read_all(self._db.all(_LOCAL_OF, {"customer": customer_id}))

    def put_local(self, row: LocalTrial) -> None:
        """Insert, or overwrite by id."""
        self._db.run(_PUT_LOCAL, _LOCAL.values(row))

    def due(self, now: Instant, limit: int) -> Sequence[str]:
        """The customers of trials without Stripe that somebody has to look at."""
        rows = self._db.all(_DUE, {"now": now, "limit": limit})
        return list(dict.fromkeys(str(customer_id) for (customer_id,) in rows))
