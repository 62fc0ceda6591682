"""billing_webhook_event: webhooks, stored before they are acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, select, update

from ..domain.instants import Instant
from ..domain.webhooks import InboxRow, InboxStatus
from .db import Noun, Shape
from .dialects import change, insert_new
from .tables import webhook_event as t
from .types import number_param, text_param

_SHAPE = Shape(InboxRow, t, flags=("livemode",), type="event_type")
_IS_IT = (t.c.account == text_param("acc")) & (t.c.event_id == text_param("event"))
_WAITING = ("received", "failed")

_ADD = insert_new(t, "account", "event_id")
_GET = _SHAPE.select().where(_IS_IT)
_CLAIM = change(
    update(t)
    .values(status="processing", attempts=t.c.attempts + 1, lease_until=number_param("until"))
    .where(
        _IS_IT, t.c.status.in_(_WAITING) | ((t.c.status == "processing") & (t.c.lease_until <= number_param("now")))
    ),
    _GET,
)
_FINISH = (
    update(t)
    .values(status=text_param("becomes"), note=text_param("because"), lease_until=number_param("until"))
    .where(_IS_IT)
)
_DUE = (
    _SHAPE.select()
    .where(t.c.status.in_((*_WAITING, "processing")), t.c.lease_until <= number_param("now"))
    .order_by(t.c.received_at, t.c.event_id)
    .limit(number_param("limit"))
)
_COUNTS = select(t.c.status, func.count()).group_by(t.c.status)


class Inbox(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, row: InboxRow) -> bool:
        """Insert unless the event is there already; says whether it was inserted."""
        return self._db.insert_new(_ADD, _SHAPE.values(row))

    def get(self, account: str, event_id: str) -> InboxRow | None:
        """One event."""
        return _SHAPE.read_or_none(self._db.one(_GET, {"acc": account, "event": event_id}))

    def claim(self, account: str, event_id: str, now: Instant, lease_until: Instant) -> InboxRow | None:
        """Take a received, failed or abandoned event to work on; None where another worker has it or it is done."""
        values = {"acc": account, "event": event_id, "now": now, "until": lease_until}
        return _SHAPE.read_or_none(self._db.change(_CLAIM, values))

    def finish(
        self, account: str, event_id: str, status: InboxStatus, *, note: str | None, lease_until: Instant
    ) -> None:
        """Note what became of it; `lease_until` of a failed one is when it may be tried again."""
        values = {"acc": account, "event": event_id, "becomes": status, "because": note, "until": lease_until}
        self._db.run(_FINISH, values)

    def due(self, now: Instant, limit: int) -> Sequence[InboxRow]:
        """Events that wait to be worked on, oldest first."""
        return _SHAPE.read_all(self._db.all(_DUE, {"now": now, "limit": limit}))

    def counts(self) -> Mapping[str, int]:
        """How many there are in each status."""
        return {str(status): int(number) for status, number in self._db.all(_COUNTS, {})}
