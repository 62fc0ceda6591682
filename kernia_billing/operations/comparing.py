"""One walk over Stripe's lists: every object is compared with our row, and what differs is brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import asdict, define, evolve, field

from ..domain.instants import Instant
from ..domain.reading import own_id
from ..domain.reports import Count, Failure, Progress, SyncReport
from ..domain.upkeep import SyncState
from ..errors import BillingError, NotFound, ProviderNotConfigured, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .fencing import LeaseLost
from .listing import read_batch, store_page
from .projections import Kind, ProjectionKind, sync_object
from .sessions import sync_session

_BATCH = 100
_RESTARTS = 3
_OUTAGE = 5
"""After so many objects in a row that Stripe or the database failed on, it is they that fail, and not the objects."""


def part(name: str, kind: ProjectionKind) -> str:
    """Under what a run of this name notes how far it is with a kind."""
    return f"{name}:{kind}"


@define
class Walk:
    """What a walk counted, and how many more pages it may read. How far it is is noted under `name`."""

    core: Core
    name: str = ""
    progress: Progress | None = None
    pages: int | None = None
    is_cut: bool = False
    counts: dict[str, Count] = field(factory=dict[str, Count])
    failures: list[Failure] = field(factory=list[Failure])
    _outages: int = 0

    def report(self, *, resumed: bool = False) -> SyncReport:
        """What was done."""
        return SyncReport(dict(self.counts), tuple(self.failures), resumed)

    async def take(self, kind: ProjectionKind) -> None:
        """Compare every object of a kind, from where the run is."""
        if self._is_to_stop():
            return
        state: SyncState = await self._state(kind)
        self.counts[kind] = Count(**state.counts)
        restarts = 0
        while state.finished_at is None and not self.is_cut:
            try:
                batch = await read_batch(self.core, kind, state.cursor)
            except NotFound:
                # The object at which the last page ended is gone.
                restarts += 1
                if state.cursor is None or restarts > _RESTARTS:
                    raise
                self.counts[kind] = Count()
                state = evolve(state, cursor=None, counts={}, started_at=max(self.core.now(), state.started_at + 2))
                continue
            await self.compare(kind, batch.objects)
            if self.is_cut:
                return
            state = evolve(state, cursor=batch.cursor or state.cursor, counts=asdict(self.counts[kind]))
            await self._note(state, kind, [own_id(each) for each in batch.objects])
            if batch.cursor is None:
                await self._look_for_missing(kind, state.started_at)
                if self.is_cut:
                    return
                state = evolve(state, counts=asdict(self.counts[kind]), finished_at=self.core.now())
                await self._note(state, kind, [])
            self._spend(kind)
            self._is_to_stop()

    def _is_to_stop(self) -> bool:
        """Whether the rest is left to the next run, which begins with the page that this one was at."""
        self.is_cut = self.is_cut or self.core.stopping()
        return self.is_cut

    async def _state(self, kind: ProjectionKind) -> SyncState:
        name = part(self.name, kind)
        state = await self.core.store.read(lambda tx: tx.syncs.get(name))
        return SyncState(name, self.core.now(), None, {}) if state is None else state

    async def _note(self, state: SyncState, kind: ProjectionKind, seen: Sequence[str]) -> None:
        """Note how far it is and, in the same transaction, which objects were seen: by any clock after it began."""
        seen_at = max(self.core.now(), state.started_at + 1)

        def unit(tx: Transaction) -> None:
            tx.objects.check(kind, seen, seen_at)
            tx.syncs.put(state)

        await self.core.store.transaction(unit)

    def _tell(self, kind: Kind) -> None:
        if self.progress is not None:
            self.progress(kind, self.counts[kind].seen)

    def _spend(self, kind: ProjectionKind) -> None:
        self._tell(kind)
        if self.pages is not None:
            self.pages -= 1
            self.is_cut = self.pages <= 0

    async def compare(self, kind: ProjectionKind, objects: Sequence[StripeObject]) -> None:
        """Compare objects that Stripe listed, and bring up to date what differs."""
        found = await store_page(self.core, kind, objects)
        self._count(
            kind,
            seen=len(objects),
            created=len(found.created),
            unchanged=len(found.unchanged),
            unmatched=len(found.unmatched),
        )
        for stripe_id in found.differing:
            if self._is_to_stop():
                return
            await self.bring(kind, stripe_id, known=stripe_id in found.known)

    async def _look_for_missing(self, kind: ProjectionKind, started: Instant) -> None:
        """Fetch what we hold and no page showed: it is gone, or no list shows it."""
        tried = set[str]()
        missing = await self._unseen(kind, started, tried)
        if kind == "customer":
            missing = sorted({*missing, *await self._never_fetched()})
        while missing:
            for stripe_id in missing:
                if self._is_to_stop():
                    return
                tried.add(stripe_id)
                await self.bring(kind, stripe_id, known=True)
            missing = await self._unseen(kind, started, tried)

    async def _unseen(self, kind: ProjectionKind, started: Instant, tried: set[str]) -> Sequence[str]:
        limit = _BATCH + len(tried)
        held = await self.core.store.read(lambda tx: tx.objects.stale(kind, started + 1, limit))
        return [each for each in held if each not in tried]

    async def _never_fetched(self) -> Sequence[str]:
        """The Stripe customers of ours of which we never stored a state: that Stripe does not list them either."""
        found: list[str] = []
        after: str | None = None
        while True:
            ids, after = await self.core.store.read(partial(_customers_never_fetched, after=after))
            found += ids
            if after is None:
                return found

    async def take_checkouts(self) -> None:
        """Look at every checkout page of ours that is not done with."""
        kind: Kind = "checkout.session"
        after: str | None = None
        while ids := await self.core.store.read(partial(_unfinished, after=after)):
            for session_id in ids:
                if self._is_to_stop():
                    return
                await self.bring(kind, session_id, known=True)
            after = ids[-1]
            self._count(kind, seen=len(ids))
            self._tell(kind)

    async def bring(self, kind: Kind, stripe_id: str, *, known: bool) -> None:
        """Fetch one object under a ticket and count what became of it; what fails is noted, and nothing more."""
        try:
            if kind == "checkout.session":
                outcome = await sync_session(self.core, stripe_id)
            else:
                outcome = await sync_object(self.core, kind, stripe_id)
        except (LeaseLost, ProviderNotConfigured):
            raise
        except BillingError as failure:
            self._outages += isinstance(failure, Unavailable)
            if self._outages >= _OUTAGE:
                raise
            self._count(kind, failed=1)
            self.failures.append(Failure(kind, stripe_id, failure.code))
            return
        self._outages = 0
        match outcome:
            case "applied":
                self._count(kind, updated=int(known), created=int(not known))
            case "gone":
                self._count(kind, gone=1)
            case "unmatched":
                self._count(kind, unmatched=1)
            case _:
                self._count(kind, unchanged=1)

    def _count(self, kind: Kind, **more: int) -> None:
        known = asdict(self.counts.get(kind, Count()))
        self.counts[kind] = Count(**{name: number + more.get(name, 0) for name, number in known.items()})


def _customers_never_fetched(tx: Transaction, after: str | None) -> tuple[Sequence[str], str | None]:
    rows = tx.customers.page(plan=None, limit=_BATCH, after=after)
    ids = [row.stripe_customer_id for row in rows if row.stripe_customer_id is not None]
    tickets = tx.objects.tickets("customer", ids)
    never = [each for each in ids if each not in tickets or not tickets[each][1]]
    return never, rows[-1].id if len(rows) == _BATCH else None


def _unfinished(tx: Transaction, after: str | None) -> Sequence[str]:
    return sorted([*tx.checkouts.unfinished(_BATCH, after), *tx.purchases.unfinished(_BATCH, after)])[:_BATCH]
