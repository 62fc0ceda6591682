"""A checkout session that we opened."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from .instants import Instant
from .plans import BillingInterval

CheckoutStatus = Literal["open", "processing", "complete", "expired"]


@frozen
class CheckoutRow:
    """One row a Stripe checkout session of ours; a customer has at most one open one per plan group.

    `fingerprint` is the intent: plan, prices, seats and addresses. `subscription_id` is the local id that the
    subscription bought in it will have. `stripe_session_id` and `url` are None between the intent and Stripe's answer.
    """

    id: str
    customer_id: str
    group: str
    plan: str
    interval: BillingInterval
    seats: int
    fingerprint: str
    subscription_id: str
    status: CheckoutStatus
    stripe_session_id: str | None
    url: str | None
    expires_at: Instant
    created_at: Instant

    @property
    def slot(self) -> str:
        """What there is one open page of: the plan group."""
        return self.group
