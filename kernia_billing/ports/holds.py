"""What is set aside for work that has begun, as the core sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.buckets import Draw
from ..domain.holds import Hold, HoldRow
from ..domain.instants import Instant
from ..domain.references import Reference


class Holds(Protocol):
    """billing_hold and billing_hold_line. A hold has lines for what it holds still: none when it has ended."""

    def by_key(self, reference: Reference, idempotency_key: str) -> HoldRow | None:
        """The hold that a key was used for: a plain read that takes no lock."""
        ...

    def by_key_locked(self, customer_id: str, idempotency_key: str) -> HoldRow | None:
        """The same by a locking read, which sees what an older snapshot hides."""
        ...

    def of_reference(self, reference: Reference, hold_id: str) -> HoldRow | None:
        """A hold of a reference: a plain read that takes no lock."""
        ...

    def get(self, customer_id: str, hold_id: str) -> Hold | None:
        """A hold of a customer whose row is locked, with its lines."""
        ...

    def lapsed(self, customer_id: str, until: Instant) -> Sequence[Hold]:
        """Open holds of a customer whose row is locked that end at an instant or before, the first to end first."""
        ...

    def overdue(self, until: Instant, limit: int) -> Sequence[str]:
        """The ids of customers with open holds that end at an instant or before, so many at most."""
        ...

    def next_end(self, customer_id: str, after: Instant) -> Instant:
        """When the first open hold of a customer ends that ends after an instant, `FOREVER` where there is none.

        A plain read that takes no lock.
        """
        ...

    def add(self, row: HoldRow, lines: Sequence[Draw]) -> None:
        """Insert. Raises `DuplicateKey` where the customer used the key for another hold."""
        ...

    def put(self, hold: Hold, ended_at: Instant) -> None:
        """Overwrite status, what is left, and the lines."""
        ...

    def move(self, bucket_id: str, heir_id: str) -> None:
        """Let what is held of a bucket be held of another one from now on."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Delete the oldest holds that ended before an instant, so many at most; how many."""
        ...
