"""What was given (grants), one period of it (buckets), what moved (ledger lines), what happened (usage events)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from .buckets import Bucket, Kind
from .instants import FOREVER, Instant
from .period import Interval, Period, period_at

Source = Literal["plan", "default", "manual"]
Entry = Literal["open", "use", "return", "carry", "amend"]


@frozen
class Grant:
    """Says what a customer was given of a feature, and in what rhythm.

    `amount` is None where there is no limit. Unique by (customer, source_type, source_id, feature, entity, kind):
    giving the same thing twice is one grant. It counts from `effective_at` until the earlier of `expires_at`, which
    follows the subscription's state, and `closed_at`, which is set when something else took its place.
    """

    id: str
    customer_id: str
    feature: str
    entity: str
    kind: Kind
    source_type: Source
    source_id: str
    category: int
    amount: int | None
    priority: int
    effective_at: Instant
    expires_at: Instant
    closed_at: Instant
    interval: Interval | None
    anchor_at: Instant
    meter: str | None
    created_seq: int

    def is_live(self, now: Instant) -> bool:
        """Whether it counts at `now`."""
        return self.effective_at <= now < min(self.expires_at, self.closed_at)

    def period(self, now: Instant) -> Period:
        """The period that `now` lies in; a grant that never resets has one period for ever."""
        if self.interval is None:
            return Period(0, self.effective_at, FOREVER)
        return period_at(self.anchor_at, now, self.interval)


@frozen
class BucketRow:
    """One period of one grant, as stored."""

    id: str
    grant_id: str
    customer_id: str
    feature: str
    entity: str
    period_no: int
    period_start: Instant
    period_end: Instant
    amount: int | None
    used: int
    held: int
    closed_at: Instant


@frozen
class Holding:
    """A live grant with its current bucket. `opened` is false while the bucket exists in thought only."""

    grant: Grant
    bucket: BucketRow
    opened: bool

    def as_bucket(self) -> Bucket:
        """The view that the planner works on."""
        grant, bucket = self.grant, self.bucket
        return Bucket(
            id=bucket.id,
            grant_id=grant.id,
            feature=grant.feature,
            entity=grant.entity,
            amount=bucket.amount,
            used=bucket.used,
            held=bucket.held,
            priority=grant.priority,
            lose_at=min(bucket.period_end, grant.expires_at),
            category=grant.category,
            kind=grant.kind,
            effective_at=grant.effective_at,
            seq=grant.created_seq,
        )


def holding(grant: Grant, bucket: BucketRow | None, now: Instant) -> Holding:
    """The grant with the bucket of the period at `now`: the stored one if it is that, else a full one in thought."""
    period = grant.period(now)
    if bucket is not None and bucket.period_no == period.number:
        return Holding(grant, bucket, opened=True)
    full = BucketRow(
        id=f"{grant.id}:{period.number}",
        grant_id=grant.id,
        customer_id=grant.customer_id,
        feature=grant.feature,
        entity=grant.entity,
        period_no=period.number,
        period_start=period.start,
        period_end=period.end,
        amount=grant.amount,
        used=0,
        held=0,
        closed_at=FOREVER,
    )
    return Holding(grant, full, opened=False)


@frozen
class LedgerLine:
    """One movement on one bucket. Append only; the sum of `use`, `return` and `carry` of a bucket is its `used`."""

    customer_id: str
    seq: int
    line: int
    bucket_id: str
    entry: Entry
    amount: int
    used_after: int
    event_id: str


@frozen
class UsageRow:
    """One use, as stored. `result` is the receipt that a repeated call with the same key gets again."""

    id: str
    customer_id: str
    seq: int
    feature: str
    entity: str
    quantity: int
    funded: int
    unfunded: int
    mode: str
    occurred_at: Instant
    received_at: Instant
    properties: Mapping[str, str | int | bool]
    idempotency_key: str
    fingerprint: str
    result: Mapping[str, object]
