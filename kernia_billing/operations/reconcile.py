"""Finding what no webhook told of: one replica at a time, and with as few calls to Stripe as there are changes.

A run takes in the events of Stripe that never arrived, looks at what should have changed by now and did not, and finds
out what became of calls whose answer was lost. Now and then, every `refresh_interval`, it compares everything with
Stripe's lists, some pages a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from ..domain.instants import HOUR, SECOND, Instant, to_datetime
from ..domain.reports import Failure, Reconciliation, SyncReport
from ..domain.upkeep import SyncState
from ..errors import BillingError, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from . import drift, inbox, intents, resync, traces
from .core import Core
from .events import STATE as EVENTS
from .events import first_event_at, unknown
from .fencing import LeaseLost, alone
from .outbox import dispatch
from .projections import Kind, sync_object
from .sessions import sync_session

LEASE = "reconcile"
EVERY = HOUR
"""How often it is worth running."""
_STATE = "reconcile"
_SWEEP = resync.run_key("sweep")
_LATE = HOUR
"""So long after its time no news of a renewal is no reason to ask: Stripe finalizes the invoice an hour later."""
_AT_ONCE = 100
_PAGES = 100
_OUTAGE = 5


async def reconcile(core: Core, *, dry_run: bool = False) -> Reconciliation:
    """Find what no webhook told of, and bring it up to date. Safe on every replica at once: one of them does the work.

    With `dry_run` nothing is written: the report says what differs between Stripe and here.

    Raises:
        Unavailable: Stripe or the database does not answer; the next run begins where this one stood.
    """
    background = core.in_background()
    if dry_run:
        return Reconciliation("dry_run", drift=await drift.report(background))
    with traces.job(core, "reconcile"):
        try:
            done = await alone(background, LEASE, lambda fenced: _Run(fenced).work())
        except LeaseLost:
            return Reconciliation("lost")
        return Reconciliation("held") if done is None else done


async def is_due(core: Core) -> bool:
    """Whether the last whole run began longer ago than one should, or the comparison of everything is under way."""
    now = core.now()

    def unit(tx: Transaction) -> bool:
        last, sweep = tx.syncs.get(_STATE), tx.syncs.get(_SWEEP)
        return last is None or not 0 <= now - last.started_at < EVERY or (sweep is not None and not sweep.finished_at)

    return await core.store.read(unit)


@define
class _Run:
    """One run, under the lease."""

    core: Core
    failures: list[Failure] = field(factory=list[Failure])
    _outages: int = 0

    async def work(self) -> Reconciliation:
        started = self.core.now()
        events = await self._events(started)
        subscriptions = await self._overdue_subscriptions()
        checkouts = await self._overdue_checkouts()
        lost = await intents.recover(self.core)
        sweep = await self._sweep(started)
        await dispatch(self.core)
        counts = {"events": events, "subscriptions": subscriptions, "checkouts": checkouts}
        state = SyncState(_STATE, started, self.core.now(), counts)
        await self.core.store.transaction(lambda tx: tx.syncs.put(state))
        return Reconciliation(
            "done",
            events,
            subscriptions,
            checkouts,
            lost,
            sweep,
            (*self.failures, *(() if sweep is None else sweep.failures)),
            next_at=to_datetime(started + EVERY),
        )

    async def _events(self, started: Instant) -> int:
        """Take in what Stripe lists since the last time and we have not; says how many."""
        since = await self.core.store.read(lambda tx: first_event_at(tx, started))
        taken = 0
        after: str | None = None
        while True:
            params = {"created": {"gte": max(0, since // SECOND)}}
            page = await self.core.provider().page("/v1/events", params, after=after)
            for each in await unknown(self.core, page.data):
                if self.core.stopping():
                    return taken  # Without a note of it, so that the next run lists from where this one did.
                taken += await self._take(each)
            if not page.has_more:
                break
            after = str(page.data[-1]["id"])
        state = SyncState(EVENTS, started, self.core.now(), {"taken": taken})
        await self.core.store.transaction(lambda tx: tx.syncs.put(state))
        return taken

    async def _take(self, event: StripeObject) -> int:
        """Take in one event. What fails stands with the event, which is tried again like every other."""
        try:
            await inbox.take_listed(self.core, event)
        except LeaseLost:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever it is, it must not keep the others waiting
            self._failed("event", str(event.get("id")), failure)
            return 1
        self._outages = 0
        return 1

    def _failed(self, kind: str, stripe_id: str, failure: Exception) -> None:
        self._outages += isinstance(failure, Unavailable)
        if self._outages >= _OUTAGE:
            raise failure
        code = failure.code if isinstance(failure, BillingError) else type(failure).__name__
        self.failures.append(Failure(kind, stripe_id, code))

    async def _overdue_subscriptions(self) -> int:
        now = self.core.now()
        ids = await self.core.store.read(lambda tx: tx.subscriptions.overdue(now - _LATE, now, _AT_ONCE))
        return await self._look_at("subscription", ids)

    async def _overdue_checkouts(self) -> int:
        now = self.core.now()
        ids = await self.core.store.read(lambda tx: _overdue_pages(tx, now))
        return await self._look_at("checkout.session", ids)

    async def _look_at(self, kind: Kind, ids: Sequence[str]) -> int:
        """Bring these up to date, and note that they were looked at, also those that fail: the others come first."""
        looked_at: list[str] = []
        for stripe_id in ids:
            if self.core.stopping():
                break
            looked_at.append(stripe_id)
            try:
                if kind == "checkout.session":
                    await sync_session(self.core, stripe_id)
                else:
                    await sync_object(self.core, kind, stripe_id)
                self._outages = 0
            except LeaseLost:
                raise
            except BillingError as failure:
                self._failed(kind, stripe_id, failure)
        now = self.core.now()
        await self.core.store.transaction(lambda tx: tx.objects.check(kind, looked_at, now))
        return len(looked_at)

    async def _sweep(self, now: Instant) -> SyncReport | None:
        """The next pages of the comparison of everything, where it is time for it."""
        interval = self.core.refresh_interval
        if not interval:
            return None
        due = await self.core.store.transaction(lambda tx: _is_time(tx, now, interval))
        if not due:
            return None
        return await resync.continue_run(self.core, "sweep", pages=_PAGES, within=2 * interval)


def _is_time(tx: Transaction, now: Instant, interval: int) -> bool:
    """Whether everything was not compared for so long. The time before the first run does not count."""
    swept, all_ = tx.syncs.get(_SWEEP), tx.syncs.get(resync.run_key("all"))
    if swept is None:
        tx.syncs.put(SyncState(_SWEEP, now, now, {}))
        return False
    if swept.finished_at is None:
        return True
    whole = all_.started_at if all_ is not None and all_.finished_at is not None else swept.started_at
    return not 0 <= now - max(swept.started_at, whole) < interval


def _overdue_pages(tx: Transaction, now: Instant) -> Sequence[str]:
    """The Stripe sessions of ours that should be over by now, whatever they sell."""
    plans = tx.checkouts.overdue(now - _LATE, now, _AT_ONCE)
    return [*plans, *tx.purchases.overdue(now - _LATE, now, _AT_ONCE)][:_AT_ONCE]
