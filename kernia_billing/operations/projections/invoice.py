"""Invoices: what was billed, and by which payment it was paid."""

from __future__ import annotations

from attrs import evolve

from ...domain.instants import Instant
from ...domain.invoices import InvoiceRow
from ...domain.reading import amount, flag, instant, members, own_id, text, whole
from ...domain.reports import Outcome
from ...domain.shapes import is_paid, payment_intents_of, subscription_of_invoice
from ...errors import InvalidInput
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..core import Core
from ..dunning import tell_recovery
from .owners import owner
from .tickets import Fetched, Projection


def invoice_row(invoice: StripeObject, customer_id: str, now: Instant) -> InvoiceRow:
    """Read a Stripe invoice.

    Raises:
        InvalidInput: it has no id or currency, an amount is no integer, or a time is beyond all time.
    """
    currency = text(invoice.get("currency"))
    if not currency:
        raise InvalidInput("must be there", field="currency")
    moments = members(invoice.get("status_transitions"))
    created = instant(invoice.get("created")) or 0
    start = instant(invoice.get("period_start"))
    end = instant(invoice.get("period_end"))
    return InvoiceRow(
        id=own_id(invoice),
        customer_id=customer_id,
        stripe_subscription_id=subscription_of_invoice(invoice),
        status=text(invoice.get("status")) or ("paid" if is_paid(invoice) else ""),
        number=text(invoice.get("number")),
        currency=currency,
        billing_reason=text(invoice.get("billing_reason")),
        collection_method=text(invoice.get("collection_method")) or "charge_automatically",
        subtotal=amount(invoice, "subtotal"),
        total=amount(invoice, "total"),
        amount_due=amount(invoice, "amount_due"),
        amount_paid=amount(invoice, "amount_paid"),
        amount_remaining=amount(invoice, "amount_remaining"),
        attempt_count=whole(invoice.get("attempt_count")) or 0,
        next_payment_attempt=instant(invoice.get("next_payment_attempt")),
        auto_advance=flag(invoice.get("auto_advance")),
        payment_intent_id=next(iter(payment_intents_of(invoice)), None),
        period_start=created if start is None else start,
        period_end=created if end is None else end,
        due_date=instant(invoice.get("due_date")),
        finalized_at=instant(moments.get("finalized_at")),
        paid_at=instant(moments.get("paid_at")),
        created_at=created,
        deleted=False,
        updated_at=now,
    )


def _known_payment(row: InvoiceRow, stored: InvoiceRow | None) -> InvoiceRow:
    """The row with the payment that was known before, where the object does not show its payments."""
    if stored is None or row.payment_intent_id is not None:
        return row
    return evolve(row, payment_intent_id=stored.payment_intent_id)


def _write(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    now = core.now()
    stored = tx.invoices.get(fetched.id)
    if fetched.body is None:
        if stored is not None and not stored.deleted:
            tx.invoices.put(evolve(stored, deleted=True, updated_at=now))
        return "gone"
    customer = owner(tx, fetched.body)
    if customer is None:
        return "unmatched"
    row = _known_payment(invoice_row(fetched.body, customer.id, now), stored)
    tx.invoices.put(row)
    tell_recovery(core, tx, customer, stored, row)
    return "applied"


def _rows(_core: Core, tx: Transaction, invoice: StripeObject) -> tuple[InvoiceRow, InvoiceRow] | None:
    stored = tx.invoices.get(own_id(invoice))
    customer = owner(tx, invoice)
    if stored is None or customer is None:
        return None
    return _known_payment(invoice_row(invoice, customer.id, stored.updated_at), stored), stored


INVOICE = Projection("invoice", _write, _rows)
"""How invoices come in."""
