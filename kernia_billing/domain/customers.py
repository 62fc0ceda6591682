"""The billed customer as stored."""

from __future__ import annotations

from attrs import frozen

from .instants import MINUTE, Instant
from .references import Reference
from .values import value

MOST_APART = 5 * MINUTE
"""So far the clocks of two machines may be apart: further, and Stripe's signatures are refused on one of them."""


@frozen
class NewCustomer:
    """Who is about to become a customer at Stripe."""

    reference: Reference
    email: str | None
    name: str | None


@value
class CustomerRow:
    """One row a reference. It is the lock of everything counted for it, and gives the sequence of its ledger.

    `config_epoch` rises with every change of what the customer has. `plan` is the plan that is live until
    `plan_until`; later, or where it is None, the default plan holds. `written_at` is the time of the last write in
    its books.
    """

    id: str
    reference: Reference
    stripe_customer_id: str | None
    email: str | None
    name: str | None
    ledger_seq: int
    config_epoch: int
    plan: str | None
    plan_until: Instant
    created_at: Instant
    written_at: Instant = 0

    def time(self, now: Instant) -> Instant:
        """What time it is in its books where a clock shows `now`: never earlier than somebody's last write.

        A period that one process has opened has begun for all of them, whatever their clocks show. A last write more
        than `MOST_APART` ahead was made by a clock that was wrong, which nobody has to wait for.
        """
        return self.written_at if now < self.written_at <= now + MOST_APART else now

    def at(self, ledger_seq: int) -> CustomerRow:
        """The row when its sequence is this one."""
        return CustomerRow(
            self.id,
            self.reference,
            self.stripe_customer_id,
            self.email,
            self.name,
            ledger_seq,
            self.config_epoch,
            self.plan,
            self.plan_until,
            self.created_at,
            self.written_at,
        )

    def has_plan(self, now: Instant) -> bool:
        """Whether a subscription gives a plan at `now`."""
        return self.plan is not None and now < self.plan_until
