"""Payments that failed: what hooks hear of each attempt, once, and of the payment that came after all.

Stripe's own events are sent at least once and in any order, so each attempt is told of by what the invoice says when
it is looked at: an event that comes late, for an invoice that was paid meanwhile, tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..domain.customers import CustomerRow
from ..domain.instants import DAY
from ..domain.invoices import InvoiceRow
from ..domain.reading import text
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .outbox import event

FAILED = "dunning.payment_failed"
ACTION = "dunning.action_required"
RECOVERED = "dunning.recovered"
NEWS: Mapping[str, str] = {"invoice.payment_failed": FAILED, "invoice.payment_action_required": ACTION}
"""What is told of because of which event of Stripe's."""
_UNPAID = ("open", "uncollectible")
_REMEMBERED = 400 * DAY
"""So long an attempt is not told of again: longer than Stripe tries, and than anybody replays its events."""


def tell_attempt(core: Core, tx: Transaction, kind: str, invoice: StripeObject) -> None:
    """Tell of the failed attempt that an invoice stands at, unless that was done.

    The first invoice of a subscription is paid or given up by the person who buys: nobody has to be reminded of it.
    """
    row = tx.invoices.get(str(invoice.get("id")))
    customer = None if row is None else tx.customers.by_id(row.customer_id)
    if row is None or customer is None or row.status not in _UNPAID or row.attempt_count < 1:
        return
    if row.billing_reason == "subscription_create":
        return
    now = core.now()
    if tx.notices.add(kind, row.id, str(row.attempt_count), now=now, until=now + _REMEMBERED):
        is_final = row.next_payment_attempt is None or row.attempt_count >= core.dunning_final_attempt
        facts = _facts(tx, row, "final" if is_final else "retry", text(invoice.get("hosted_invoice_url")))
        tx.outbox.add([event(core, customer, kind, now, data=facts)])


def tell_recovery(
    core: Core, tx: Transaction, customer: CustomerRow, before: InvoiceRow | None, row: InvoiceRow
) -> None:
    """Tell that an invoice was paid after all, once, where hooks were told that it was not."""
    if before is None or before.status not in _UNPAID or row.status != "paid" or row.attempt_count < 1:
        return
    now = core.now()
    if not (tx.notices.told(FAILED, row.id) or tx.notices.told(ACTION, row.id)):
        return
    if tx.notices.add(RECOVERED, row.id, "", now=now, until=now + _REMEMBERED):
        tx.outbox.add([event(core, customer, RECOVERED, now, data=_facts(tx, row, None, None))])


def _facts(tx: Transaction, row: InvoiceRow, stage: str | None, hosted_url: str | None) -> dict[str, Any]:
    sold = None if row.stripe_subscription_id is None else tx.subscriptions.by_stripe_id(row.stripe_subscription_id)
    return {
        "invoice_id": row.id,
        "number": row.number,
        "attempt": row.attempt_count,
        "stage": stage,
        "next_attempt_at": None if stage is None else row.next_payment_attempt,
        "amount_due": [row.amount_remaining if stage is not None else row.amount_paid, row.currency],
        "hosted_url": hosted_url,
        "subscription_id": None if sold is None else sold.id,
    }
