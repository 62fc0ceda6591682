"""What was given (grants), one period of it (buckets), what moved (ledger lines), what happened (usage events)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import evolve, frozen

from .buckets import Bucket, Kind, rescale
from .ids import Property
from .instants import FOREVER, Instant
from .period import Interval, Period, Rhythm, boundary, period_at
from .rollover import lose_at
from .terms import Terms, terms_of
from .values import value

Source = Literal["plan", "default", "manual", "top_up", "carry", "rollover", "trial", "override", "credit_min"]
"""What gave a grant. `carry` and `rollover` are units that moved on from another grant, in a grant of their own;
`credit_min` says how low a balance of credits may get.

A `trial` and an `override` say what others include instead, for as long as they last: what is used is counted where it
always was, so that nothing has to be moved when they begin or end.
"""
Entry = Literal[
    "open", "use", "return", "refund", "carry", "amend", "hold", "settle", "release", "expire", "roll", "void"
]

DEFAULT_PRIORITY = 50


@frozen
class Grant:
    """Says what a customer was given of a feature, and in what rhythm.

    `amount` is None where there is no limit. Unique by (customer, source_type, source_id, feature, entity, kind):
    giving the same thing twice is one grant. It counts from `effective_at` until the earlier of `expires_at`, which
    follows the subscription's state, and `closed_at`, which is set when something else took its place. `terms` is the
    stored form of its `Terms`.
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
    terms: str | None = None

    @property
    def rules(self) -> Terms:
        """Its terms: rollover, debt, limits, alerts, how low credits may get."""
        return terms_of(self.terms)

    @property
    def rhythm(self) -> Rhythm | None:
        """Its row of periods, None where it never resets."""
        return None if self.interval is None else Rhythm(self.anchor_at, self.interval)

    @property
    def parent(self) -> str:
        """The id of the grant that rollover units come from."""
        return self.source_id.partition(":")[0]

    def is_live(self, now: Instant) -> bool:
        """Whether it counts at `now`."""
        return self.effective_at <= now < self.expires_at and now < self.closed_at

    def period(self, now: Instant) -> Period:
        """The period that `now` lies in; a grant that never resets has one period for ever."""
        if self.interval is None:
            return Period(0, self.effective_at, FOREVER)
        return period_at(self.anchor_at, now, self.interval)

    def is_period(self, number: int, now: Instant) -> bool:
        """Whether `now` lies in the period of that number."""
        if self.interval is None:
            return number == 0
        begins = boundary(self.anchor_at, number, self.interval)
        return begins <= now < boundary(self.anchor_at, number + 1, self.interval)


def single_period(
    feature: str,
    source_type: Source,
    source_id: str,
    amount: int | None,
    now: Instant,
    *,
    kind: Kind = "grant",
    entity: str = "",
    category: int = 1,
    expires_at: Instant = FOREVER,
    terms: str | None = None,
) -> Grant:
    """A grant that is not stored yet, from now on in one period: that ends when the grant expires."""
    return Grant(
        id="",
        customer_id="",
        feature=feature,
        entity=entity,
        kind=kind,
        source_type=source_type,
        source_id=source_id,
        category=category,
        amount=amount,
        priority=DEFAULT_PRIORITY,
        effective_at=now,
        expires_at=expires_at,
        closed_at=FOREVER,
        interval=None,
        anchor_at=now,
        meter=None,
        created_seq=0,
        terms=terms,
    )


@value
class BucketRow:
    """One period of one grant, as stored.

    `heir_id` is the bucket that its usage moved to when another plan took over, "" for none. `owed` is what the next
    period starts with as used. `own` is the amount without what was used beyond it under an override, None where that
    is the amount itself.
    """

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
    heir_id: str = ""
    owed: int = 0
    own: int | None = None

    def moved(self, used: int, held: int, amount: int | None, own: int | None) -> BucketRow:
        """The row after what is used and held of it rose by so much, including `amount` then, `own` of it its own."""
        return BucketRow(
            self.id,
            self.grant_id,
            self.customer_id,
            self.feature,
            self.entity,
            self.period_no,
            self.period_start,
            self.period_end,
            amount,
            self.used + used,
            self.held + held,
            self.closed_at,
            self.heir_id,
            self.owed,
            own,
        )

    def including(self, amount: int | None) -> BucketRow:
        """The row with another amount of its own, and room for what is used and held of it beyond that."""
        taken = self.used + self.held
        if amount is None or taken <= amount:
            return evolve(self, amount=amount, own=None)
        return evolve(self, amount=taken, own=amount)


