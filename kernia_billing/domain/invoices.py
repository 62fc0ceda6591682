"""A Stripe invoice as mirrored."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant


@frozen
class InvoiceRow:
    """What is kept of an invoice of one of our customers. `id` is Stripe's.

    Amounts are whole minor units of `currency`; `total` and what follows from it are negative for a credit. `number` is
    None until the invoice is finalized. `auto_advance` says whether Stripe goes on with it by itself. `deleted` is true
    for a draft that was deleted. `updated_at` is when the row was written.
    """

    id: str
    customer_id: str
    stripe_subscription_id: str | None
    status: str
    number: str | None
    currency: str
    billing_reason: str | None
    collection_method: str
    subtotal: int
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    attempt_count: int
    next_payment_attempt: Instant | None
    auto_advance: bool
    payment_intent_id: str | None
    period_start: Instant
    period_end: Instant
    due_date: Instant | None
    finalized_at: Instant | None
    paid_at: Instant | None
    created_at: Instant
    deleted: bool
    updated_at: Instant
