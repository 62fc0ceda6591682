"""billing_outbox as the bus sees it: what is to be published, and what a bus that is this table has in which order."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy import and_, exists, func, select, update

from ..domain.instants import FARTHEST_WAIT, Instant
from ..domain.outbound import OutboxRow
from .db import Noun, Shape
from .dialects import insert_new, locking
from .settings import Settings
from .tables import outbox as t
from .tables import setting
from .types import number_param, text_param, texts_param

CHANNEL = "kernia_billing_bus"
"""What PostgreSQL notifies those who LISTEN by."""
_SHAPE = Shape(OutboxRow, t, attempts="bus_attempts")
_earlier = t.alias("earlier")
_NOW = number_param("now")
_HAS_ID = t.c.id == text_param("this")
_WAITS = t.c.bus_at == 0
_HELD_UP = exists().where(
    and_(
        _earlier.c.customer_id == t.c.customer_id,
        _earlier.c.bus_at == 0,
        _earlier.c.position < t.c.position,
        _earlier.c.bus_lease.between(_NOW + 1, _NOW + FARTHEST_WAIT),
    )
)
_OLD_BATCHES = 100
"""So many times what is older than the bus is skipped at most before new events have to wait for the next turn."""
_TURN, _SINCE, _SEQ = "bus.turn", "bus.since", "bus.seq"
_HOLD = locking(select(setting.c.value).where(setting.c.name == text_param("of")), on_postgresql=True)
_SET = update(setting).values(value=text_param("to")).where(setting.c.name == text_param("of"))
_WAITING = (
    _SHAPE.select()
    .where(
        _WAITS,
        ~t.c.bus_lease.between(_NOW + 1, _NOW + FARTHEST_WAIT),
        (t.c.customer_id == "") | ~_HELD_UP,
    )
    .order_by(t.c.position)
    .limit(number_param("limit"))
)
_HAVE_IDS = t.c.id.in_(texts_param("ids"))
_CLAIM = update(t).values(bus_attempts=t.c.bus_attempts + 1, bus_lease=number_param("until")).where(_HAVE_IDS)
_SKIP = update(t).values(bus_at=_NOW).where(_HAVE_IDS)
_IS_OURS = _HAS_ID & _WAITS & (t.c.bus_attempts == number_param("made"))
_PUBLISHED = update(t).values(bus_at=_NOW).where(_IS_OURS)
_FAILED = update(t).values(bus_lease=number_param("until")).where(_IS_OURS)
_IS_LATE = _WAITS & t.c.created_at.between(number_param("since"), _NOW)
_LAG = select(func.count(), func.min(t.c.created_at)).where(_IS_LATE)
_FIRST_LATE = _SHAPE.select().where(_IS_LATE).order_by(t.c.position).limit(number_param("limit"))
_ADD = insert_new(t, "id")
_NUMBER = update(t).values(bus_seq=number_param("seq"), bus_lane=number_param("lane")).where(_HAS_ID, t.c.bus_seq == 0)
_AFTER = (
    select(t.c.bus_seq, *_SHAPE.columns)
    .where(t.c.bus_lane == number_param("lane"), t.c.bus_seq > number_param("seq"))
    .order_by(t.c.bus_seq)
    .limit(1)
)
_BURIED = (
    _SHAPE.select()
    .where(t.c.bus_lane == number_param("lane"), t.c.topic == text_param("topic"))
    .order_by(t.c.bus_seq)
    .limit(number_param("limit"))
)
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', '')"
_GRAVEYARD = -1
"""The lane of what is buried, which nobody reads."""


class BusEvents(Noun):
    """The port of the same name."""

    __slots__ = ()

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Take events that are not on the bus yet, oldest first, in the order of their customers.

        `attempts` are those of the bus. What was written before anybody ever claimed for a bus stays where it is.
        """
        self._hold(_TURN)
        since = int(Settings(self._db).add(_SINCE, str(now)))
        rows: list[OutboxRow] = []
        for _ in range(_OLD_BATCHES):
            found = _SHAPE.read_all(self._db.all(_WAITING, {"now": now, "limit": limit}))
            rows = [row for row in found if row.created_at >= since]
            if old := [row.id for row in found if row.created_at < since]:
                self._db.run(_SKIP, {"ids": old, "now": now})
            if rows or not old:
                break
        if rows:
            self._db.run(_CLAIM, {"ids": [row.id for row in rows], "until": lease_until})
        return [
            OutboxRow(row.id, row.topic, row.customer_id, row.payload, row.created_at, row.attempts + 1) for row in rows
        ]

    def published(self, outbox_id: str, now: Instant, *, attempts: int) -> bool:
        """Note that the bus has an event that was claimed with so many attempts.

        False, and nothing changes, where another worker took it over.
        """
        return self._db.run(_PUBLISHED, {"this": outbox_id, "now": now, "made": attempts}) == 1

    def failed(self, outbox_id: str, retry_at: Instant, *, attempts: int) -> bool:
        """Note that it has to be published again; the same."""
        return self._db.run(_FAILED, {"this": outbox_id, "until": retry_at, "made": attempts}) == 1

    def lag(self, now: Instant) -> tuple[int, Instant | None]:
        """How many events written up to `now` are not on the bus yet, and when the oldest of them was written."""
        row = self._db.only(_LAG, {"now": now, "since": self._since()})
        return int(row[0]), row[1]

    def waiting(self, until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Those of them, the first in their order: so many at most, and none is taken."""
        return _SHAPE.read_all(self._db.all(_FIRST_LATE, {"now": until, "since": self._since(), "limit": limit}))

    def number(self, events: Sequence[tuple[OutboxRow, int]], now: Instant) -> None:
        """Give events their places at the end of their lanes, once, and wake up whoever listens.

        One that is not stored yet is, as one that no hook has to hear of. Those who give out places take turns until
        their commit: whoever reads a place has read all before it.
        """
        last = int(self._hold(_SEQ, "0"))
        for event, lane in events:
            unsent = {"lease_until": 0, "sent_at": now, "bus_at": now, "bus_lease": 0, "bus_lane": 0, "bus_seq": 0}
            self._db.insert_new(_ADD, {**_SHAPE.values(event), **unsent, "attempts": 0})
            last += self._db.run(_NUMBER, {"this": event.id, "seq": last + 1, "lane": lane})
        self._db.run(_SET, {"of": _SEQ, "to": str(last)})
        if self._db.flavour == "postgresql":
            self._db.connection.exec_driver_sql(_NOTIFY)

    def after(self, lane: int, seq: int) -> tuple[int, OutboxRow] | None:
        """The first event of a lane beyond a place, with its own."""
        row = self._db.one(_AFTER, {"lane": lane, "seq": seq})
        return None if row is None else (int(row[0]), _SHAPE.read(row[1:]))

    def bury(self, event: OutboxRow, topic: str, now: Instant) -> None:
        """Keep a copy of an event under another topic, for nobody to be sent."""
        kept_id = sha256(f"{topic} {event.id}".encode()).hexdigest()
        kept = OutboxRow(f"dead_{kept_id}", topic, "", event.payload, event.created_at)
        self.number([(kept, _GRAVEYARD)], now)

    def buried(self, topic: str, limit: int) -> Sequence[OutboxRow]:
        """The copies that are kept under a topic, oldest first."""
        return _SHAPE.read_all(self._db.all(_BURIED, {"lane": _GRAVEYARD, "topic": topic, "limit": limit}))

    def _since(self) -> Instant:
        """When anybody first claimed for a bus."""
        return int(Settings(self._db).get(_SINCE) or 0)

    def _hold(self, name: str, first: str = "") -> str:
        """Hold a setting to the end of the transaction; gives its value. SQLite has one writer."""
        row = self._db.one(_HOLD, {"of": name})
        if row is None:
            Settings(self._db).add(name, first)
            row = self._db.one(_HOLD, {"of": name})
        return first if row is None else str(row[0])
