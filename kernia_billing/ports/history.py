"""How things were, as the core sees it: what changed of grants and plans, and the ledger read backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..domain.grants import BucketRow, Grant, LedgerLine, UsageRow
from ..domain.history import BucketState, GrantState, PlanState, SetAside
from ..domain.holds import HoldRow
from ..domain.ids import Property
from ..domain.instants import Instant
from ..domain.references import Reference


class History(Protocol):
    """billing_entitlement_change and billing_customer_change, and the ledger of one customer backwards."""

    def put_grant(self, state: GrantState) -> None:
        """Note the state that a write left a grant in; of several within one write the last one counts."""
        ...

    def put_plan(self, state: PlanState) -> None:
        """Note the plan that a write left a customer with; of several within one write the last one counts."""
        ...

    def put_bucket(self, state: BucketState) -> None:
        """Note where a write let the usage of a bucket count, and what it owes; of several the last one counts."""
        ...

    def grants(self, customer_id: str, features: Sequence[str]) -> Sequence[Grant]:
        """Every grant of these features that there ever was, as it is now, oldest first."""
        ...

    def grant_states(self, customer_id: str) -> Sequence[GrantState]:
        """Every noted state of the customer's grants, oldest first."""
        ...

    def plan_states(self, customer_id: str) -> Sequence[PlanState]:
        """Every noted plan of the customer, oldest first."""
        ...

    def buckets(self, grant_ids: Sequence[str], at: Instant) -> Sequence[BucketRow]:
        """The stored buckets of these grants whose period an instant lies in, as they are now."""
        ...

    def bucket_states(self, bucket_id: str) -> Sequence[BucketState]:
        """Every noted state of a bucket, oldest first."""
        ...

    def moved_from(self, customer_id: str, seq: int) -> LedgerLine | None:
        """The first line of the write `seq`, or of the next one that moved anything at a time that was noted."""
        ...

    def last_line(self, customer_id: str, bucket_id: str, seq: int) -> LedgerLine | None:
        """The last line of a bucket up to the write `seq`."""
        ...

    def lapses(self, customer_id: str, at: Instant) -> Sequence[tuple[str, Instant, int]]:
        """What holds held on paper at an instant whose time had come: bucket, when it was free again, and how much."""
        ...

    def holds(self, customer_id: str, features: Sequence[str], at: Instant) -> Sequence[HoldRow]:
        """The holds of these features that counted at an instant, the first to end first."""
        ...

    def set_aside(self, customer_id: str, feature: str, since: Instant, until: Instant) -> Sequence[SetAside]:
        """The holds that were made from an instant to another, those that took something of a feature."""
        ...

    def overdrawn(self, customer_id: str, feature: str, start: Instant, end: Instant) -> int:
        """What uses with start ≤ moved_at < end drew below zero of credits, less what came back of it then."""
        ...

    def versions(self, plan_key: str, by: Instant) -> Sequence[str]:
        """The ids of the versions of a plan that were stored by an instant, newest first."""
        ...

    def last_uses(
        self, customer_id: str, features: Sequence[str], seq: int, received_by: Instant, limit: int
    ) -> Sequence[UsageRow]:
        """The last uses of these features up to the write `seq` that were recorded by an instant, newest first."""
        ...

    def next_uses(self, customer_id: str, after: int, limit: int) -> Sequence[UsageRow]:
        """The uses after the write `after`, in the order of the writes, so many at most."""
        ...

    def export(
        self,
        *,
        customer_id: str | None,
        feature: str | None,
        properties: Mapping[str, Property] | None,
        start: Instant,
        end: Instant,
        after: tuple[str, int],
        limit: int,
    ) -> Sequence[tuple[Reference, UsageRow]]:
        """Uses with start ≤ occurred_at < end, of one customer or of all, from just after a customer's id and write.

        With `properties`, those that have all of these.
        """
        ...

    def sums(
        self,
        customer_id: str,
        feature: str,
        start: Instant,
        end: Instant,
        grain: int,
        property: str | None,
        limit: int,
    ) -> Sequence[tuple[Instant, str | None, int]]:
        """What was used of a feature with start ≤ occurred_at < end, less what was refunded of it.

        Summed over every `grain` microseconds since 1970, and every value of a property, which comes as JSON, None
        where an event has none. At most so many sums.
        """
        ...
