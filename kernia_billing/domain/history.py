"""How things were: the states that grants and plans of customers went through, by the sequence of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from attrs import evolve, frozen

from .grants import BucketRow, Grant, LedgerLine
from .holds import HoldRow
from .instants import FOREVER, Instant


@frozen
class GrantState:
    """What may change of a grant, as it was from the write `seq` on. `changed_at` is 0 where nobody noted it."""

    grant_id: str
    seq: int
    customer_id: str
    changed_at: Instant
    source_id: str
    amount: int | None
    priority: int
    expires_at: Instant
    closed_at: Instant
    anchor_at: Instant
    meter: str | None
    terms: str | None

    @classmethod
    def of(cls, grant: Grant, seq: int, now: Instant) -> GrantState:
        """The state of a grant that is written now."""
        return cls(
            grant_id=grant.id,
            seq=seq,
            customer_id=grant.customer_id,
            changed_at=now,
            source_id=grant.source_id,
            amount=grant.amount,
            priority=grant.priority,
            expires_at=grant.expires_at,
            closed_at=grant.closed_at,
            anchor_at=grant.anchor_at,
            meter=grant.meter,
            terms=grant.terms,
        )

    def applied(self, grant: Grant) -> Grant:
        """The grant as it was in this state."""
        return evolve(
            grant,
            source_id=self.source_id,
            amount=self.amount,
            priority=self.priority,
            expires_at=self.expires_at,
            closed_at=self.closed_at,
            anchor_at=self.anchor_at,
            meter=self.meter,
            terms=self.terms,
        )


@frozen
class PlanState:
    """The plan that a customer had from the write `seq` on. `changed_at` is 0 where nobody noted it."""

    customer_id: str
    seq: int
    changed_at: Instant
    plan: str | None
    plan_until: Instant


@frozen
class BucketState:
    """Where the usage of a bucket had moved to from the write `seq` on, and what it owed."""

    bucket_id: str
    seq: int
    heir_id: str = ""
    owed: int = 0


@frozen
class SetAside:
    """A hold and how much it took of a feature: units where that is held itself, credits where it pays.

    `made_by` and `released_by` are the writes that did so, None where nothing moved, or it was not released.
    """

    hold: HoldRow
    amount: int
    made_by: int | None
    released_by: int | None


State = TypeVar("State", GrantState, PlanState, BucketState)


def state_at(states: Iterable[State], seq: int) -> State | None:
    """The state that the write `seq` left, None where none was noted by then."""
    return max((each for each in states if each.seq <= seq), key=lambda each: each.seq, default=None)


def bucket_at(bucket: BucketRow, line: LedgerLine, states: Iterable[BucketState]) -> BucketRow:
    """The bucket as a line of the ledger left it. It counts whenever its grant does."""
    state = state_at(states, line.seq) or BucketState(bucket.id, 0)
    return evolve(
        bucket,
        amount=line.included_after,
        used=line.used_after,
        held=line.held_after,
        closed_at=FOREVER,
        heir_id=state.heir_id,
        owed=state.owed,
    )
