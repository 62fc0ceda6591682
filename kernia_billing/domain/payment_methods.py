"""A Stripe payment method as mirrored: enough to show it, nothing that could charge it."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant


@frozen
class PaymentMethodRow:
    """What is kept of a payment method of one of our customers. `id` is Stripe's.

    Brand, last four digits and expiry are None where its `type` has none. A `detached` one can never be used again.
    """

    id: str
    customer_id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    created_at: Instant
    detached: bool
    updated_at: Instant
