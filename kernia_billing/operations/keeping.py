"""Old books are thrown away: periods that are long over, with their ledger, and the uses of which nothing is left.

A customer has a horizon. Balances can be told for every instant since then, and up to its number in the ledger rows may
be gone. Buckets go whole: first the bucket, then its lines, then the uses of which no line is left. So what stays
always adds up, whenever the work is cut short, and the ledger of a bucket that still counts goes with nothing.

What stays for good: grants (a top-up is given once), the last period of one that rolls over or owes, and the bucket of
an allowance of a plan that never starts anew, with everything that was drawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from attrs import evolve, frozen

from ..domain.instants import DAY, Instant
from ..domain.keeping import Horizon, OverBucket
from ..domain.terms import moves_on
from ..domain.upkeep import SyncState
from ..ports.store import Transaction
from .core import Core

BATCH = 500
"""So many rows a transaction reads or deletes at most, so that nobody waits for it."""
_BATCHES = 20
_TOUR = "books"
_EVERY = DAY
"""So often at most everybody's books are looked through."""

At = TypeVar("At", int, tuple[int, int], None)


async def prune(core: Core) -> int:
    """Delete old books of the next customers, ten thousand of them at most; says how many rows.

    It goes on where it ended, and begins anew a day after everybody was visited.
    """
    now = core.now()
    state = await core.store.read(lambda tx: tx.syncs.get(_TOUR))
    if state is not None and state.finished_at is not None and 0 <= now - state.finished_at < _EVERY:
        return 0
    under_way = state is not None and state.finished_at is None
    visit = _Visit(core, now - max(core.usage_retention, core.event_retention))
    started, after = (state.started_at, state.cursor or "") if state is not None and under_way else (now, "")
    for _ in range(_BATCHES):
        page = await core.store.read(partial(_customers, after, visit.before))
        for customer_id, is_old in page:
            if is_old and not await visit.customer(customer_id):
                await _note(core, SyncState(_TOUR, started, None, {}, after))
                return visit.deleted
            after = customer_id
        if len(page) < BATCH:
            await _note(core, SyncState(_TOUR, started, core.now(), {}))
            return visit.deleted
    await _note(core, SyncState(_TOUR, started, None, {}, after))
    return visit.deleted


def _customers(after: str, before: Instant, tx: Transaction) -> Sequence[tuple[str, bool]]:
    return tx.horizons.customers(after, before, BATCH)


async def _note(core: Core, state: SyncState) -> None:
    await core.store.transaction(lambda tx: tx.syncs.put(state))


@frozen
class _Begun:
    """A horizon as it is, None for none, and as it is to be."""

    known: Horizon | None
    aim: Horizon

    @property
    def is_there(self) -> bool:
        """Whether everything has gone already that lies beyond it, but for buckets."""
        return self.aim.seq == 0 if self.known is None else self.known.swept and self.known.seq == self.aim.seq


class _Visit:
    """One run over the books of several customers; `deleted` counts what it deleted so far."""

    def __init__(self, core: Core, before: Instant) -> None:
        self.before = before
        self.deleted = 0
        self._core = core

    async def customer(self, customer_id: str) -> bool:
        """Delete what may go of a customer; false where something is left to the next run."""
        store = self._core.store
        begun = await store.read(lambda tx: _aim(tx, customer_id, self.before))
        aim, known = begun.aim, begun.known
        dropped = await self._drop(aim)
        if dropped is None:
            return False
        if dropped == 0:
            if begun.is_there:
                return True
            await store.transaction(lambda tx: _move(tx, aim))
        # Of buckets that went before, or were left alone now, nothing more goes.
        start = 0 if dropped or known is None or not known.swept else known.seq
        return (
            await self._batches(partial(_lines, aim), (start, 0))
            and await self._batches(partial(_uses, aim), start)
            and await self._batches(partial(_states, aim), None)
            and await store.transaction(lambda tx: _end(tx, aim))
        )

    async def _drop(self, aim: Horizon) -> int | None:
        """Drop the buckets that are over; how many, None where there may be more."""
        store = self._core.store
        dropped, after = 0, ""
        while True:
            found = await store.read(partial(_over, aim, after))
            if _ids(found):
                number = await store.transaction(partial(_retire, aim, after))
                dropped += number
                self.deleted += number
            if len(found) < BATCH:
                return dropped
            if self._is_enough():
                return None
            after = found[-1].id

    async def _batches(self, sweep: Callable[[At, Transaction], Sequence[At]], after: At) -> bool:
        """Delete batch after batch, each from where the one before it ended; false where something is left."""
        while True:
            gone = await self._core.store.transaction(partial(sweep, after))
            self.deleted += len(gone)
            if len(gone) < BATCH:
                return True
            if self._is_enough():
                return False
            after = gone[-1]

    def _is_enough(self) -> bool:
        return self._core.stopping() or self.deleted >= BATCH * _BATCHES


