"""Seats of organizations: what Stripe is to charge for, and how far that is from what it charges."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from .instants import HOUR, Instant
from .plans import Plan
from .references import Reference

SeatChangeBehavior = Literal["exact", "incremental"]
"""Whether the paid seats follow the members up and down, or only up."""

UPDATES_AN_HOUR = 100
"""Changes of one organization's seats within an hour of the clock, so that any 60 minutes see at most twice as many:
Stripe allows 200 changes of quantity an hour for a subscription (Stripe, "Rate limits")."""
MOST_SEATS = 10_000
"""What is charged for at most where a plan names no maximum."""


@frozen
class SeatRow:
    """How many members an organization has, as far as that was told, and what came of it.

    `members` is None where the host's `member_count` is to be asked. `revision` rises with everything that is told,
    `done` is the last revision that Stripe is known to agree with, `counted` what the books hold as used. `updates`
    counts the changes that were sent, ever and in the hour since `hour_start`; the next look is due at `next_at`.
    """

    customer_id: str
    members: int | None
    revision: int
    done: int
    counted: int
    updates: int
    hour_start: Instant
    hour_updates: int
    attempts: int
    next_at: Instant
    note: str | None

    @property
    def is_pending(self) -> bool:
        """Whether Stripe may still disagree."""
        return self.done < self.revision

    def free_at(self, now: Instant) -> Instant:
        """When the next change may be sent; `now` where it may at once."""
        is_full = self.hour_start == hour_of(now) and self.hour_updates >= UPDATES_AN_HOUR
        return self.hour_start + HOUR if is_full else now

    def sent_one(self, now: Instant) -> SeatRow:
        """The row once one more change is about to be sent."""
        hour = hour_of(now)
        so_far = self.hour_updates if hour == self.hour_start else 0
        return evolve(self, updates=self.updates + 1, hour_start=hour, hour_updates=so_far + 1)


def hour_of(now: Instant) -> Instant:
    """The hour of the clock that an instant lies in."""
    return now - now % HOUR


def follows_members(plan: Plan | None, reference: Reference) -> bool:
    """Whether the number of seats is that of the members: for an organization, unless its seats are bought ahead."""
    return plan is not None and plan.seats and not plan.purchased_seats and reference.type == "organization"


def wanted_seats(plan: Plan, members: int, paid: int, behavior: SeatChangeBehavior) -> int:
    """How many seats Stripe is to charge for: the members within the plan's bounds; `incremental` never gives back."""
    most = MOST_SEATS if plan.max_seats is None else plan.max_seats
    wanted = min(max(members, plan.min_seats), most)
    return max(wanted, paid) if behavior == "incremental" else wanted


def seat_limit(plan: Plan, reference: Reference, paid: int) -> int | None:
    """How many members the plan has room for, None without a limit.

    Where the seats follow the members, `max_seats` is the limit; where they are bought ahead, what was bought.
    """
    return plan.max_seats if follows_members(plan, reference) else paid