@value
class Instead:
    """What a holding includes instead of what its bucket says: as `grant`, a trial or an override, wants it.

    `amount` is None where there is no limit.
    """

    grant: Grant
    amount: int | None


@value
class Holding:
    """A live grant with its current bucket. `opened` is false while the bucket exists in thought only.

    `limited` are the overrides of usage limits that the grant may bring.
    """

    grant: Grant
    bucket: BucketRow
    opened: bool
    instead: Instead | None = None
    limited: Sequence[Grant] = ()

    @property
    def amount(self) -> int | None:
        """How much it includes now, never less than is used and held; None where there is no limit."""
        bucket, instead = self.bucket, self.instead
        if instead is not None:
            return rescale(instead.amount, bucket.used, bucket.held)
        # A hold whose time has come may be what went beyond it.
        return bucket.amount if bucket.own is None else rescale(bucket.own, bucket.used, bucket.held)

    @property
    def source(self) -> Source:
        """What says how much it includes."""
        return self.grant.source_type if self.instead is None else self.instead.grant.source_type

    def as_bucket(self) -> Bucket:
        """The view that the planner works on."""
        grant, bucket = self.grant, self.bucket
        return Bucket(
            bucket.id,
            grant.id,
            grant.feature,
            grant.entity,
            self.amount,
            bucket.used,
            bucket.held,
            grant.priority,
            self._lose_at() if self.instead is None else min(self._lose_at(), self.instead.grant.expires_at),
            grant.category,
            grant.kind,
            grant.effective_at,
            grant.created_seq,
        )

    def _lose_at(self) -> Instant:
        grant = self.grant
        rule = None if grant.terms is None or grant.kind != "grant" else grant.rules.rollover
        rhythm = None if rule is None else grant.rhythm
        if rule is None or rhythm is None:
            return min(self.bucket.period_end, grant.expires_at)
        return lose_at(rhythm, self.bucket.period_no, rule, grant.expires_at)


def holding(grant: Grant, bucket: BucketRow | None, now: Instant) -> Holding:
    """The grant with the bucket of the period at `now`: the stored one if it is that, else a full one in thought."""
    if bucket is not None and grant.is_period(bucket.period_no, now):
        return Holding(grant, bucket, True)
    period = grant.period(now)
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


@value
class LedgerLine:
    """One movement on one bucket. Append only.

    `amount` is by how much `used` rose or fell, `held` the same of what is held: each of the two adds up, over all the
    lines of a bucket, to what the bucket has now. `units` are those of the feature asked for that the line pays, or
    gives back; they differ from the amount where credits pay. `included_after` is the bucket's amount, None without
    limit.
    """

    customer_id: str
    seq: int
    line: int
    bucket_id: str
    entry: Entry
    amount: int
    used_after: int
    event_id: str
    units: int = 0
    held: int = 0
    held_after: int = 0
    included_after: int | None = None
    moved_at: Instant = 0


@frozen
class Movement:
    """A line of the ledger with what it is about.

    `properties` are those of the use that it was for, None where it was for none.
    """

    line: LedgerLine
    source: Source
    grant_id: str
    feature: str
    entity: str
    properties: Mapping[str, Property] | None


@value
class UsageRow:
    """One use, as stored. `result` is the receipt that a repeated call with the same key gets again.

    `refund_of` is the use that it gives back, `hold_id` the hold that it settles, "" for none; `refunded` how much of
    what was funded came back by refunds.
    """

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
    properties: Mapping[str, Property]
    idempotency_key: str
    fingerprint: str
    result: Mapping[str, object]
    refund_of: str = ""
    hold_id: str = ""
    refunded: int = 0
