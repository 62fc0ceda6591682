"""billing_webhook_event: webhooks, stored before they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import case, delete, func, or_, select, update

from ..domain.instants import DAY, FARTHEST_WAIT, FOREVER, Instant
from ..domain.webhooks import InboxHealth, InboxRow, InboxStatus
from ..ports.mirror import Position
from .db import Noun, Shape
from .dialects import change, insert_new
from .pages import Pages, before
from .tables import webhook_event as t
from .types import number_param, text_param, texts_param

_SHAPE = Shape(InboxRow, t, flags=("livemode",), type="event_type")
_IS_IT = (t.c.account == text_param("acc")) & (t.c.event_id == text_param("event"))
_NOW = number_param("now")
_HAS_COME = (t.c.lease_until <= _NOW) | (t.c.lease_until > _NOW + FARTHEST_WAIT)
_ANY = -1
_WAITING = ("received", "failed")
_UNFINISHED = (*_WAITING, "processing")
_OVER = ("processed", "ignored", "unmatched", "dead", "failed")
_PRUNABLE = t.c.status.in_(("processed", "ignored"))
_LAST = "\U0010ffff"
"""Sorts after every character that a type has."""
_OLDEST = (t.c.received_at, t.c.event_id)

_ADD = insert_new(t, "account", "event_id")
_GET = _SHAPE.select().where(_IS_IT)
_CLAIM = change(
    update(t)
    .values(status="processing", attempts=t.c.attempts + 1, lease_until=number_param("until"))
    .where(_IS_IT, t.c.status.in_(_WAITING) | ((t.c.status == "processing") & _HAS_COME)),
    _GET,
)
_FINISH = (
    update(t)
    .values(
        status=text_param("becomes"),
        note=text_param("because"),
        lease_until=number_param("until"),
        customer=case((text_param("owner") == "", t.c.customer), else_=text_param("owner")),
    )
    .where(
        _IS_IT,
        t.c.status == "processing",
        t.c.attempts == number_param("made"),
        or_(t.c.lease_until == number_param("held"), number_param("held") == _ANY),
    )
)
_DUE = _SHAPE.select().where(t.c.status.in_(_UNFINISHED), _HAS_COME).order_by(*_OLDEST).limit(number_param("limit"))
_LIST = Pages(
    _SHAPE.select()
    .where(
        t.c.received_at >= number_param("since"),
        t.c.received_at < number_param("until"),
        before(t.c.received_at, t.c.event_id),
    )
    .order_by(t.c.received_at.desc(), t.c.event_id.desc()),
    status=t.c.status == text_param("status_"),
    type=t.c.event_type == text_param("type_"),
    prefix=(t.c.event_type >= text_param("prefix")) & (t.c.event_type < text_param("prefix_end")),
)
_UNMATCHED_OF = (
    _SHAPE.select()
    .where(t.c.status == "unmatched", t.c.customer == text_param("customer_"))
    .order_by(*_OLDEST)
    .limit(number_param("limit"))
)
_REQUEUE = (
    update(t).values(status="received", attempts=0, lease_until=_NOW, note=None).where(_IS_IT, t.c.status.in_(_OVER))
)
_KNOWN = select(t.c.event_id).where(t.c.account == "", t.c.event_id.in_(texts_param("events")))
_WAIT = select(func.count()).where(t.c.status.in_(_UNFINISHED))
_COUNTS = select(t.c.status, func.count()).group_by(t.c.status)
_HEALTH = select(
    select(func.max(t.c.received_at)).scalar_subquery(),
    select(func.min(t.c.received_at)).where(t.c.status.in_(_UNFINISHED)).scalar_subquery(),
    select(func.max(t.c.received_at)).where(t.c.status == "processed").scalar_subquery(),
    select(func.count())
    .where(t.c.status.in_(("failed", "dead")), t.c.received_at >= number_param("since"))
    .scalar_subquery(),
)
_OLD = (
    select(t.c.account, t.c.event_id)
    .where(_PRUNABLE, t.c.received_at < number_param("old"))
    .order_by(t.c.received_at)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(t.c.account == text_param("acc"), t.c.event_id.in_(texts_param("events")), _PRUNABLE)


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
        self,
        account: str,
        event_id: str,
        status: InboxStatus,
        *,
        attempts: int,
        note: str | None,
        lease_until: Instant,
        held_until: Instant | None = None,
        customer: str = "",
    ) -> bool:
        """Note what became of a claimed event; `lease_until` of a failed one is when it may be tried again.

        `attempts` is that of the claimed row, and `held_until` its `lease_until`. False, and nothing changes, where the
        event is no longer processed under these: another worker took it over. `customer` is the Stripe customer whose
        it turned out to be, "" where that was known before.
        """
        values = {
            "acc": account,
            "event": event_id,
            "becomes": status,
            "made": attempts,
            "because": note,
            "until": lease_until,
            "held": _ANY if held_until is None else held_until,
            "owner": customer,
        }
        return self._db.run(_FINISH, values) == 1

    def due(self, now: Instant, limit: int) -> Sequence[InboxRow]:
        """Events that wait to be worked on, oldest first."""
        return _SHAPE.read_all(self._db.all(_DUE, {"now": now, "limit": limit}))

    def list(
        self,
        *,
        status: InboxStatus | None,
        type: str | None,
        since: Instant | None,
        until: Instant | None,
        limit: int,
        after: Position | None,
    ) -> Sequence[InboxRow]:
        """Events with since ≤ received_at < until, newest first, from just after the position (received_at, event_id).

        A `type` that ends in "*" stands for every type that begins with what is before it.
        """
        prefix = type[:-1] if type is not None and type.endswith("*") else None
        at, id_ = after or (FOREVER, "")
        values: dict[str, Any] = {
            "status_": status,
            "type_": type,
            "prefix": prefix,
            "prefix_end": None if prefix is None else prefix + _LAST,
            "since": -FOREVER if since is None else since,
            "until": FOREVER if until is None else until,
            "limit": limit,
            "before": at,
            "before_id": id_,
        }
        statement = _LIST.given(status=status, type=type if prefix is None else None, prefix=prefix)
        return _SHAPE.read_all(self._db.all(statement, values))

    def unmatched_of(self, stripe_customer_id: str, limit: int) -> Sequence[InboxRow]:
        """Events of a Stripe customer that was nobody's when they came, oldest first."""
        return _SHAPE.read_all(self._db.all(_UNMATCHED_OF, {"customer_": stripe_customer_id, "limit": limit}))

    def requeue(self, account: str, event_id: str, now: Instant) -> bool:
        """Let an event be worked on again, from `now` on and with no attempt made.

        False where it waits or is worked on already, or is not there.
        """
        return self._db.run(_REQUEUE, {"acc": account, "event": event_id, "now": now}) == 1

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those of these events of our own account that are stored, in one statement."""
        rows = self._db.all(_KNOWN, {"events": [*event_ids]}) if event_ids else ()
        return {str(event_id) for (event_id,) in rows}

    def waiting(self) -> int:
        """How many still have to be worked on."""
        return int(self._db.only(_WAIT, {})[0])

    def health(self, now: Instant) -> InboxHealth:
        """How webhooks are doing."""
        row = self._db.only(_HEALTH, {"since": now - DAY})
        counts = {str(status): int(number) for status, number in self._db.all(_COUNTS, {})}
        return InboxHealth(counts, *row)

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest processed and ignored events received before an instant, so many at most; how many."""
        found = sorted(
            (str(account), str(event)) for account, event in self._db.all(_OLD, {"old": before, "limit": limit})
        )
        return sum(
            self._db.run(_PRUNE, {"acc": account, "events": [event for _, event in events]})
            for account, events in groupby(found, itemgetter(0))
        )
