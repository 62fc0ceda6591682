"""A Stripe subscription schedule as mirrored."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant


@frozen
class SchedulePhase:
    """What is sold from `start` to `end` (None: without end): prices, and beside each its quantity.

    A quantity is None for a metered price, which has none. `plan` is the plan that its metadata names.
    """

    start: Instant
    end: Instant | None
    price_ids: tuple[str, ...]
    quantities: tuple[int | None, ...]
    plan: str | None = None


@frozen
class ScheduleRow:
    """What is kept of a schedule of one of our customers. `id` is Stripe's.

    `stripe_subscription_id` is None before it starts and after it was released. `phase_start` and `phase_end` bound the
    phase that is under way, None where none is. `deleted` is true where Stripe no longer has it.
    """

    id: str
    customer_id: str
    stripe_subscription_id: str | None
    status: str
    phase_start: Instant | None
    phase_end: Instant | None
    end_behavior: str
    phases: tuple[SchedulePhase, ...]
    created_at: Instant
    deleted: bool
    updated_at: Instant
