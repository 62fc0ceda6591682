"""Whose a Stripe object is."""

from __future__ import annotations

from ...domain.customers import CustomerRow
from ...domain.shapes import owner_of
from ...ports.store import Transaction
from ...ports.stripe import StripeObject


def owner(tx: Transaction, subject: StripeObject) -> CustomerRow | None:
    """Our customer that an object belongs to, also by a Stripe customer that was deleted; None where it is foreign."""
    return customer_of(tx, owner_of(subject))


def customer_of(tx: Transaction, stripe_customer_id: str | None) -> CustomerRow | None:
    """Our customer that is, or was, this one at Stripe."""
    if stripe_customer_id is None:
        return None
    current = tx.customers.by_stripe_id(stripe_customer_id)
    if current is not None:
        return current
    former = tx.stripe_customers.get(stripe_customer_id)
    return None if former is None else tx.customers.by_id(former.customer_id)
