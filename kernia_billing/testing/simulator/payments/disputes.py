"""Disputes: a bank takes a payment back, and gives it to whom it believes in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..subscriptions import subscriptions
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from . import charges, payments
from .payment_methods import card_of

if TYPE_CHECKING:
    from ..world.world import World

FEE = 1_500
"""What Stripe keeps for a lost dispute, in minor units."""
ANSWER_SECONDS = 7 * 86_400
WINNING, LOSING = "winning_evidence", "losing_evidence"
"""Texts by which, in test mode, submitted evidence decides a dispute (https://docs.stripe.com/testing)."""
OPEN = ("needs_response", "under_review")
"""States in which nothing is decided yet."""
_EVIDENCE = (
    *("access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure"),
    *("cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name"),
    *("customer_purchase_ip", "customer_signature", "duplicate_charge_documentation"),
    *("duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt", "refund_policy"),
    *("refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation"),
    *("shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation"),
    *("shipping_tracking_number", "uncategorized_file", "uncategorized_text"),
)


def open_dispute(world: World, charge: Json, reason: str = "fraudulent") -> Json:
    """Dispute a charge: emits its creation and the withdrawal, and cancels the subscription if the account says so."""
    dispute = world.table("dispute").add(_blank(world, charge, reason))
    charge["disputed"] = True
    emit(world, "charge.dispute.created", dispute)
    dispute["balance_transactions"] = [_movement(world, dispute, -dispute["amount"], FEE)]
    emit(world, "charge.dispute.funds_withdrawn", dispute)
    if world.settings.after_dispute == "cancel":
        _cancel_subscription(world, charge)
    return dispute


def close(world: World, dispute: Json, *, won: bool) -> None:
    """End a dispute; a won one brings the money back. Emits `charge.dispute.closed`, and `.funds_reinstated` then."""
    with updating(world, dispute, "charge.dispute.closed"):
        dispute["status"] = "won" if won else "lost"
    if won:
        back = _movement(world, dispute, dispute["amount"], -FEE)
        dispute["balance_transactions"] = [*dispute["balance_transactions"], back]
        emit(world, "charge.dispute.funds_reinstated", dispute)


def open_due(world: World, id: str) -> None:
    """The owner of a test card for disputes saw the charge."""
    charge = world.table("charge").get(id)
    reason = card_of(world, charge["payment_method"]).dispute
    if reason is not None and not charge["disputed"]:
        open_dispute(world, charge, reason)


def _plan(world: World, charge: Json) -> None:
    if card_of(world, charge["payment_method"]).dispute is not None:
        world.agenda.add(world.clock.seconds(), open_due, charge["id"])


payments.AFTER_CHARGE.append(_plan)


def _cancel_subscription(world: World, charge: Json) -> None:
    invoice = charges.invoice_of(world, charge)
    subscription = world.table("subscription").rows.get(invoice["_subscription"]) if invoice else None
    if subscription is not None and subscription["status"] not in subscriptions.ENDED:
        subscriptions.cancel(world, subscription, reason="payment_disputed")


def _movement(world: World, dispute: Json, amount: int, fee: int) -> Json:
    fees = [{"amount": fee, "application": None, "currency": dispute["currency"], "type": "stripe_fee"}]
    withdrawn = amount < 0
    return {
        "id": world.ids.new("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": world.clock.seconds(),
        "balance_type": "payments",
        "created": world.clock.seconds(),
        "currency": dispute["currency"],
        "description": f"Chargeback {'withdrawal' if withdrawn else 'reversal'} for {dispute['charge']}",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{**row, "description": "Dispute fee"} for row in fees],
        "net": amount - fee,
        "reporting_category": "dispute" if withdrawn else "dispute_reversal",
        "source": dispute["id"],
        "status": "available",
        "type": "adjustment",
    }


def _blank(world: World, charge: Json, reason: str) -> Json:
    brand = card_of(world, charge["payment_method"]).brand
    code = "10.4" if brand == "visa" else "4837"
    return {
        "id": world.ids.new("du"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "balance_transactions": list[Json](),
        "charge": charge["id"],
        "created": world.clock.seconds(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": list[str](),
        "evidence": {**dict.fromkeys(_EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": world.clock.seconds() + ANSWER_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": brand, "case_type": "chargeback", "network_reason_code": code, "network": brand},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }


def _update(world: World, call: Call) -> Json:
    """Evidence is kept; submitting it hands the dispute to the bank, which in test mode reads the magic texts."""
    dispute, params = _found(world, call), call.params
    metadata = fields.merge_metadata(dispute["metadata"], params.get("metadata"))
    evidence: Json = {name: value or None for name, value in params.get("evidence", {}).items()}
    if evidence and dispute["status"] != "needs_response":
        raise invalid("Evidence can no longer be changed for this dispute.", "evidence")
    submits = bool(evidence) and params.get("submit", True)
    with updating(world, dispute, "charge.dispute.updated"):
        dispute["metadata"] = metadata
        dispute["evidence"] = {**dispute["evidence"], **evidence}
        details = dispute["evidence_details"]
        details["has_evidence"] = any(dispute["evidence"][name] for name in _EVIDENCE)
        if submits:
            details |= {"submission_count": details["submission_count"] + 1, "submission_method": "manual"}
            dispute["status"] = "under_review"
    verdict = dispute["evidence"]["uncategorized_text"]
    if submits and verdict in (WINNING, LOSING):
        close(world, dispute, won=verdict == WINNING)
    return dispute


def _close(world: World, call: Call) -> Json:
    """Accept a dispute: it is lost."""
    dispute = _found(world, call)
    if dispute["status"] not in OPEN:
        raise invalid("This dispute is already closed.")
    close(world, dispute, won=False)
    return dispute


def _found(world: World, call: Call) -> Json:
    return world.table("dispute").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    names = ("charge", "payment_intent")
    found = lists.filtered(world.table("dispute"), **{name: call.params.get(name) for name in names})
    return lists.page(lists.created_in(found, call.params), call, kind="dispute")


_TEXTS = {name: fields.clearable(fields.text_up_to(20_000)) for name in _EVIDENCE}

ROUTES = (
    Route("GET", "/v1/disputes/{id}", _found),
    Route(
        "GET",
        "/v1/disputes",
        _list,
        {"charge": fields.text, "created": fields.range_of_time, "payment_intent": fields.text},
        lists=True,
    ),
    Route(
        "POST",
        "/v1/disputes/{id}",
        _update,
        {"evidence": fields.fields(required=(), **_TEXTS), "metadata": fields.metadata, "submit": fields.boolean},
    ),
    Route("POST", "/v1/disputes/{id}/close", _close),
)
