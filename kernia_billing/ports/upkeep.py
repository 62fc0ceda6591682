"""What keeps the mirror true, as the core sees it: leases, imports, the audit log, usage reported to Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..domain.instants import Instant
from ..domain.upkeep import AuditRow, Lease, MeterEventRow, MeterEventState, SyncState
from .mirror import Position


class Leases(Protocol):
    """billing_lease: work that one process does at a time.

    A holder does its writes in units that `renew` it first. So one that was stopped, and was taken over meanwhile,
    writes nothing when it goes on.
    """

    def acquire(self, name: str, holder: str, now: Instant, until: Instant) -> Lease | None:
        """Take a lease that is free, has ended, or is the holder's own already; None where another has it.

        One that ends more than two of the holder's own terms from now was taken by a clock that went wrong, and counts
        as ended. The token rises by one, except where the holder still has it: then only its end moves. `holder` names
        one running worker and no other, in this process or elsewhere.
        """
        ...

    def renew(self, name: str, token: int, now: Instant, until: Instant) -> bool:
        """Move the end of a lease that is held under this token; False where it has ended or was taken over.

        Nobody takes it over before the end of the transaction.
        """
        ...

    def release(self, name: str, token: int) -> bool:
        """Give a lease back; False where somebody else has it now."""
        ...


class Syncs(Protocol):
    """billing_sync_state: how far imports are."""

    def get(self, kind: str) -> SyncState | None:
        """How the last import of a kind went, or goes."""
        ...

    def put(self, state: SyncState) -> None:
        """Note how an import goes."""
        ...


class Audit(Protocol):
    """billing_audit: who changed what. Rows are added in the transaction of the change, and never altered."""

    def add(self, row: AuditRow) -> None:
        """Insert."""
        ...

    def page(
        self, *, customer_id: str | None, limit: int, before: Position | None, actions: Sequence[str] | None = None
    ) -> Sequence[AuditRow]:
        """Changes, newest first, from just after the position (at, id); of these actions only, where any are given."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest rows, those of before an instant, so many at most; how many."""
        ...


class MeterEvents(Protocol):
    """billing_meter_event: usage that Stripe counts once."""

    def add(self, rows: Sequence[MeterEventRow]) -> None:
        """Insert those whose identifier is not there yet."""
        ...

    def add_new(self, row: MeterEventRow) -> bool:
        """Insert an event unless its identifier is there; says whether it was inserted."""
        ...

    def get(self, identifier: str) -> MeterEventRow | None:
        """One event."""
        ...

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[MeterEventRow]:
        """Take events that wait and are due, or whose sender was lost, as `sending`, with the attempt counted."""
        ...

    def finish(
        self,
        identifier: str,
        attempts: int,
        state: MeterEventState,
        *,
        next_at: Instant,
        note: str | None,
        now: Instant,
        unsent: bool = False,
    ) -> bool:
        """Note what became of a claimed event; `next_at` of a waiting one is when it may be tried again.

        `unsent` says that no attempt so far can have reached Stripe: it is as if there had been none. False, and
        nothing changes, where it is no longer `sending` under this number of attempts: another worker took it over.
        """
        ...

    def amend(self, identifier: str, known: int, value: int) -> bool:
        """Give an event that Stripe did not count another value than the one `known`, 0 cancels it.

        Not counted is one that waits and was never sent, or was rejected. False, and nothing changes, where it is
        neither or has another value by now.
        """
        ...

    def reject(self, identifier: str, note: str) -> bool:
        """Note that Stripe did not count an event although it took it; False where that is known, or it was none."""
        ...

    def retire(self, identifier: str, note: str) -> bool:
        """Cancel a rejected or quarantined event, as another takes its place; False where it is neither."""
        ...

    def reported(self, customer_id: str, feature: str, event_name: str, since: Instant) -> int:
        """The sum of what was written down for a customer and a meter since an instant and was not canceled.

        It counts what an older snapshot of the transaction hides.
        """
        ...

    def link(self, customer_id: str, stripe_customer_id: str, now: Instant) -> int:
        """Make those that waited for their customer to be known to Stripe due at `now`; how many there were."""
        ...

    def list(self, *, state: MeterEventState | None, limit: int, after: str | None) -> Sequence[MeterEventRow]:
        """Events in the order of their identifiers."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many there are in each state."""
        ...

    def lag(self) -> tuple[int, Instant | None]:
        """How many events are not at Stripe yet, and when the oldest of them was written down."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Delete sent and canceled events of before an instant, so many at most; how many.

        Those of a period that was not over then stay: what was reported in it bounds what is taken back.
        """
        ...
