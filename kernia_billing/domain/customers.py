"""The billed customer as stored."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant
from .references import Reference


@frozen
class CustomerRow:
    """One row a reference. It is the lock of everything counted for it, and gives the sequence of its ledger.

    `config_epoch` rises with every change of what the customer has. `plan` is the plan that is live until
    `plan_until`; later, or where it is None, the default plan holds.
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

    def has_plan(self, now: Instant) -> bool:
        """Whether a subscription gives a plan at `now`."""
        return self.plan is not None and now < self.plan_until
