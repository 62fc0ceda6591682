"""What comes in and what goes out, as the core sees it: webhooks, tickets, events, calls to Stripe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from ..domain.instants import Instant
from ..domain.outbound import IntentRow, IntentState, OutboxRow
from ..domain.webhooks import InboxHealth, InboxRow, InboxStatus
from .mirror import Position


class Inbox(Protocol):
    """billing_webhook_event."""

    def add(self, row: InboxRow) -> bool:
        """Insert unless the event is there already; says whether it was inserted."""
        ...

    def get(self, account: str, event_id: str) -> InboxRow | None:
        """One event."""
        ...

    def claim(self, account: str, event_id: str, now: Instant, lease_until: Instant) -> InboxRow | None:
        """Take a received, failed or abandoned event to work on; None where another worker has it or it is done."""
        ...

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
        ...

    def due(self, now: Instant, limit: int) -> Sequence[InboxRow]:
        """Events that wait to be worked on, oldest first."""
        ...

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
        ...

    def unmatched_of(self, stripe_customer_id: str, limit: int) -> Sequence[InboxRow]:
        """Events of a Stripe customer that was nobody's when they came, oldest first."""
        ...

    def requeue(self, account: str, event_id: str, now: Instant) -> bool:
        """Let an event be worked on again, from `now` on and with no attempt made.

        False where it waits or is worked on already, or is not there.
        """
        ...

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those of these events of our own account that are stored, in one statement."""
        ...

    def waiting(self) -> int:
        """How many still have to be worked on."""
        ...

    def health(self, now: Instant) -> InboxHealth:
        """How webhooks are doing."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest processed and ignored events received before an instant, so many at most; how many."""
        ...


class Objects(Protocol):
    """billing_stripe_object: the tickets that keep old news from overwriting newer."""

    def take_ticket(self, kind: str, stripe_id: str) -> int:
        """A number greater than every one given out for this object."""
        ...

    def applied(self, kind: str, stripe_id: str) -> int:
        """The ticket of the state that is stored, 0 before the first. Holds the object until the transaction ends."""
        ...

    def apply(self, kind: str, stripe_id: str, ticket: int, *, deleted: bool, now: Instant) -> None:
        """Note that the state fetched under this ticket is stored; `deleted` makes it a tombstone."""
        ...

    def tickets(self, kind: str, stripe_ids: Sequence[str]) -> Mapping[str, tuple[int, int, bool]]:
        """For those of these objects that were ever fetched: the last ticket given out, the one applied, deleted.

        A plain read, in one statement.
        """
        ...

    def first_tickets(self, kind: str, stripe_ids: Sequence[str]) -> set[str]:
        """Take a ticket for each of these objects, and give those whose first one it is, in two statements.

        Nobody ever fetched these, so that a state read before may be written. They are held until the transaction
        ends; `apply_first` notes that it was.
        """
        ...

    def apply_first(self, kind: str, stripe_ids: Sequence[str], now: Instant) -> None:
        """`apply` for objects whose first ticket was taken in this transaction, in one statement."""
        ...

    def check(self, kind: str, stripe_ids: Sequence[str], now: Instant) -> None:
        """Note that these were seen at Stripe as they are stored, in one statement."""
        ...

    def stale(self, kind: str, before: Instant, limit: int) -> Sequence[str]:
        """Stored objects that nobody compared with Stripe since an instant, the longest unseen first; no tombstones."""
        ...


class Outbox(Protocol):
    """billing_outbox."""

    def add(self, rows: Iterable[OutboxRow]) -> None:
        """Insert events to send after the commit."""
        ...

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Take unsent events, oldest first, in the order of their customers."""
        ...

    def sent(self, outbox_id: str, now: Instant, *, attempts: int) -> bool:
        """Note that everybody has received an event that was claimed with so many attempts.

        False, and nothing changes, where another worker took it over.
        """
        ...

    def settle(self, outbox_ids: Sequence[str], now: Instant) -> None:
        """Note that events are sent, in the transaction that claims them and in one statement."""
        ...

    def failed(self, outbox_id: str, retry_at: Instant, *, attempts: int) -> bool:
        """Note that it has to be sent again; the same."""
        ...

    def lag(self, now: Instant) -> tuple[int, Instant | None]:
        """How many events written up to `now` are not sent yet, and when the oldest of them was written."""
        ...

    def prune(self, before: Instant, limit: int, *, bus: bool = False) -> int:
        """Delete the events that were sent first, those sent before an instant, so many at most; how many.

        With a `bus` those only that it took before that, too.
        """
        ...


class BusEvents(Protocol):
    """The same billing_outbox, as the bus sees it: with attempts of its own, so that no hook holds it up."""

    def claim(self, now: Instant, lease_until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Take events that are not on the bus yet, oldest first, in the order of their customers.

        `attempts` are those of the bus. What was written before anybody ever claimed for a bus stays where it is.
        """
        ...

    def published(self, outbox_id: str, now: Instant, *, attempts: int) -> bool:
        """Note that the bus has an event that was claimed with so many attempts.

        False, and nothing changes, where another worker took it over.
        """
        ...

    def failed(self, outbox_id: str, retry_at: Instant, *, attempts: int) -> bool:
        """Note that it has to be published again; the same."""
        ...

    def lag(self, now: Instant) -> tuple[int, Instant | None]:
        """How many events written up to `now` are not on the bus yet, and when the oldest of them was written."""
        ...

    def waiting(self, until: Instant, limit: int) -> Sequence[OutboxRow]:
        """Those of them, the first in their order: so many at most, and none is taken."""
        ...

    def number(self, events: Sequence[tuple[OutboxRow, int]], now: Instant) -> None:
        """Give events their places at the end of their lanes, once, and wake up whoever listens.

        One that is not stored yet is, as one that no hook has to hear of.
        """
        ...

    def after(self, lane: int, seq: int) -> tuple[int, OutboxRow] | None:
        """The first event of a lane beyond a place, with its own."""
        ...

    def bury(self, event: OutboxRow, topic: str, now: Instant) -> None:
        """Keep a copy of an event under another topic, for nobody to be sent."""
        ...

    def buried(self, topic: str, limit: int) -> Sequence[OutboxRow]:
        """The copies that are kept under a topic, oldest first."""
        ...


class Intents(Protocol):
    """billing_intent."""

    def get(self, key: str) -> IntentRow | None:
        """One intent."""
        ...

    def add(self, row: IntentRow) -> IntentRow:
        """Insert, and give what is stored under the key: the older one where there is one."""
        ...

    def finish(self, key: str, state: IntentState, stripe_id: str | None) -> None:
        """Note what became of it; the parameters of one that is done or has failed are forgotten.

        They may name a person, and nobody sends them any more.
        """
        ...

    def unfinished(self, before: Instant, limit: int) -> Sequence[IntentRow]:
        """Pending intents written before an instant, oldest first."""
        ...

    def parked(self, before: Instant, limit: int) -> Sequence[IntentRow]:
        """Parked intents written before an instant whose parameters are not forgotten, oldest first."""
        ...

    def forget(self, key: str) -> None:
        """Throw the parameters of an intent away: they may name a person."""
        ...

    def remove(self, key: str) -> None:
        """Delete an intent that was not carried out and never will be under this key."""
        ...
