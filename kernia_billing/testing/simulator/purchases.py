"""What a person does on the checkout page: paying makes customer, subscription and first invoice, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import checkout, customers, cycle, invoices, payment_methods, payments, subscriptions
from .cards import Card
from .errors import ApiError, CardDeclined, Decline, Json, SimulatorError
from .events import emit, updating

if TYPE_CHECKING:
    from .world import World

COMPLETION_ORDER = (
    "payment_method.attached",
    "customer.created",
    "charge.succeeded",
    "setup_intent.succeeded",
    "customer.updated",
    "customer.subscription.created",
    "payment_intent.succeeded",
    "payment_intent.created",
    "checkout.session.completed",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
)
"""The order seen in real logs of 2025 and 2026: the payment succeeds before it is created, the session completes
before the invoice is created, and the subscription is there, active, before both."""


def pay(world: World, session: Json, card: Card, email: str) -> None:
    """Complete an open session with a card; without anything due and nothing to save, the card is not asked for.

    Raises:
        CardDeclined: the session stays open; the failed attempt is on record.
        SimulatorError: the session is not open.
    """
    if session["status"] != "open":
        raise SimulatorError(f"checkout session {session['id']} is {session['status']}, nothing can be paid there")
    try:
        customer = customers.live(world, session["customer"]) if session["customer"] else None
        if customer is not None:
            customers.settle_currency(customer, session["currency"])
    except ApiError as error:
        raise SimulatorError(f"checkout session {session['id']} cannot be paid: {error}") from error
    saves_card = bool(session["amount_total"]) or session["payment_method_collection"] == "always"
    if customer is not None:
        email = customer["email"] or email
    with world.events.in_order(COMPLETION_ORDER):
        method = payment_methods.new(world, card, email=email) if saves_card else None
        refusal = _refusal(world, session, card) if saves_card else None
        if method is not None and refusal is not None:
            _record_failure(world, session, method, refusal)
        else:
            _complete(world, session, customer, method, session["customer_email"] or email)
    if refusal is not None:
        raise CardDeclined(refusal)


def _refusal(world: World, session: Json, card: Card) -> Decline | None:
    charging = session["amount_total"] > 0
    return card.refusal(charging=charging, present=True, passes=world.settings.authenticate)


def _record_failure(world: World, session: Json, method: Json, refusal: Decline) -> None:
    """A failed attempt leaves a payment intent that the next attempt uses; saving a card alone leaves nothing."""
    if session["amount_total"]:
        payments.charge(world, _intent(world, session), method, refusal)


def _intent(world: World, session: Json) -> Json:
    if session["_attempted_intent"] is None:
        intent = payments.new_intent(world, session["amount_total"], session["currency"], session["customer"])
        session["_attempted_intent"] = intent["id"]
    return world.table("payment_intent").get(session["_attempted_intent"])


def _complete(world: World, session: Json, customer: Json | None, method: Json | None, email: str) -> None:
    customer = customer or customers.new(world, email=email)
    sales = checkout.sales_of(world, session)
    if method is not None:
        method["customer"] = customer["id"]
        emit(world, "payment_method.attached", method)
    subscription = _subscribe(world, session, customer, sales, method)
    with updating(world, customer, "customer.updated"):
        _update_customer(session, customer)
    cycle.begin(world, subscription)
    session |= {
        "status": "complete",
        "payment_status": "paid" if session["amount_total"] else "no_payment_required",
        "customer": customer["id"],
        "customer_details": checkout.customer_details(customer["email"] or email, customer["name"])
        | {"address": payment_methods.billing_details(None)["address"]},
        "subscription": subscription["id"],
        "invoice": subscription["latest_invoice"],
    }
    emit(world, "checkout.session.completed", session)
    emit(world, "customer.subscription.created", subscription)


def _subscribe(
    world: World, session: Json, customer: Json, sales: list[subscriptions.Sale], method: Json | None
) -> Json:
    data: Json = session["_subscription_data"]
    ending: Json = data.get("trial_settings", {}).get("end_behavior", {})
    terms = subscriptions.Terms(
        metadata=data["metadata"],
        description=data.get("description"),
        trial_end=checkout.trial_end_of(world, session),
        missing_payment_method=ending.get("missing_payment_method", "create_invoice"),
        default_payment_method=method["id"] if method else None,
        billing_mode=data.get("billing_mode", {}).get("type", "flexible"),
    )
    subscription = subscriptions.build(world, customer, sales, terms)
    subscription["payment_settings"]["save_default_payment_method"] = "off"
    lines = cycle.first_lines(world, subscription, sales)
    invoice = invoices.draft(world, subscription, "subscription_create", lines)
    if invoice["amount_due"] and method is not None:
        intent = _intent(world, session)
        intent["customer"] = customer["id"]
        invoices.finalize(world, invoice, intent)
        payments.charge(world, intent, method, None)
        invoices.mark_paid(world, invoice)
    else:
        invoices.finalize(world, invoice)
        if method is not None:
            payments.setup(world, method, customer["id"])
    return subscription


def _update_customer(session: Json, customer: Json) -> None:
    """What the page writes to the customer: its currency, and what `customer_update` allows."""
    customer["currency"] = session["currency"]
    if session["_customer_update"].get("address") == "auto" or session["customer_creation"]:
        customer["address"] = payment_methods.billing_details(None)["address"]
