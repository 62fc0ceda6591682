"""What a person does on the checkout page: paying makes customer, subscription and first invoice, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from ..api import fields
from ..customers import customers
from ..invoices import invoices
from ..payments import payment_methods, payments, setup_intents
from ..payments.cards import Card
from ..subscriptions import cycle
from ..world.errors import ApiError, CardDeclined, Decline, Json, SimulatorError
from ..world.events import emit, updating
from ..world.purchase_orders import BY_CHECKOUT
from . import session_sales, session_shape, session_totals

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Form:
    """What a person fills in beside the card."""

    email: str
    name: str | None = None
    custom_fields: Mapping[str, str] = field(factory=dict[str, str])
    """By the keys of the session's custom fields."""
    promotions: bool = False
    terms: bool = True
    passes: bool | None = None
    """Whether they pass 3D Secure; None leaves it to the account's settings."""


def pay(world: World, session: Json, card: Card, form: Form) -> None:
    """Complete an open session with a card or bank account; where nothing is due or to be saved, it is not asked for.

    Raises:
        CardDeclined: the session stays open; the failed attempt is on record.
        SimulatorError: the session is not open, or the form lacks something.
    """
    if session["status"] != "open":
        raise SimulatorError(f"checkout session {session['id']} is {session['status']}, nothing can be paid there")
    customer = _customer(world, session)
    answers = _answers(session, form)
    due = session_sales.due(world, session)
    saves = due > 0 or session["mode"] == "setup" or _always_collects(session)
    if saves and card.kind not in session["payment_method_types"]:
        raise SimulatorError(f"checkout session {session['id']} does not take a {card.kind}")
    form = evolve(form, email=(customer or {}).get("email") or session["customer_email"] or form.email)
    with _told(world):
        method = payment_methods.new(world, card, email=form.email, set_up=True) if saves else None
        passes = world.settings.authenticate if form.passes is None else form.passes
        refusal = card.refusal(charging=due > 0, present=True, passes=passes) if saves else None
        if method is not None and refusal is not None:
            _record_failure(world, session, method, refusal, due)
        else:
            session |= answers
            _complete(world, session, customer, method, form)
    if refusal is not None:
        raise CardDeclined(refusal)


def _told(world: World) -> AbstractContextManager[None]:
    order = world.settings.purchase_order
    return world.events.shuffled() if order == "shuffled" else world.events.in_order(BY_CHECKOUT[order])


def _customer(world: World, session: Json) -> Json | None:
    try:
        customer = customers.live(world, session["customer"]) if session["customer"] else None
        if customer is not None:
            customers.settle_currency(customer, session["currency"])
        if session["mode"] != "setup":
            session_totals.check_discounts(world, session)
    except ApiError as error:
        raise SimulatorError(f"checkout session {session['id']} cannot be paid: {error}") from error
    return customer


def _always_collects(session: Json) -> bool:
    return bool(session["mode"] == "subscription" and session["payment_method_collection"] == "always")


def _answers(session: Json, form: Form) -> Json:
    """The custom fields and the consent as the person gave them.

    Raises:
        SimulatorError: a field that must be filled in is not, or is filled in wrongly.
    """
    wanted: Json = session["consent_collection"] or {}
    terms = wanted.get("terms_of_service") == "required"
    if terms and not form.terms:
        raise SimulatorError("Please accept the terms of service.")
    promotions = ("opt_in" if form.promotions else "opt_out") if wanted.get("promotions") == "auto" else None
    consent = {"promotions": promotions, "terms_of_service": "accepted" if terms else None}
    rows = [_answered(row, form.custom_fields) for row in session["custom_fields"]]
    return {"custom_fields": rows, "consent": consent if wanted else None}


def _answered(row: Json, given: Mapping[str, str]) -> Json:
    kind, name = row["type"], row["label"]["custom"]
    own = row[kind]
    value = given.get(row["key"], own["default_value"] or "").strip()
    if not value and not row["optional"] and given:
        raise SimulatorError(f"{name}: please fill it in.")
    if kind == "dropdown" and value and value not in [option["value"] for option in own["options"]]:
        raise SimulatorError(f"{name}: please choose one of the options.")
    if kind == "numeric" and value and not (value.isascii() and value.isdigit()):
        raise SimulatorError(f"{name}: digits only, please.")
    least, most = own.get("minimum_length") or 0, own.get("maximum_length") or 255
    if value and kind != "dropdown" and not least <= len(value) <= most:
        raise SimulatorError(f"{name}: {least} to {most} characters, please.")
    return {**row, kind: {**own, "value": value or None}}


def _record_failure(world: World, session: Json, method: Json, refusal: Decline, due: int) -> None:
    """A failed attempt leaves a payment intent that the next attempt uses; saving a card alone leaves nothing."""
    if due:
        payments.charge(world, _intent(world, session, due), method, refusal)


