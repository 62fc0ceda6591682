"""A bus that is the table of events itself: no second store, and LISTEN/NOTIFY to hear of them sooner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from attrs import define, field

from ..domain.instants import SECOND, Instant
from ..domain.messages import Message, Waiting, lane_of, message_of, raw_row
from ..domain.outbound import OutboxRow
from ..domain.upkeep import Lease, SyncState
from ..ports.clock import Clock
from ..ports.guard import refuse_inside_unit
from ..ports.ids import Ids
from ..ports.store import Store, Transaction
from .lanes import Delivery, LaneBus, Patience, check_name

_POSITION, _DELIVERIES = "position", "deliveries"


async def _not_woken(seconds: float) -> bool | None:
    return None


@define(eq=False)
class PostgreSQLBus(LaneBus):
    """Reads events from where each group is, by the transactions of a store.

    `listen` waits for a notification; without one, as behind a transaction pooler, consumers look now and then.
    """

    store: Store
    clock: Clock
    ids: Ids
    _listen: Callable[[float], Awaitable[bool | None]] = _not_woken
    _hang_up: Callable[[], Awaitable[None]] | None = None
    patience: Patience = field(factory=Patience, kw_only=True)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Give messages their places; see the port."""
        refuse_inside_unit("the bus")
        if messages:
            now = self.clock.now()
            rows = [(raw_row(each, now), lane_of(each)) for each in messages]
            await self.store.transaction(lambda tx: tx.bus.number(rows, now))

    async def hold(self, group: str, lane: int) -> _TableHold | None:
        """Take a lane in which something waits."""
        name, now = _name(group, lane), self.clock.now()
        if await self.store.read(partial(_next, name=name, lane=lane, now=now)) is None:
            return None
        holder, until = self.ids.new("worker"), now + self._term
        lease = await self.store.transaction(lambda tx: tx.leases.acquire(name, holder, now, until))
        return None if lease is None else _TableHold(self, group, lane, lease)

    async def first(self, group: str, lane: int) -> Waiting | None:
        """What follows in a lane on the place that the group is at."""
        name, now = _name(group, lane), self.clock.now()
        found = await self.store.read(partial(_following, name=name, lane=lane))
        return None if found is None else Waiting(message_of(found[1]), max(0, now - found[1].created_at) / SECOND)

    async def wait(self, seconds: float) -> bool | None:
        """Wait for a notification."""
        return await self._listen(seconds)

    async def dead_letters(self, group: str, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first."""
        check_name(group)
        rows = await self.store.read(lambda tx: tx.bus.buried(_graveyard(group), limit))
        return [message_of(row) for row in rows]

    async def healthy(self) -> bool:
        """Whether the database answers."""
        await self.store.read(lambda tx: tx.bus.after(0, 0))
        return True

    async def close(self) -> None:
        """End the connection that listens; the store is its owner's to close."""
        if self._hang_up is not None:
            await self._hang_up()

    @property
    def _term(self) -> int:
        return _micros(self.patience.lease)

    async def held(self, lease: Lease, unit: Callable[[Transaction], None]) -> bool:
        """Run a unit as long as the lease is its holder's; says whether it was."""

        def fenced(tx: Transaction) -> bool:
            now = self.clock.now()
            if not tx.leases.renew(lease.name, lease.token, now, now + self._term):
                return False
            unit(tx)
            return True

        return await self.store.transaction(fenced)


def _micros(seconds: float) -> int:
    return int(seconds * SECOND)


def _name(group: str, lane: int) -> str:
    return f"bus.{group}.{lane}"


def _graveyard(group: str) -> str:
    return f"bus.dead.{group}"


def _state(tx: Transaction, name: str) -> SyncState:
    return tx.syncs.get(name) or SyncState(name, 0, None, {})


def _next(tx: Transaction, name: str, lane: int, now: Instant) -> tuple[int, OutboxRow, int] | None:
    """The first message that a group is not done with, with its place and how often it was delivered."""
    state = _state(tx, name)
    if state.started_at > now:
        return None
    found = _following(tx, name, lane)
    return None if found is None else (*found, state.counts.get(_DELIVERIES, 0))


def _following(tx: Transaction, name: str, lane: int) -> tuple[int, OutboxRow] | None:
    """The first message that a group is not done with, with its place."""
    return tx.bus.after(lane, _state(tx, name).counts.get(_POSITION, 0))


@define(eq=False)
class _TableHold:
    """`started_at` of the group's state is when the lane may be looked at again."""

    _bus: PostgreSQLBus
    _group: str
    _lane: int
    _lease: Lease

    async def take(self) -> Delivery | None:
        found: list[Delivery] = []

        def unit(tx: Transaction) -> None:
            now = self._bus.clock.now()
            following = _next(tx, self._lease.name, self._lane, now)
            if following is not None:
                seq, row, before = following
                found[:] = [Delivery(message_of(row), before + 1, (seq, row))]
                counts = {_POSITION: _state(tx, self._lease.name).counts.get(_POSITION, 0), _DELIVERIES: before + 1}
                tx.syncs.put(SyncState(self._lease.name, now, now, counts))

        await self._bus.held(self._lease, unit)
        return found[0] if found else None

    async def done(self, delivery: Delivery) -> bool:
        seq, _ = _place(delivery)
        return await self._note({_POSITION: seq, _DELIVERIES: 0})

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        before = {_DELIVERIES: delivery.deliveries}

        def unit(tx: Transaction) -> None:
            now = self._bus.clock.now()
            kept = _state(tx, self._lease.name).counts
            tx.syncs.put(SyncState(self._lease.name, now + _micros(seconds), now, {**kept, **before}))

        await self._bus.held(self._lease, unit)

    async def bury(self, delivery: Delivery) -> None:
        _, row = _place(delivery)
        topic, now = _graveyard(self._group), self._bus.clock.now()
        kept = raw_row(delivery.message, row.created_at)
        await self._bus.held(self._lease, lambda tx: tx.bus.bury(kept, topic, now))

    async def leave(self) -> None:
        await self._bus.store.transaction(lambda tx: tx.leases.release(self._lease.name, self._lease.token))

    async def _note(self, counts: dict[str, int]) -> bool:
        def unit(tx: Transaction) -> None:
            now = self._bus.clock.now()
            tx.syncs.put(SyncState(self._lease.name, now, now, counts))

        return await self._bus.held(self._lease, unit)


def _place(delivery: Delivery) -> tuple[int, OutboxRow]:
    handle: tuple[int, OutboxRow] = delivery.handle  # type: ignore[assignment]  # what this adapter put there
    return handle