def _aim(tx: Transaction, customer_id: str, before: Instant) -> _Begun:
    """How far the horizon of a customer is to be moved: never back, and not beyond what a usage limit still counts."""
    known = tx.horizons.get(customer_id)
    kept_from = tx.horizons.kept_from(customer_id, before)
    if known is not None:
        kept_from = max(kept_from, known.kept_from)
    return _Begun(known, Horizon(customer_id, _last_use(tx, customer_id, kept_from, known), kept_from))


def _last_use(tx: Transaction, customer_id: str, before: Instant, known: Horizon | None) -> int:
    """The number of the last use that was recorded before an instant, found by halving the customer's sequence."""
    low = 0 if known is None else known.seq
    first = tx.horizons.use_from(customer_id, low + 1)
    if first is None or first[1] >= before:
        return low
    low, high = first[0], first[0] * 2
    while (found := tx.horizons.use_from(customer_id, high)) is not None and found[1] < before:
        low, high = found[0], found[0] * 2
    while high - low > 1:
        middle = (low + high) // 2
        found = tx.horizons.use_from(customer_id, middle)
        if found is None or found[1] >= before:
            high = middle
        else:
            low = found[0]
    return low


def _over(aim: Horizon, after: str, tx: Transaction) -> Sequence[OverBucket]:
    return tx.horizons.over(aim.customer_id, aim.kept_from, after, BATCH)


def _ids(found: Sequence[OverBucket]) -> list[str]:
    """Those that nobody asks for again: the last period of what rolls over or owes tells how the next one begins."""
    return [each.id for each in found if not (each.is_last and moves_on(each.terms))]


def _retire(aim: Horizon, after: str, tx: Transaction) -> int:
    """Move the horizon, and drop what is over, while nobody writes to the customer's books."""
    _move(tx, aim)
    ids = _ids(_over(aim, after, tx))
    tx.horizons.drop_buckets(ids)
    return len(ids)


def _move(tx: Transaction, aim: Horizon) -> None:
    tx.horizons.lock(aim.customer_id)
    known = tx.horizons.get(aim.customer_id, locked=True)
    if known is not None:
        # Another worker may have been faster.
        aim = evolve(aim, seq=max(aim.seq, known.seq), kept_from=max(aim.kept_from, known.kept_from))
    tx.horizons.put(aim)


def _lines(aim: Horizon, after: tuple[int, int], tx: Transaction) -> Sequence[tuple[int, int]]:
    return tx.horizons.sweep_lines(aim, after, BATCH)


def _uses(aim: Horizon, after: int, tx: Transaction) -> Sequence[int]:
    return tx.horizons.sweep_uses(aim, after, BATCH)


def _states(aim: Horizon, _after: None, tx: Transaction) -> Sequence[None]:
    return [None] * tx.horizons.sweep_states(aim, BATCH)


def _end(tx: Transaction, aim: Horizon) -> bool:
    tx.horizons.note_swept(aim)
    return True