def _intent(world: World, session: Json, due: int) -> Json:
    if session["_attempted_intent"] is None:
        data: Json = session["_intent_data"] if session["mode"] == "payment" else {}
        future = "off_session" if session["mode"] == "subscription" else data.get("setup_future_usage")
        intent = payments.new_intent(
            world,
            due,
            session["currency"],
            session["customer"],
            capture_method=data.get("capture_method", "automatic_async"),
            description=data.get("description"),
            metadata=fields.merge_metadata({}, data.get("metadata")),
            payment_method_types=list(session["payment_method_types"]),
            receipt_email=data.get("receipt_email"),
            setup_future_usage=future,
        )
        session["_attempted_intent"] = intent["id"]
    intent = world.table("payment_intent").get(session["_attempted_intent"])
    intent["amount"] = due
    return intent


def _complete(world: World, session: Json, customer: Json | None, method: Json | None, form: Form) -> None:
    if customer is None and _makes_customer(session):
        customer = customers.new(world, email=form.email, name=form.name)
    if method is not None and customer is not None and _keeps_method(session):
        method["customer"] = customer["id"]
        emit(world, "payment_method.attached", method)
    kind = {"subscription": _subscribe, "payment": _pay_once, "setup": _save}[session["mode"]]
    subscription = kind(world, session, customer, method)
    if customer is not None:
        with updating(world, customer, "customer.updated"):
            _update_customer(session, customer)
    email = (customer or {}).get("email") or form.email
    name = (customer or {}).get("name") or form.name
    session |= {
        "status": "complete",
        "automatic_tax": session["automatic_tax"]
        | {"status": "complete" if session["automatic_tax"]["enabled"] else None},
        "customer": customer["id"] if customer else None,
        "customer_details": session_shape.customer_details(email, name)
        | {"address": payment_methods.billing_details(None)["address"]},
    }
    emit(world, "checkout.session.completed", session)
    if subscription is not None:
        emit(world, "customer.subscription.created", subscription)


def _makes_customer(session: Json) -> bool:
    """A customer is made where one is needed: for a subscription, for a card to be kept, or as it was asked for."""
    saves = session["_intent_data"].get("setup_future_usage") is not None
    return session["mode"] == "subscription" or session["customer_creation"] == "always" or saves


def _keeps_method(session: Json) -> bool:
    return session["mode"] != "payment" or session["_intent_data"].get("setup_future_usage") is not None


def _subscribe(world: World, session: Json, customer: Json | None, method: Json | None) -> Json:
    if customer is None:
        raise SimulatorError("a subscription needs a customer")
    subscription, invoice = session_sales.begin(world, session, customer, method)
    paid = invoice["amount_due"] > 0 and method is not None
    if invoice["amount_due"] and method is not None:
        intent = _intent(world, session, invoice["amount_due"])
        intent["customer"] = customer["id"]
        invoices.finalize(world, invoice, intent)
        payments.charge(world, intent, method, None)
        if intent["status"] == "processing":
            invoices.mark_processing(invoice, automatic=False)
            paid = False
        else:
            invoices.mark_paid(world, invoice)
    else:
        invoices.finalize(world, invoice)
        if method is not None:
            setup_intents.saved(world, method, customer["id"])
    cycle.begin(world, subscription)
    unpaid = invoice["amount_due"] > 0 and not paid
    session |= {
        "subscription": subscription["id"],
        "invoice": invoice["id"],
        "payment_status": "paid" if paid else "unpaid" if unpaid else "no_payment_required",
    }
    return subscription


def _pay_once(world: World, session: Json, customer: Json | None, method: Json | None) -> None:
    due = session_sales.due(world, session)
    if not due or method is None:
        session["payment_status"] = "no_payment_required"
        return
    intent = _intent(world, session, due)
    intent["customer"] = customer["id"] if customer else None
    payments.charge(world, intent, method, None)
    status = "unpaid" if intent["status"] in ("processing", "requires_capture") else "paid"
    session |= {"payment_intent": intent["id"], "payment_status": status}


def _save(world: World, session: Json, customer: Json | None, method: Json | None) -> None:
    if method is None:
        raise SimulatorError("there is nothing to save")
    data: Json = session["_intent_data"]
    intent = setup_intents.saved(world, method, customer["id"] if customer else None)
    intent |= {
        "description": data.get("description"),
        "metadata": fields.merge_metadata({}, data.get("metadata")),
        "payment_method_types": list(session["payment_method_types"]),
    }
    session["setup_intent"] = intent["id"]


def _update_customer(session: Json, customer: Json) -> None:
    """What the page writes to the customer: its currency, and what `customer_update` allows."""
    if session["mode"] == "subscription":
        customer["currency"] = session["currency"]
    if session["_customer_update"].get("address") == "auto" or session["customer_creation"]:
        customer["address"] = payment_methods.billing_details(None)["address"]
