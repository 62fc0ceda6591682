"""billing_meter_event: usage that Stripe counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve
from sqlalchemy import func, select, update

from ..domain.instants import Instant
from ..domain.upkeep import MeterEventRow, MeterEventState
from .db import Noun, Shape
from .dialects import insert_new, locking
from .pages import Pages
from .tables import meter_event as t
from .types import number_param, text_param, texts_param

_SHAPE = Shape(MeterEventRow, t, feature="feature_key")
_IS_IT = t.c.identifier == text_param("this")
_NOW, _BECOMES = number_param("now"), text_param("becomes")

_ADD = insert_new(t, "identifier")
_GET = _SHAPE.select().where(_IS_IT)
_DUE = locking(
    _SHAPE.select()
    .where(t.c.state.in_(("waiting", "sending")), t.c.next_at <= _NOW)
    .order_by(t.c.next_at, t.c.identifier)
    .limit(number_param("limit")),
    on_postgresql=True,
)
_CLAIM = (
    update(t)
    .values(
        state="sending",
        attempts=t.c.attempts + 1,
        next_at=number_param("until"),
        first_sent_at=func.coalesce(t.c.first_sent_at, _NOW),
    )
    .where(t.c.identifier.in_(texts_param("ids")))
)
_FINISH = (
    update(t)
    .values(state=_BECOMES, next_at=number_param("next"), note=text_param("because"), sent_at=number_param("sent"))
    .where(_IS_IT, t.c.state == "sending", t.c.attempts == number_param("made"))
)
_AMEND = (
    update(t)
    .values(state=_BECOMES, value=number_param("counts"))
    .where(_IS_IT, t.c.state == "waiting", t.c.first_sent_at.is_(None))
)
_LINK = (
    update(t)
    .values(stripe_customer_id=text_param("stripe"), next_at=_NOW)
    .where(t.c.customer_id == text_param("customer"), t.c.state == "waiting", t.c.stripe_customer_id == "")
)
_REQUEUE = update(t).values(state="waiting", next_at=_NOW).where(_IS_IT, t.c.state.in_(("rejected", "quarantined")))
_LIST = Pages(
    _SHAPE.select().where(t.c.identifier > text_param("after")).order_by(t.c.identifier),
    state=t.c.state == text_param("state_"),
)
_COUNTS = select(t.c.state, func.count()).group_by(t.c.state)


class MeterEvents(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, rows: Sequence[MeterEventRow]) -> None:
        """Insert those whose identifier is not there yet."""
        if rows:
            self._db.run(_ADD, [_SHAPE.values(row) for row in rows])

    def get(self, identifier: str) -> MeterEventRow | None:
        """One event."""
        return _SHAPE.read_or_none(self._db.one(_GET, {"this": identifier}))

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[MeterEventRow]:
        """Take events that wait and are due, or whose sender was lost, as `sending`, with the attempt counted."""
        due = _SHAPE.read_all(self._db.all(_DUE, {"now": now, "limit": limit}))
        if due:
            self._db.run(_CLAIM, {"ids": [row.identifier for row in due], "now": now, "until": lease_until})
        return [
            evolve(
                row,
                state="sending",
                attempts=row.attempts + 1,
                next_at=lease_until,
                first_sent_at=now if row.first_sent_at is None else row.first_sent_at,
            )
            for row in due
        ]

    def finish(
        self,
        identifier: str,
        attempts: int,
        state: MeterEventState,
        *,
        next_at: Instant,
        note: str | None,
        now: Instant,
    ) -> bool:
        """Note what became of a claimed event; `next_at` of a waiting one is when it may be tried again.

        False, and nothing changes, where it is no longer `sending` under this number of attempts: another worker took
        it over.
        """
        values = {
            "this": identifier,
            "made": attempts,
            "becomes": state,
            "next": next_at,
            "because": note,
            "sent": now if state == "sent" else None,
        }
        return self._db.run(_FINISH, values) == 1

    def amend(self, identifier: str, value: int) -> bool:
        """Give an event that waits and was never sent another value, 0 cancels it; False where it is too late."""
        becomes = "waiting" if value else "canceled"
        return self._db.run(_AMEND, {"this": identifier, "becomes": becomes, "counts": value}) == 1

    def link(self, customer_id: str, stripe_customer_id: str, now: Instant) -> int:
        """Make those that waited for their customer to be known to Stripe due at `now`; how many there were."""
        return self._db.run(_LINK, {"customer": customer_id, "stripe": stripe_customer_id, "now": now})

    def requeue(self, identifier: str, now: Instant) -> bool:
        """Let a rejected or quarantined event wait again, due at `now`; False where it is neither.

        Its attempts and the instant at which it was first sent stay.
        """
        return self._db.run(_REQUEUE, {"this": identifier, "now": now}) == 1

    def list(self, *, state: MeterEventState | None, limit: int, after: str | None) -> Sequence[MeterEventRow]:
        """Events in the order of their identifiers."""
        values = {"state_": state, "limit": limit, "after": after or ""}
        return _SHAPE.read_all(self._db.all(_LIST.given(state=state), values))

    def counts(self) -> Mapping[str, int]:
        """How many there are in each state."""
        return {str(state): int(number) for state, number in self._db.all(_COUNTS, {})}
