"""Charges, refunds, disputes and credit notes: what is told of them, for whoever has to act on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .reading import Json, flag, id_of, members, text, whole
from .shapes import invoice_of, owner_of, refunds_of_credit_note

Facts = dict[str, object]
"""JSON: ids, amounts in minor units of `currency`, and Stripe's own words for state and reason."""


def _charge(charge: Json) -> Facts:
    return {
        "charge": id_of(charge),
        "amount_captured": whole(charge.get("amount_captured")),
        "amount_refunded": whole(charge.get("amount_refunded")),
        "refunded": flag(charge.get("refunded")),
        "reason": text(charge.get("failure_code")),
    }


def _payment_intent(intent: Json) -> Facts:
    return {
        "payment_intent": id_of(intent),
        "charge": id_of(intent.get("latest_charge")),
        "amount_received": whole(intent.get("amount_received")),
        "reason": text(intent.get("cancellation_reason"))
        or text(members(intent.get("last_payment_error")).get("code")),
    }


def _refund(refund: Json) -> Facts:
    return {"refund": id_of(refund), "reason": text(refund.get("reason"))}


def _dispute(dispute: Json) -> Facts:
    return {
        "dispute": id_of(dispute),
        "reason": text(dispute.get("reason")),
        "evidence_due_by": whole(members(dispute.get("evidence_details")).get("due_by")),
    }


def _credit_note(note: Json) -> Facts:
    return {
        "credit_note": id_of(note),
        "reason": text(note.get("reason")),
        "refunds": list(refunds_of_credit_note(note)),
    }


_READERS: Mapping[str, Callable[[Json], Facts]] = {
    "charge": _charge,
    "credit_note": _credit_note,
    "dispute": _dispute,
    "payment_intent": _payment_intent,
    "refund": _refund,
}


def payment_facts(subject: Json) -> Facts:
    """The facts of a charge, payment intent, refund, dispute or credit note; empty for everything else.

    Always `customer`, `invoice`, `payment_intent`, `charge`, `amount`, `currency`, `status` and `reason`, None where
    the object does not say it; `evidence_due_by` of a dispute is a Unix time in seconds.
    """
    read = _READERS.get(text(subject.get("object")) or "")
    if read is None:
        return {}
    return {
        "customer": owner_of(subject),
        "invoice": invoice_of(subject),
        "payment_intent": id_of(subject.get("payment_intent")),
        "charge": id_of(subject.get("charge")),
        "amount": whole(subject.get("amount")),
        "currency": text(subject.get("currency")),
        "status": text(subject.get("status")),
        **read(subject),
    }
