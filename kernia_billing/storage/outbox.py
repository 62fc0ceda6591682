"""billing_outbox: events to hand over after the commit that wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import and_, delete, exists, func, select, update

from ..domain.instants import FARTHEST_WAIT, FOREVER, Instant
from ..domain.outbound import OutboxRow
from .db import Noun, Shape
from .dialects import locking, plain_insert
from .settings import Settings
from .tables import outbox as t
from .tables import setting
from .types import number_param, text_param, texts_param

_SHAPE = Shape(OutboxRow, t)
_earlier = t.alias("earlier")
_NOW = number_param("now")
_HAS_ID = t.c.id == text_param("this")
_UNSENT = t.c.sent_at == FOREVER
_HELD_UP = exists().where(
    and_(
        _earlier.c.customer_id == t.c.customer_id,
        _earlier.c.sent_at == FOREVER,
        _earlier.c.position < t.c.position,
        _earlier.c.lease_until.between(_NOW + 1, _NOW + FARTHEST_WAIT),
    )
)
"""An earlier event of the same customer is under way, or waits to be repeated."""

_TURN = "outbox.turn"
_TAKE_TURN = locking(select(setting.c.value).where(setting.c.name == text_param("of")), on_postgresql=True)
_ADD = plain_insert(t)
_WAITING = (
    _SHAPE.select()
    .where(
        _UNSENT,
        ~t.c.lease_until.between(_NOW + 1, _NOW + FARTHEST_WAIT),
        (t.c.customer_id == "") | ~_HELD_UP,
    )
    .order_by(t.c.position)
    .limit(number_param("limit"))
)
_CLAIM = (
    update(t).values(attempts=t.c.attempts + 1, lease_until=number_param("until")).where(t.c.id.in_(texts_param("ids")))
)
_SETTLE = update(t).values(sent_at=_NOW).where(t.c.id.in_(texts_param("ids")))
_IS_OURS = _HAS_ID & _UNSENT & (t.c.attempts == number_param("made"))
_SENT = update(t).values(sent_at=_NOW).where(_IS_OURS)
_FAILED = update(t).values(lease_until=number_param("until")).where(_IS_OURS)
_LAG = select(func.count(), func.min(t.c.created_at)).where(_UNSENT, t.c.created_at <= _NOW)
_OLD = (
    select(t.c.id)
    .where(t.c.sent_at < number_param("old"))
    .order_by(t.c.sent_at, t.c.position)
    .limit(number_param("limit"))
)
_OLD_ON_THE_BUS = _OLD.where(t.c.bus_at.between(1, number_param("old") - 1))
_PRUNE = delete(t).where(t.c.id.in_(texts_param("ids")))


class Outbox(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, rows: Iterable[OutboxRow]) -> None:
        """Insert events to send after the commit."""
        for row in rows:
            # One by one: the database numbers them in this order.
            self._db.run(_ADD, {**_SHAPE.values(row), "lease_until": 0, "sent_at": FOREVER})

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Take unsent events, oldest first, in the order of their customers.

        An event waits while an earlier one of its customer is under way or to be repeated. Events of nobody ("") have
        no order. Those who claim take turns: side by side they could take two events of one customer apart.
        """
        # SQLite has one writer.
        if self._db.flavour != "sqlite" and self._db.one(_TAKE_TURN, {"of": _TURN}) is None:
            Settings(self._db).add(_TURN, "")
            self._db.one(_TAKE_TURN, {"of": _TURN})
        rows = _SHAPE.read_all(self._db.all(_WAITING, {"now": now, "limit": limit}))
        if rows:
            self._db.run(_CLAIM, {"ids": [row.id for row in rows], "until": lease_until})
        return [
            OutboxRow(row.id, row.topic, row.customer_id, row.payload, row.created_at, row.attempts + 1) for row in rows
        ]

    def sent(self, outbox_id: str, now: Instant, *, attempts: int) -> bool:
        """Note that everybody has received an event that was claimed with so many attempts.

        False, and nothing changes, where another worker took it over.
        """
        return self._db.run(_SENT, {"this": outbox_id, "now": now, "made": attempts}) == 1

    def settle(self, outbox_ids: Sequence[str], now: Instant) -> None:
        """Note that events are sent, in the transaction that claims them and in one statement."""
        if outbox_ids:
            self._db.run(_SETTLE, {"ids": list(outbox_ids), "now": now})

    def failed(self, outbox_id: str, retry_at: Instant, *, attempts: int) -> bool:
        """Note that it has to be sent again; the same."""
        return self._db.run(_FAILED, {"this": outbox_id, "until": retry_at, "made": attempts}) == 1

    def lag(self, now: Instant) -> tuple[int, Instant | None]:
        """How many events written up to `now` are not sent yet, and when the oldest of them was written."""
        row = self._db.only(_LAG, {"now": now})
        return int(row[0]), row[1]

    def prune(self, before: Instant, limit: int, *, bus: bool = False) -> int:
        """Delete the events that were sent first, those sent before an instant, so many at most; how many.

        With a `bus` those only that it took before that, too.
        """
        return self._prune(_OLD_ON_THE_BUS if bus else _OLD, _PRUNE, before, limit)
