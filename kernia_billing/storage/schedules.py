"""billing_subscription_schedule: subscription schedules as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, evolve

from ..domain.schedules import SchedulePhase, ScheduleRow
from ..ports.mirror import Change
from .copies import Copies
from .db import Noun, Shape
from .tables import schedule as t
from .types import Row, text_param


class _WithPhases(Shape[ScheduleRow]):
    def read(self, row: Row) -> ScheduleRow:
        read = super().read(row)
        stored: Any = read.phases
        return evolve(read, phases=tuple(_phase(each) for each in stored))

    def values(self, value: ScheduleRow) -> dict[str, Any]:
        return {**super().values(value), "phases": [asdict(phase) for phase in value.phases]}


def _phase(stored: Mapping[str, Any]) -> SchedulePhase:
    prices, quantities = tuple(stored["price_ids"]), tuple(stored["quantities"])
    return SchedulePhase(stored["start"], stored["end"], prices, quantities, stored.get("plan"))


_SHAPE = _WithPhases(ScheduleRow, t, flags=("deleted",))
_COPIES = Copies(_SHAPE, t)
_OF_SUBSCRIPTION = (
    _SHAPE.select()
    .where(t.c.stripe_subscription_id == text_param("stripe"))
    .order_by(t.c.created_at.desc(), t.c.id.desc())
)


class Schedules(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, schedule_id: str) -> ScheduleRow | None:
        """One schedule, by Stripe's id."""
        return _COPIES.get(self._db, schedule_id)

    def put(self, row: ScheduleRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        return _COPIES.put(self._db, row)

    def of_subscription(self, stripe_subscription_id: str) -> Sequence[ScheduleRow]:
        """The schedules that drive, or drove, a subscription, newest first, deleted ones too."""
        return _SHAPE.read_all(self._db.all(_OF_SUBSCRIPTION, {"stripe": stripe_subscription_id}))
