"""Writing to the books of one customer: opening buckets, moving usage, and a ledger line for everything that moved."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Entry, Grant, Holding, LedgerLine, UsageRow
from ..domain.history import BucketState, GrantState
from ..domain.instants import Instant
from ..domain.limits import Meter
from ..ports.ids import Ids
from ..ports.store import Transaction


class Books:
    """The books of one customer whose row is locked, in one unit of work.

    Everything written through it has the customer's `ledger_seq` of this unit. The lines are collected, and stored
    by `record` with the usage event that caused them, or by `close`.
    """

    def __init__(self, tx: Transaction, ids: Ids, customer: CustomerRow, now: Instant, event_id: str = "") -> None:
        self._tx = tx
        self._now = now
        self._ids = ids
        self.event_id = event_id
        self.customer = customer
        self._lines: list[LedgerLine] = []

    @contextmanager
    def because_of(self, event_id: str) -> Generator[None]:
        """Let the lines of the block tell of something else than the rest, such as a hold beside a use."""
        before, self.event_id = self.event_id, event_id
        try:
            yield
        finally:
            self.event_id = before

    def new_id(self, prefix: str) -> str:
        """An id for something else that this write brings about."""
        return self._ids.new(prefix)

    def open(self, holding: Holding, entry: Entry = "open") -> Holding:
        """Store the bucket of a holding, and its grant, where they exist in thought only."""
        if holding.opened:
            return holding
        grant = holding.grant
        if grant.created_seq == 0:
            grant = self.give(grant)
        bucket = evolve(holding.bucket, id=self._ids.new("bkt"), grant_id=grant.id, customer_id=self.customer.id)
        self._tx.entitlements.add_bucket(bucket)
        self._line(bucket, entry, bucket.used, held=bucket.held)
        return Holding(grant, bucket, True, holding.instead, holding.limited)

    def raise_epoch(self) -> None:
        """Raise the number by which others see that there is something else to hold."""
        self._tx.customers.set_plan(self.customer.id, self.customer.plan, self.customer.plan_until)

    def give(self, grant: Grant) -> Grant:
        """Store a grant under an id of its own."""
        given = evolve(
            grant, id=self._ids.new("grt"), customer_id=self.customer.id, created_seq=self.customer.ledger_seq
        )
        if self._tx.entitlements.add_grant(given):
            self._note(given)
        return given

    def put(self, grant: Grant) -> None:
        """Overwrite what may change of a stored grant."""
        self._tx.entitlements.put_grant(grant)
        self._note(grant)

    def move(self, holding: Holding, amount: int, entry: Entry, *, units: int = 0, held: int = 0) -> Holding:
        """Raise (or, below zero, lower) what is used of a holding, and what is held of it.

        `units` of the feature asked for are what the line pays or gives back.
        """
        if amount == held == 0:
            return holding
        holding = self.open(holding)
        grant, before = holding.grant, holding.bucket
        taken = before.used + amount + before.held + held
        is_over = before.amount is not None and taken > before.amount and holding.instead is not None
        if before.own is None and not is_over:
            bucket = before.moved(amount, held, _sunk(grant, before, taken), None)
        else:
            bucket = _beyond(before.moved(amount, held, before.amount, before.own))
        self.store(bucket, entry, amount, units=units, held=held)
        return Holding(grant, bucket, True, holding.instead, holding.limited)

    def change(self, holding: Holding, entry: Entry, *, used: int = 0, held: int = 0, **values: Any) -> Holding:
        """`move`, and give the bucket other `values` in the same breath; nothing where nothing changes."""
        holding = self.open(holding)
        bucket = evolve(holding.bucket, used=holding.bucket.used + used, held=holding.bucket.held + held, **values)
        if bucket.own is not None and "amount" not in values:
            bucket = _beyond(bucket)
        if bucket != holding.bucket:
            self.store(bucket, entry, used, held=held)
        if (bucket.heir_id, bucket.owed) != (holding.bucket.heir_id, holding.bucket.owed):
            state = BucketState(bucket.id, self.customer.ledger_seq, bucket.heir_id, bucket.owed)
            self._tx.history.put_bucket(state)
        return evolve(holding, bucket=bucket)

    def bequeath(
        self, old: Holding, new: Holding, used: int, amount: int | None, *, owed: int = 0, own: int | None = None
    ) -> tuple[Holding, Holding]:
        """Let `used` units of one holding, all that is held of it and what it owes count in another one from now on.

        That includes `amount` then, `own` of it itself if an override allows the rest, and owes `owed` more. Gives both
        as they are after it.
        """
        held = old.bucket.held
        owed += new.bucket.owed + old.bucket.owed
        heir = self.change(new, "carry", used=used, held=held, amount=amount, own=own, heir_id="", owed=owed)
        rest = self.change(old, "carry", used=-used, held=-held, heir_id=heir.bucket.id, owed=0)
        if held:
            self._tx.holds.move(rest.bucket.id, heir.bucket.id)
        return rest, heir

    def store(self, bucket: BucketRow, entry: Entry, amount: int = 0, *, units: int = 0, held: int = 0) -> None:
        """Overwrite a bucket that is stored already, with the line that says how it came to be so."""
        self._tx.entitlements.put_bucket(bucket)
        self._line(bucket, entry, amount, units, held)

    def amend(self, holding: Holding, amount: int | None) -> Holding:
        """Change how much the running period of a holding includes."""
        bucket = evolve(holding.bucket, amount=amount, own=None)
        if not holding.opened or holding.bucket.amount == amount:
            return evolve(holding, bucket=bucket)
        self.store(bucket, "amend")
        return evolve(holding, bucket=bucket)

    def count(self, meter: Meter) -> None:
        """Store what the window of a usage limit has used."""
        self._tx.limits.put(self.customer.id, meter)

    def record(self, event: UsageRow) -> None:
        """Store a usage event with all the lines so far."""
        self._tx.usage.add(event, self._lines)

    def close(self) -> None:
        """Store the lines, where no usage event carries them."""
        if self._lines:
            self._tx.usage.add_lines(self._lines)

    def _note(self, grant: Grant) -> None:
        """Keep how a grant is from this write on, so that answers can be explained later."""
        self._tx.history.put_grant(GrantState.of(grant, self.customer.ledger_seq, self._now))

    def _line(self, bucket: BucketRow, entry: Entry, amount: int, units: int = 0, held: int = 0) -> None:
        self._lines.append(
            LedgerLine(
                self.customer.id,
                self.customer.ledger_seq,
                len(self._lines),
                bucket.id,
                entry,
                amount,
                bucket.used,
                self.event_id,
                units,
                held,
                bucket.held,
                bucket.amount,
                self._now,
            )
        )


def _beyond(bucket: BucketRow) -> BucketRow:
    """A bucket of which more is, or was, used than it includes itself: an override allowed it."""
    return bucket.including(bucket.amount if bucket.own is None else bucket.own)


def _sunk(grant: Grant, bucket: BucketRow, taken: int) -> int | None:
    """What a bucket includes after something came back to it, when `taken` is what is used and held of it.

    One that never ends may include more than its grant only as long as more is used: seats or plans that became
    smaller than what exists.
    """
    if bucket.amount is None or grant.amount is None or grant.interval is not None:
        return bucket.amount
    return min(bucket.amount, max(grant.amount, taken))
