"""How our customers look at Stripe."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant


@frozen
class StripeCustomerRow:
    """A Stripe customer that is, or was, one of ours. `id` is Stripe's, `customer_id` is ours.

    `balance` is in minor units of `currency`: negative is credit for the next invoice, positive is owed (Stripe,
    "Customer credit balance"). `delinquent` means that its latest charge failed or its latest invoice is overdue.
    """

    id: str
    customer_id: str
    deleted: bool
    delinquent: bool
    balance: int
    currency: str | None
    default_payment_method_id: str | None
    created_at: Instant
    updated_at: Instant
