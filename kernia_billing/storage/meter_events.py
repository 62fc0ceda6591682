"""billing_meter_event: usage that Stripe counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve
from sqlalchemy import and_, case, delete, exists, func, null, or_, select, update

from ..domain.instants import FARTHEST_WAIT, FOREVER, Instant
from ..domain.upkeep import MeterEventRow, MeterEventState
from .db import Noun, Shape
from .dialects import insert_new, locking
from .pages import Pages
from .tables import bucket, entitlement
from .tables import meter_event as t
from .types import number_param, text_param, texts_param

_SHAPE = Shape(MeterEventRow, t, feature="feature_key")
_IS_IT = t.c.identifier == text_param("this")
_NOW, _BECOMES = number_param("now"), text_param("becomes")

_ADD = insert_new(t, "identifier")
_GET = _SHAPE.select().where(_IS_IT)
_HAS_COME = or_(
    t.c.next_at <= _NOW,
    # One that was never tried may be of the future, or wait for its customer.
    and_(t.c.next_at > _NOW + FARTHEST_WAIT, t.c.next_at < FOREVER, t.c.attempts > 0),
)
_DUE = locking(
    _SHAPE.select()
    .where(t.c.state.in_(("waiting", "sending")), _HAS_COME)
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
    .values(
        state=_BECOMES,
        next_at=number_param("next"),
        note=text_param("because"),
        sent_at=number_param("sent"),
        first_sent_at=case((number_param("unsent") == 1, null()), else_=t.c.first_sent_at),
    )
    .where(_IS_IT, t.c.state == "sending", t.c.attempts == number_param("made"))
)
_UNCOUNTED = and_(
    or_(and_(t.c.state == "waiting", t.c.first_sent_at.is_(None)), t.c.state == "rejected"),
    t.c.value == number_param("known"),
)
_AMEND = update(t).values(value=number_param("counts")).where(_IS_IT, _UNCOUNTED)
_CANCEL = update(t).values(state="canceled", value=0).where(_IS_IT, _UNCOUNTED)
_REJECT = (
    update(t)
    .values(state="rejected", note=text_param("because"))
    .where(_IS_IT, t.c.state.in_(("waiting", "sending", "sent")), t.c.first_sent_at.is_not(None))
)
_RETIRE = (
    update(t)
    .values(state="canceled", note=text_param("because"))
    .where(_IS_IT, t.c.state.in_(("rejected", "quarantined")))
)
_REPORTED = locking(
    select(func.coalesce(func.sum(t.c.value), 0)).where(
        t.c.customer_id == text_param("customer"),
        t.c.state != "canceled",
        t.c.feature_key == text_param("feature"),
        t.c.event_name == text_param("event"),
        t.c.created_at >= number_param("since"),
    )
)
_LINK = (
    update(t)
    .values(stripe_customer_id=text_param("stripe"), next_at=_NOW)
    .where(t.c.customer_id == text_param("customer"), t.c.state == "waiting", t.c.stripe_customer_id == "")
)
_LIST = Pages(
    _SHAPE.select().where(t.c.identifier > text_param("after")).order_by(t.c.identifier),
    state=t.c.state == text_param("state_"),
)
_LAG = select(func.count(), func.min(t.c.created_at)).where(t.c.state.in_(("waiting", "sending")))
_COUNTS = select(t.c.state, func.count()).group_by(t.c.state)
_BEFORE = number_param("old")
_OVER = t.c.state.in_(("sent", "canceled"))
_CORRECTABLE = exists().where(
    entitlement.c.customer_id == t.c.customer_id,
    entitlement.c.feature_key == t.c.feature_key,
    bucket.c.entitlement_id == entitlement.c.id,
    bucket.c.period_start <= t.c.created_at,
    bucket.c.period_end > _BEFORE,
)
"""The event is of a period that reached to after the instant: `reported` is asked for the whole of a period."""
_OLD = (
    select(t.c.identifier)
    .where(_OVER, t.c.created_at < _BEFORE, ~_CORRECTABLE)
    .order_by(t.c.state, t.c.created_at)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(t.c.identifier.in_(texts_param("ids")), _OVER)


class MeterEvents(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, rows: Sequence[MeterEventRow]) -> None:
        """Insert those whose identifier is not there yet."""
        if rows:
            self._db.run(_ADD, [_SHAPE.values(row) for row in rows])

    def add_new(self, row: MeterEventRow) -> bool:
        """Insert an event unless its identifier is there; says whether it was inserted."""
        return self._db.insert_new(_ADD, _SHAPE.values(row))

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
        unsent: bool = False,
    ) -> bool:
        """Note what became of a claimed event; `next_at` of a waiting one is when it may be tried again.

        `unsent` says that no attempt so far can have reached Stripe: it is as if there had been none. False, and
        nothing changes, where it is no longer `sending` under this number of attempts: another worker took it over.
        """
        values = {
            "this": identifier,
            "made": attempts,
            "becomes": state,
            "next": next_at,
            "because": note,
            "sent": now if state == "sent" else None,
            "unsent": int(unsent),
        }
        return self._db.run(_FINISH, values) == 1

    def amend(self, identifier: str, known: int, value: int) -> bool:
        """Give an event that Stripe did not count another value than the one `known`, 0 cancels it.

        Not counted is one that waits and was never sent, or was rejected. False, and nothing changes, where it is
        neither or has another value by now.
        """
        values = {"this": identifier, "known": known}
        if value:
            return self._db.run(_AMEND, {**values, "counts": value}) == 1
        return self._db.run(_CANCEL, values) == 1

    def reject(self, identifier: str, note: str) -> bool:
        """Note that Stripe did not count an event although it took it; False where that is known, or it was none."""
        return self._db.run(_REJECT, {"this": identifier, "because": note}) == 1

    def retire(self, identifier: str, note: str) -> bool:
        """Cancel a rejected or quarantined event, as another takes its place; False where it is neither."""
        return self._db.run(_RETIRE, {"this": identifier, "because": note}) == 1

    def reported(self, customer_id: str, feature: str, event_name: str, since: Instant) -> int:
        """The sum of what was written down for a customer and a meter since an instant and was not canceled.

        It counts what an older snapshot of the transaction hides.
        """
        values = {"customer": customer_id, "feature": feature, "event": event_name, "since": since}
        row = self._db.one(_REPORTED, values)
        return 0 if row is None else int(row[0])

    def link(self, customer_id: str, stripe_customer_id: str, now: Instant) -> int:
        """Make those that waited for their customer to be known to Stripe due at `now`; how many there were."""
        return self._db.run(_LINK, {"customer": customer_id, "stripe": stripe_customer_id, "now": now})

    def list(self, *, state: MeterEventState | None, limit: int, after: str | None) -> Sequence[MeterEventRow]:
        """Events in the order of their identifiers."""
        values = {"state_": state, "limit": limit, "after": after or ""}
        return _SHAPE.read_all(self._db.all(_LIST.given(state=state), values))

    def counts(self) -> Mapping[str, int]:
        """How many there are in each state."""
        return {str(state): int(number) for state, number in self._db.all(_COUNTS, {})}

    def lag(self) -> tuple[int, Instant | None]:
        """How many events are not at Stripe yet, and when the oldest of them was written down."""
        ((number, oldest),) = self._db.all(_LAG, {})
        return int(number), None if oldest is None else int(oldest)

    def prune(self, before: Instant, limit: int) -> int:
        """Delete sent and canceled events of before an instant, so many at most; how many.

        Those of a period that was not over then stay: what was reported in it bounds what is taken back.
        """
        return self._prune(_OLD, _PRUNE, before, limit)
