"""What follows when a payment ends after its request or page: a bank debit settles, or a person authenticates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..invoices import collection
from ..world.errors import Decline, Json, SimulatorError
from ..world.events import emit, updating
from . import payments
from .cards import UNAUTHENTICATED
from .payment_methods import card_of

if TYPE_CHECKING:
    from ..world.world import World


def settle_intent(world: World, intent: Json, refusal: Decline | None) -> None:
    """End a bank debit that is on its way: it has come through, or it failed with `refusal`.

    The invoice that it was for is paid or tried again, and its checkout session says `async_payment_succeeded` or
    `async_payment_failed`.
    """
    if intent["status"] != "processing":
        raise SimulatorError(f"{intent['id']} is {intent['status']}: nothing is on its way")
    payments.settle(world, intent, refusal)
    invoice = payments.invoice_of(world, intent)
    if invoice is not None and invoice["status"] == "open":
        _tell_invoice(world, invoice, refusal)
    for session in world.table("checkout.session"):
        if session["_attempted_intent"] == intent["id"] and session["status"] == "complete":
            if refusal is None:
                session["payment_status"] = "paid"
            outcome = "succeeded" if refusal is None else "failed"
            emit(world, f"checkout.session.async_payment_{outcome}", session)


def authenticate(world: World, intent: Json, *, passes: bool) -> None:
    """A person answers the 3D Secure challenge of a payment intent or setup intent that waits for one."""
    if intent["status"] != "requires_action":
        raise SimulatorError(f"{intent['id']} is {intent['status']}: it waits for nobody")
    method = world.table("payment_method").get(intent["payment_method"])
    used = card_of(world, method["id"])
    if intent["object"] == "setup_intent":
        from . import setup_intents

        setup_intents.finish(world, intent, method, UNAUTHENTICATED if not passes else None)
        return
    refusal = used.decline if passes else UNAUTHENTICATED
    if passes and intent["setup_future_usage"] is not None:
        method["_set_up"] = True
    payments.charge(world, intent, method, refusal)
    invoice = payments.invoice_of(world, intent)
    if invoice is not None and invoice["status"] == "open":
        if refusal is None:
            collection.paid(world, invoice)
        else:
            collection.failed(world, invoice, refusal)


def _tell_invoice(world: World, invoice: Json, refusal: Decline | None) -> None:
    if refusal is None:
        invoice["attempt_count"] -= 1  # it was counted when the debit began
        collection.paid(world, invoice)
        return
    invoice["attempt_count"] -= 1
    collection.failed(world, invoice, refusal, automatic=invoice.get("_automatic", False))
    subscription = collection.subscription_of(world, invoice)
    if subscription is not None and subscription["status"] == "active":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
