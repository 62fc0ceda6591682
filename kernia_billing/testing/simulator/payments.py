"""Money: payment intents with their charges, and setup intents that save a card without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Decline, Json
from .events import emit
from .payment_methods import billing_details
from .router import Call, Route

if TYPE_CHECKING:
    from .world import World


def new_intent(world: World, amount: int, currency: str, customer: str | None) -> Json:
    """Make a payment intent and emit `payment_intent.created`."""
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
        "receipt_email": None,
        "setup_future_usage": "off_session",
        "status": "requires_payment_method",
    }
    world.table("payment_intent").add(intent)
    emit(world, "payment_intent.created", intent)
    return intent


def charge(world: World, intent: Json, method: Json, refusal: Decline | None) -> None:
    """Charge an intent to a payment method: it succeeds, or fails with `refusal`. Emits what happened."""
    made = _new_charge(world, intent, method, refusal)
    intent["latest_charge"] = made["id"]
    if refusal is not None:
        intent["last_payment_error"] = _error(world, made, method, refusal)
        emit(world, "charge.failed", made)
        emit(world, "payment_intent.payment_failed", intent)
        return
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "payment_method": method["id"],
    }
    emit(world, "payment_intent.succeeded", intent)
    emit(world, "charge.succeeded", made)


def cancel_intent(world: World, intent: Json) -> None:
    """Cancel an intent whose invoice was voided."""
    intent |= {"status": "canceled", "canceled_at": world.clock.seconds(), "cancellation_reason": "void_invoice"}
    emit(world, "payment_intent.canceled", intent)


def setup(world: World, method: Json, customer: str) -> Json:
    """Save a card without charging it: a setup intent that has succeeded."""
    id = world.ids.new("seti")
    intent: Json = {
        "id": id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_{world.ids.letters(25)}",
        "created": world.clock.seconds(),
        "customer": customer,
        "customer_account": None,
        "description": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "payment_method": method["id"],
        "payment_method_options": None,
        "payment_method_types": ["card"],
        "status": "succeeded",
        "usage": "off_session",
    }
    world.table("setup_intent").add(intent)
    emit(world, "setup_intent.succeeded", intent)
    return intent


def _new_charge(world: World, intent: Json, method: Json, refusal: Decline | None) -> Json:
    made: Json = {
        "id": world.ids.new("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if refusal else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": None,
        "billing_details": billing_details(method["billing_details"]["email"]),
        "calculated_statement_descriptor": "SIMULATED",
        "captured": refusal is None,
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
        "outcome": _outcome(refusal),
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


def _outcome(refusal: Decline | None) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if refusal else "approved_by_network",
        "reason": refusal.decline_code if refusal else None,
        "risk_level": "normal",
        "seller_message": "The bank returned a decline." if refusal else "Payment complete.",
        "type": "issuer_declined" if refusal else "authorized",
    }


def _error(world: World, made: Json, method: Json, refusal: Decline) -> Json:
    error: Json = {
        "charge": made["id"],
        "code": refusal.code,
        "message": refusal.message,
        "payment_method": world.render(method),
        "type": "card_error",
    }
    return error | ({"decline_code": refusal.decline_code} if refusal.decline_code else {})


def _retrieve_intent(world: World, call: Call) -> Json:
    return world.table("payment_intent").get(call.ids[0], "intent", in_path=True)


def _retrieve_charge(world: World, call: Call) -> Json:
    return world.table("charge").get(call.ids[0], in_path=True)


def _retrieve_setup(world: World, call: Call) -> Json:
    return world.table("setup_intent").get(call.ids[0], in_path=True)


ROUTES = (
    Route("GET", "/v1/payment_intents/{id}", _retrieve_intent),
    Route("GET", "/v1/charges/{id}", _retrieve_charge),
    Route("GET", "/v1/setup_intents/{id}", _retrieve_setup),
)
