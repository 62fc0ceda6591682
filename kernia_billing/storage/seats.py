"""billing_seat_count: how many members organizations have, and whether Stripe knows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import case, update

from ..domain.instants import FOREVER, Instant
from ..domain.seats import SeatRow
from .db import Noun, Shape
from .dialects import change, insert_new
from .tables import seat_count as t
from .types import number_param, text_param

_SHAPE = Shape(SeatRow, t)
_IS_IT = t.c.customer_id == text_param("customer")
_NOW = number_param("now")

_GET = _SHAPE.select().where(_IS_IT)
_ADD = insert_new(t, "customer_id")
_TELL = change(
    update(t)
    .where(_IS_IT)
    .values(revision=t.c.revision + 1, members=number_param("members_"), attempts=0, next_at=_NOW),
    _GET,
)
_COUNT = (
    update(t)
    .where(_IS_IT)
    .values(
        updates=number_param("updates_"),
        hour_start=number_param("hour"),
        hour_updates=number_param("in_hour"),
    )
)
_COUNTED = update(t).where(_IS_IT).values(counted=number_param("counted_"))
_DONE = (
    update(t)
    .where(_IS_IT, t.c.done < number_param("revision_"))
    # MySQL assigns from left to right, so what is compared is assigned last.
    .ordered_values(
        (t.c.next_at, case((t.c.revision == number_param("revision_"), number_param("never")), else_=t.c.next_at)),
        (t.c.attempts, 0),
        (t.c.note, None),
        (t.c.done, number_param("revision_")),
    )
)
_LATER = (
    update(t)
    .where(_IS_IT)
    .values(attempts=number_param("attempts_"), next_at=number_param("at"), note=text_param("note_"))
)
_DUE = _SHAPE.select().where(t.c.next_at <= _NOW).order_by(t.c.next_at, t.c.customer_id).limit(number_param("limit"))


class Seats(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, customer_id: str) -> SeatRow | None:
        """What is known of an organization's members."""
        return _SHAPE.read_or_none(self._db.one(_GET, {"customer": customer_id}))

    def tell(self, customer_id: str, members: int | None, now: Instant) -> SeatRow:
        """Note how many members there are, None where somebody has to count; what is known of them then.

        It raises `revision`, and makes the row due.
        """
        values = {"customer": customer_id, "members_": members, "now": now}
        row = self._db.change(_TELL, values)
        if row is not None:
            return _SHAPE.read(row)
        new = SeatRow(customer_id, members, 1, 0, 0, 0, 0, 0, 0, now, None)
        if self._db.insert_new(_ADD, _SHAPE.values(new)):
            return new
        return _SHAPE.read(self._db.change(_TELL, values) or ())

    def sending(self, row: SeatRow) -> None:
        """Note that one more change is about to be sent: `updates`, `hour_start` and `hour_updates` of the row."""
        counts = {"updates_": row.updates, "hour": row.hour_start, "in_hour": row.hour_updates}
        self._db.run(_COUNT, {"customer": row.customer_id, **counts})

    def counted(self, customer_id: str, members: int) -> None:
        """Note how many members the books hold as used."""
        self._db.run(_COUNTED, {"customer": customer_id, "counted_": members})

    def done(self, customer_id: str, revision: int) -> None:
        """Note that Stripe agrees with a revision; nothing is due where nothing newer was told."""
        self._db.run(_DONE, {"customer": customer_id, "revision_": revision, "never": FOREVER})

    def later(self, customer_id: str, attempts: int, next_at: Instant, note: str | None) -> None:
        """Note that the next look is due at `next_at`, and why none succeeded yet."""
        self._db.run(_LATER, {"customer": customer_id, "attempts_": attempts, "at": next_at, "note_": note})

    def due(self, now: Instant, limit: int) -> Sequence[SeatRow]:
        """Those that are due, longest first."""
        return _SHAPE.read_all(self._db.all(_DUE, {"now": now, "limit": limit}))
