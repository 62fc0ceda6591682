"""The work on one event: what it is about is brought up to date, and in the last write the event is done with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import define, field, frozen

from ..domain.envelopes import word
from ..domain.instants import Instant
from ..domain.shapes import owner_of
from ..domain.upkeep import MeterEventRow
from ..domain.webhooks import InboxRow, InboxStatus
from ..ports.store import Rollback, Transaction
from .core import Core
from .dunning import NEWS, tell_attempt
from .event_types import TREATMENTS, Target, Treatment, find, is_about_nothing
from .fulfilling import sync_payment
from .haste import OutOfTime
from .meter_sender import tell_log
from .meters import note_errors
from .notices import Facts
from .outbox import Handover, event
from .projections import PROJECTIONS, Also, Fetched, Outcome, sync_object
from .projections.owners import customer_of
from .sessions import is_ours, sync_session

Ending = Literal["applied", "skipped", "unmatched", "ignored", "queued"]


@frozen
class Step:
    """One object to bring up to date: with the ticket that was taken with the event, where its id was known then."""

    target: Target
    id: str | None
    ticket: int | None


@frozen
class Claimed:
    """An event that is ours to work on, and what there is to do."""

    row: InboxRow
    steps: tuple[Step, ...]


def foreign(core: Core, row: InboxRow) -> str | None:
    """Why an event is none of ours, although it was signed for us; None where it is."""
    if core.livemode is not None and row.livemode != core.livemode:
        return "livemode mismatch"
    return "of a connected account" if row.account else None


def claimed(core: Core, tx: Transaction, row: InboxRow) -> Claimed:
    """Take the tickets for what an event is about, in the transaction that takes the event."""
    treatment = _treatment(core, row)
    if treatment is None:
        return Claimed(row, ())
    return Claimed(row, tuple(_step(tx, row, target) for target in treatment.targets))


def _treatment(core: Core, row: InboxRow) -> Treatment | None:
    """What is to be done about an event; None for nothing."""
    return None if foreign(core, row) is not None or is_about_nothing(row) else TREATMENTS[row.type]


def _step(tx: Transaction, row: InboxRow, target: Target) -> Step:
    stripe_id = find(tx, row, target)
    if stripe_id is None:
        return Step(target, None, None)
    if target.kind == "checkout.session" and not is_ours(tx, stripe_id):
        # Nothing is noted of pages that we did not open.
        return Step(target, stripe_id, None)
    return Step(target, stripe_id, tx.objects.take_ticket(target.kind, stripe_id))


async def work(core: Core, taken: Claimed, handover: Handover | None = None) -> Ending:
    """Do what there is to do, and note what became of it; says so.

    With a `handover` the last write claims what waits for hooks too: whoever gives one finishes it.

    `skipped` where the lease ran out meanwhile and another worker has the event: nothing of the last write is left.
    `queued` where it took too long for whoever waits: the event is to be worked on from the beginning.

    Raises:
        Whatever Stripe, the database or an object that cannot be read raises; the event is still claimed then.
    """
    run = _Run(core, taken.row, handover)
    treatment = _treatment(core, taken.row)
    facts = None
    try:
        if treatment is not None and treatment.reader is not None:
            facts = await treatment.reader(core, taken.row)
        for step in taken.steps:
            await run.take(step, is_last=step is taken.steps[-1])
    except OutOfTime:
        return await run.give_back()
    return await run.end(facts)


def finish(
    tx: Transaction, row: InboxRow, status: InboxStatus, note: str | None, *, again_at: Instant = 0, owner: str = ""
) -> bool:
    """Be done with a claimed event, unless another worker took it over; says whether it was still ours."""
    return tx.inbox.finish(
        row.account,
        row.event_id,
        status,
        attempts=row.attempts,
        note=note,
        lease_until=again_at,
        held_until=row.lease_until,
        customer=owner,
    )


def _put_back(tx: Transaction, row: InboxRow, now: Instant) -> None:
    stored = tx.inbox.get(row.account, row.event_id)
    if stored is not None and stored.status == "unmatched":
        tx.inbox.requeue(row.account, row.event_id, now)


@define
class _Run:
    """One run of the work on one event; `strangers` are the Stripe customers of what was found to be nobody's."""

    core: Core
    row: InboxRow
    handover: Handover | None
    outcomes: list[Outcome] = field(factory=list[Outcome])
    owner: str = ""
    strangers: set[str] = field(factory=set[str])
    ending: Ending | None = None

    async def take(self, step: Step, *, is_last: bool) -> None:
        """Bring one object up to date, and where it is the last be done with the event in the same transaction."""
        stripe_id, kind = step.id, step.target.kind
        if stripe_id is None:
            stripe_id = await self.core.store.read(lambda tx: find(tx, self.row, step.target))
        if stripe_id is None:
            return
        if kind == "checkout.session":
            also: Also = self._finish if is_last else self._see
            outcome = await sync_session(self.core, stripe_id, ticket=step.ticket, also=also)
        elif kind == "payment_intent":
            also = self._finish if is_last else self._see
            outcome = await sync_payment(self.core, stripe_id, ticket=step.ticket, also=also)
        else:
            also = self._finish if is_last and PROJECTIONS[kind].after is None else self._see
            outcome = await sync_object(self.core, kind, stripe_id, ticket=step.ticket, also=also)
        self.outcomes.append(outcome)

    async def give_back(self) -> Ending:
        """Leave the event to the next run of the jobs, unless it is done with or another worker has it by now."""
        if self.ending is not None:
            return self.ending
        row, now = self.row, self.core.now()
        is_ours = await self.core.store.transaction(lambda tx: finish(tx, row, "received", None, again_at=now))
        return "queued" if is_ours else "skipped"

    async def end(self, facts: Facts | None) -> Ending:
        """Be done with the event, unless the last write was already."""
        if self.ending is None:
            for row in await self.core.store.transaction(lambda tx: self._end(tx, facts)):
                tell_log(self.core, row)
        if self.ending == "unmatched":
            await self._look_again()
        return self.ending or "skipped"

    async def _look_again(self) -> None:
        """Let the event be worked on again where its customer was linked meanwhile.

        Whoever links brings back the unmatched events that he sees, and this one was not among them before the commit.
        """
        row, strangers = self.row, sorted(self.strangers)
        if await self.core.store.read(lambda tx: any(customer_of(tx, each) for each in strangers)):
            now = self.core.now()
            await self.core.store.transaction(lambda tx: _put_back(tx, row, now))

    def _end(self, tx: Transaction, facts: Facts | None) -> Sequence[MeterEventRow]:
        rejected: Sequence[MeterEventRow] = ()
        if facts is not None:
            row = self.row
            data = {"id": row.event_id, "object": row.object_kind, "object_id": row.object_id, **facts}
            tx.outbox.add([event(self.core, None, row.type, row.received_at, data=data)])
            rejected = note_errors(self.core, tx, facts)
        self._note(tx, self.outcomes)
        return rejected

    def _see(self, tx: Transaction, fetched: Fetched, outcome: Outcome) -> None:
        """Remember whose the object is, for an event that names no customer; tell of a payment that failed."""
        if fetched.body is None:
            return
        if fetched.kind == "invoice" and self.row.type in NEWS:
            tell_attempt(self.core, tx, NEWS[self.row.type], fetched.body)
        self.owner = word(owner_of(fetched.body))
        if outcome == "unmatched":
            self.strangers.add(fetched.id if fetched.kind == "customer" else self.owner)

    def _finish(self, tx: Transaction, fetched: Fetched, outcome: Outcome) -> None:
        self._see(tx, fetched, outcome)
        self._note(tx, [*self.outcomes, outcome])

    def _note(self, tx: Transaction, outcomes: list[Outcome]) -> None:
        row = self.row
        status, self.ending = self._verdict(outcomes)
        note = None if status == "processed" else foreign(self.core, row) or f"{row.type}: {status}"
        if not finish(tx, row, status, note, owner="" if row.customer else self.owner):
            self.ending = "skipped"
            if self.handover is not None:
                self.handover.drop()
            raise Rollback[Outcome]("stale")
        if self.handover is not None:
            self.handover.claim(tx)

    def _verdict(self, outcomes: list[Outcome]) -> tuple[InboxStatus, Ending]:
        if _treatment(self.core, self.row) is None:
            return "ignored", "ignored"
        return ("unmatched", "unmatched") if "unmatched" in outcomes else ("processed", "applied")
