"""Money: payment intents and their charges. Card payments succeed or fail at once, bank debits after days."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..api.router import Call, Route
from ..world.errors import Decline, Json
from ..world.events import emit
from .cards import AUTHENTICATION_REQUIRED
from .payment_methods import billing_details, card_of

if TYPE_CHECKING:
    from ..world.world import World

AFTER_CHARGE: list[Callable[[World, Json], None]] = []
"""What follows a charge that went through."""

SETTLING_SECONDS = 4 * 86_400
"""So long a bank debit is on its way: Stripe says up to four business days."""


def new_intent(world: World, amount: int, currency: str, customer: str | None, **more: Any) -> Json:
    """Make a payment intent with `more` of its fields and emit `payment_intent.created`."""
    id = world.ids.new("pi")
    intent: Json = {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{world.ids.letters(25)}",
        "confirmation_method": "automatic",
        "created": world.clock.seconds(),
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "payment_method": None,
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "setup_future_usage": "off_session",
        "status": "requires_payment_method",
        "_return_url": None,
        **more,
    }
    world.table("payment_intent").add(intent)
    emit(world, "payment_intent.created", intent)
    return intent


def charge(world: World, intent: Json, method: Json, refusal: Decline | None) -> None:
    """Charge an intent to a payment method: it succeeds, or fails with `refusal`. Emits what happened.

    A bank debit is only begun: the intent is `processing` until it settles. A card that wants a person who is not
    there leaves the intent waiting for one, `requires_action`.
    """
    used = card_of(world, method["id"])
    if used.delayed:
        _begin_debit(world, intent, method)
        return
    held = intent["capture_method"] == "manual" and refusal is None
    made = _new_charge(world, intent, method, refusal, captured=not held)
    intent["latest_charge"] = made["id"]
    if refusal is not None:
        _fail(world, intent, method, made, refusal)
        return
    intent |= {"last_payment_error": None, "payment_method": method["id"], "next_action": None}
    if held:
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        emit(world, "payment_intent.amount_capturable_updated", intent)
    else:
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        emit(world, "payment_intent.succeeded", intent)
    _succeed(world, made)


def settle(world: World, intent: Json, refusal: Decline | None) -> None:
    """A bank debit that was on its way has come through, or failed with `refusal`."""
    made = world.table("charge").get(intent["latest_charge"])
    method = world.table("payment_method").get(intent["payment_method"])
    intent["processing"] = None
    if refusal is not None:
        made |= {
            "status": "failed",
            "paid": False,
            "captured": False,
            "amount_captured": 0,
            "failure_code": refusal.code,
            "failure_message": refusal.message,
        }
        intent["payment_method"] = None
        _fail(world, intent, method, made, refusal)
        return
    made |= {"status": "succeeded", "paid": True}
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "last_payment_error": None}
    emit(world, "payment_intent.succeeded", intent)
    _succeed(world, made)


def outcome_of(world: World, intent: Json) -> Decline | None:
    """How a bank debit that is on its way will end; its account says it."""
    return card_of(world, intent["payment_method"]).decline


def require_action(world: World, intent: Json, method: Json) -> None:
    """Ask the person to authenticate; emits `payment_intent.requires_action`."""
    intent |= {"status": "requires_action", "payment_method": method["id"], "next_action": _challenge(world, intent)}
    emit(world, "payment_intent.requires_action", intent)


def cancel_intent(world: World, intent: Json, reason: str | None = "void_invoice") -> None:
    """Cancel an intent, for example because its invoice was voided."""
    intent |= {
        "status": "canceled",
        "canceled_at": world.clock.seconds(),
        "cancellation_reason": reason,
        "next_action": None,
        "processing": None,
        "amount_capturable": 0,
    }
    emit(world, "payment_intent.canceled", intent)


def invoice_of(world: World, intent: Json) -> Json | None:
    """The invoice that an intent pays, if it pays one."""
    rows = [row for row in world.table("invoice_payment") if row["payment"].get("payment_intent") == intent["id"]]
    return world.table("invoice").get(rows[0]["invoice"]) if rows else None


def error_of(world: World, method: Json, refusal: Decline, made: Json | None = None) -> Json:
    """A refusal as intents keep it and as the API answers it."""
    error: Json = {
        "code": refusal.code,
        "message": refusal.message,
        "payment_method": world.render(method),
        "type": "card_error" if method["type"] == "card" else "invalid_request_error",
    }
    if made is not None:
        error["charge"] = made["id"]
    return error | ({"decline_code": refusal.decline_code} if refusal.decline_code else {})


def _begin_debit(world: World, intent: Json, method: Json) -> None:
    made = _new_charge(world, intent, method, None)
    made |= {"status": "pending", "paid": False}
    intent |= {
        "status": "processing",
        "latest_charge": made["id"],
        "payment_method": method["id"],
        "last_payment_error": None,
        "next_action": None,
    }
    emit(world, "charge.pending", made)
    emit(world, "payment_intent.processing", intent)
    if card_of(world, method["id"]).settles:
        world.agenda.add(world.clock.seconds() + SETTLING_SECONDS, _settle_when_due, intent["id"])


def _settle_when_due(world: World, id: str) -> None:
    from .settlements import settle_intent  # what settles tells invoices, which are made of payments

    intent = world.table("payment_intent").get(id)
    if intent["status"] == "processing":
        settle_intent(world, intent, outcome_of(world, intent))


def _fail(world: World, intent: Json, method: Json, made: Json, refusal: Decline) -> None:
    intent |= {"last_payment_error": error_of(world, method, refusal, made), "status": "requires_payment_method"}
    intent |= {"payment_method": None, "next_action": None}
    emit(world, "charge.failed", made)
    emit(world, "payment_intent.payment_failed", intent)
    if refusal is AUTHENTICATION_REQUIRED and invoice_of(world, intent) is not None:
        require_action(world, intent, method)


def _challenge(world: World, intent: Json) -> Json:
    """Where the person authenticates: a page, when the application said where to come back to."""
    url = f"{world.settings.checkout_base}/authenticate/{intent['id']}"
    if intent["_return_url"]:
        redirect = {"return_url": intent["_return_url"], "url": url}
        return {"redirect_to_url": redirect, "type": "redirect_to_url"}
    sdk = {"type": "three_d_secure_redirect", "stripe_js": url, "source": world.ids.new("payatt")}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}


def _succeed(world: World, made: Json) -> None:
    emit(world, "charge.succeeded", made)
    for follow in AFTER_CHARGE:
        follow(world, made)


def _new_charge(world: World, intent: Json, method: Json, refusal: Decline | None, *, captured: bool = True) -> Json:
    taken = refusal is None and captured
    made: Json = {
        "id": world.ids.new("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if taken else 0,
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": None,
        "billing_details": billing_details(method["billing_details"]["email"]),
        "calculated_statement_descriptor": "SIMULATED",
        "captured": taken,
        "created": world.clock.seconds(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": refusal.code if refusal else None,
        "failure_message": refusal.message if refusal else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "outcome": _outcome(method, refusal),
        "paid": refusal is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "status": "failed" if refusal else "succeeded",
    }
    return world.table("charge").add(made)


def _outcome(method: Json, refusal: Decline | None) -> Json:
    blocked = refusal is not None and refusal.decline_code == "fraudulent"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": (
            "not_sent_to_network" if blocked else "declined_by_network" if refusal else "approved_by_network"
        ),
        "reason": ("highest_risk_level" if blocked else refusal.decline_code) if refusal else None,
        "risk_level": "highest" if blocked else "normal",
        "seller_message": "The bank returned a decline." if refusal else "Payment complete.",
        "type": ("blocked" if blocked else "issuer_declined") if refusal else "authorized",
    }


def _retrieve_charge(world: World, call: Call) -> Json:
    return world.table("charge").get(call.ids[0], in_path=True)


ROUTES = (Route("GET", "/v1/charges/{id}", _retrieve_charge),)
