"""Collecting open invoices: the payment, its retries, due dates, and what they do to the subscription.

Not modelled: credit that runs out between tries, and bank transfers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..payments import payment_methods, payments
from ..subscriptions import subscriptions
from ..world.errors import ApiError, Decline, Json
from ..world.events import emit, updating
from . import finalisation, invoices

if TYPE_CHECKING:
    from ..world.world import World

DAY = 86_400
NO_METHOD = Decline("resource_missing", None, "Cannot charge a customer that has no active card")
HARD = frozenset(
    {
        "authentication_required",
        "highest_risk_level",
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "transaction_not_allowed",
    }
)
"""Declines after which retries wait for another payment method. Source: Stripe, "Smart Retries", hard decline codes."""

Step: TypeAlias = "Callable[[World, Json, Json], None]"
"""Takes the world, a subscription and one of its invoices."""

WHEN_SETTLED: list[Step] = []
"""What follows when an invoice of a subscription was paid or given up: pending updates, resumption."""

WHEN_FAILED: list[Step] = []
"""What follows when a try to be paid failed."""


def collect(world: World, invoice: Json, *, automatic: bool = False, method: Json | None = None) -> Decline | None:
    """Try to be paid for an open invoice now; answers why it failed, or None.

    A debit whose end nobody knows yet answers None too, and leaves the invoice open; who learns of the end calls `paid`
    or `failed`. `automatic` tries follow the retry plan: each failure sets the next try, the last one ends the
    subscription as the account's settings say. A try by hand changes nothing about the plan; it may name the `method`.
    """
    method = method or method_for(world, invoice)
    refusal: Decline | None = NO_METHOD
    if method is not None:
        refusal = refusal_of(world, method)
        intent = invoices.intent_of(world, invoice)
        payments.charge(world, intent, method, refusal)
        if intent["status"] == "processing":  # a bank debit: `settlements` goes on when it has come through or failed
            invoices.mark_processing(invoice, automatic=automatic)
            return None
        invoice["_refused"] = method["id"] if refusal and HARD & {refusal.code, refusal.decline_code} else None
    if refusal is None:
        paid(world, invoice)
    else:
        failed(world, invoice, refusal, automatic=automatic)
    return refusal


def is_processing(world: World, invoice: Json) -> bool:
    """Whether a bank debit is on its way that may still pay an open invoice."""
    has_intent = invoices.payment_of(world, invoice) is not None
    return has_intent and bool(invoices.intent_of(world, invoice)["status"] == "processing")


def refusal_of(world: World, method: Json) -> Decline | None:
    """Why a payment method cannot be charged while nobody is there, if it cannot."""
    return payment_methods.card_of(world, method["id"]).refusal(charging=True, present=False, passes=False)


def paid(world: World, invoice: Json, *, out_of_band: bool = False) -> None:
    """An open or uncollectible invoice is settled: tell it, and let its subscription live again."""
    invoices.mark_paid(world, invoice, out_of_band=out_of_band)
    settled(world, invoice)


def settled(world: World, invoice: Json) -> None:
    """An invoice is paid: the subscription lives again when it was its newest one."""
    subscription = subscription_of(world, invoice)
    if subscription is not None:
        revived = subscription["status"] in ("past_due", "unpaid", "incomplete")
        with updating(world, subscription, "customer.subscription.updated"):
            if revived and subscription["latest_invoice"] == invoice["id"]:
                subscription["status"] = "active"
            save_method(world, subscription, invoice)
        for step in WHEN_SETTLED:
            step(world, subscription, invoice)
    open_ones = [row for row in world.table("invoice") if row["customer"] == invoice["customer"]]
    if not any(row["status"] == "open" and row["attempted"] for row in open_ones):
        _set_delinquent(world, invoice["customer"], delinquent=False)


def save_method(world: World, subscription: Json, invoice: Json) -> None:
    """Keep what an invoice was paid with as the subscription's payment method, if its settings ask for it."""
    saves = subscription["payment_settings"]["save_default_payment_method"] == "on_subscription"
    if saves and subscription["default_payment_method"] is None and invoices.payment_of(world, invoice) is not None:
        subscription["default_payment_method"] = invoices.intent_of(world, invoice)["payment_method"]


def failed(world: World, invoice: Json, refusal: Decline, *, automatic: bool = False) -> None:
    """A try to be paid failed: tell it, plan the next one, and let the subscription be past due."""
    following = _next_try(world, invoice) if automatic else invoice["next_payment_attempt"]
    invoices.mark_failed(world, invoice, following, needs_action=needs_action(world, invoice, refusal))
    if automatic and following is not None:
        world.agenda.add(following, retry, invoice["id"])
    _set_back(world, invoice)
    if automatic and following is None:
        _give_up(world, invoice)


def method_for(world: World, invoice: Json) -> Json | None:
    """What an invoice is charged to: its own payment method, the subscription's, else the customer's."""
    if invoice["default_payment_method"]:
        return world.table("payment_method").get(invoice["default_payment_method"])
    subscription = subscription_of(world, invoice)
    if subscription is not None:
        return default_method(world, subscription)
    return _of_customer(world, invoice["customer"])


def default_method(world: World, subscription: Json) -> Json | None:
    """The payment method that a subscription's invoices are charged to."""
    id = subscription["default_payment_method"]
    return world.table("payment_method").get(id) if id else _of_customer(world, subscription["customer"])


def subscription_of(world: World, invoice: Json) -> Json | None:
    """The subscription that an invoice belongs to, if it belongs to one."""
    id = invoice["_subscription"]
    return world.table("subscription").get(id) if id else None


def card_error(refusal: Decline) -> ApiError:
    """The refusal as the API answers it: 402 card_error."""
    more = {"decline_code": refusal.decline_code} if refusal.decline_code else {}
    return ApiError(refusal.message, status=402, type="card_error", code=refusal.code, **more)


def retry(world: World, id: str) -> None:
    """A try of the retry plan, if it is still due; without a new payment method a hard decline is not tried again."""
    invoice = world.table("invoice").get(id)
    due = invoice["next_payment_attempt"]
    if invoice["status"] != "open" or not invoice["auto_advance"] or due is None or due > world.clock.seconds():
        return
    method = method_for(world, invoice)
    if method is None or method["id"] != invoice.get("_refused"):
        collect(world, invoice, automatic=True)
        return
    following = _next_try(world, invoice)
    with updating(world, invoice, "invoice.updated"):
        invoice |= {"next_payment_attempt": following, "auto_advance": following is not None}
        invoice["attempt_count"] += 1
    if following is None:
        _give_up(world, invoice)
    else:
        world.agenda.add(following, retry, id)


def needs_action(world: World, invoice: Json, refusal: Decline) -> bool:
    """Whether the person has to authenticate before an invoice can be paid."""
    if refusal is NO_METHOD:
        return False
    asks = "authentication_required" in (refusal.code, refusal.decline_code)
    return asks or bool(invoices.intent_of(world, invoice)["status"] == "requires_action")


def expire_incomplete(world: World, id: str) -> None:
    """An incomplete subscription whose first invoice was not paid within 23 hours ends."""
    subscription = world.table("subscription").get(id)
    if subscription["status"] != "incomplete":
        return
    for invoice in invoices.of_subscription(world, id, "open"):
        invoices.void(world, invoice)
    with updating(world, subscription, "customer.subscription.updated"):
        subscription |= {"status": "incomplete_expired", "ended_at": world.clock.seconds()}


def finalize_draft(world: World, id: str) -> None:
    """The hour of a draft is over: open it and collect it."""
    invoice = world.table("invoice").rows.get(id)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    at = invoice["automatically_finalizes_at"]
    if at is not None and at > world.clock.seconds():
        return
    later = finalisation.waits_until(world, invoice)
    if later is None:
        open_up(world, invoice)
    else:
        charged = invoice["collection_method"] == "charge_automatically"
        invoice |= {"automatically_finalizes_at": later, "next_payment_attempt": later if charged else None}
        world.agenda.add(later, finalize_draft, id)


def finalize(world: World, invoice: Json) -> bool:
    """Finalise a draft; answers whether anything is left to pay."""
    invoices.finalize(world, invoice)
    if invoice["status"] == "paid":
        settled(world, invoice)
    return bool(invoice["status"] == "open")


def open_up(world: World, invoice: Json, *, attempt: bool = True) -> Decline | None:
    """Finalise a draft, then charge or send it; a subscription whose collection pauses does neither.

    Answers why a payment failed, if one was tried.
    """
    if not finalize(world, invoice):
        return None
    subscription = subscription_of(world, invoice)
    pausing: Json = (subscription or {}).get("pause_collection") or {}
    if pausing.get("behavior") == "void":
        invoices.void(world, invoice)
    elif pausing.get("behavior") == "mark_uncollectible":
        invoices.mark_uncollectible(world, invoice, "subscription_paused")
    elif invoice["collection_method"] == "send_invoice":
        send(world, invoice)
    elif attempt and not pausing:
        return collect(world, invoice, automatic=True)
    return None


def send(world: World, invoice: Json) -> None:
    """Send an open invoice to the customer; emits `invoice.sent`, and plans what its due date does."""
    emit(world, "invoice.sent", invoice)
    due = invoice["due_date"]
    if due is None or invoice.get("_sent"):
        return
    invoice["_sent"] = True
    days = world.settings.will_be_due_days
    if days is not None and due - days * DAY > world.clock.seconds():
        world.agenda.add(due - days * DAY, _will_be_due, invoice["id"])
    world.agenda.add(due, _overdue, invoice["id"])
    world.agenda.add(due + world.settings.overdue_days * DAY, _too_late, invoice["id"])


def _will_be_due(world: World, id: str) -> None:
    invoice = world.table("invoice").get(id)
    if invoice["status"] == "open":
        emit(world, "invoice.will_be_due", invoice)


def _overdue(world: World, id: str) -> None:
    invoice = world.table("invoice").get(id)
    if invoice["status"] == "open":
        invoice["attempted"] = True
        emit(world, "invoice.overdue", invoice)
        _set_back(world, invoice)


def _too_late(world: World, id: str) -> None:
    invoice = world.table("invoice").get(id)
    if invoice["status"] == "open":
        _give_up(world, invoice)


def _set_back(world: World, invoice: Json) -> None:
    subscription = subscription_of(world, invoice)
    if subscription is not None:
        if subscription["status"] == "active" and subscription["_pending"] is None:
            with updating(world, subscription, "customer.subscription.updated"):
                subscription["status"] = "past_due"
        for step in WHEN_FAILED:
            step(world, subscription, invoice)
    _set_delinquent(world, invoice["customer"], delinquent=True)
    if subscription is not None and world.settings.after_first_failure == "pause":
        first = invoice["attempt_count"] == 1 and invoice["billing_reason"] == "subscription_cycle"
        if first and subscription["status"] == "past_due" and subscriptions.can_pause(subscription):
            invoices.stop(invoice)
            subscriptions.pause(world, subscription, "first_payment_failure")


def _next_try(world: World, invoice: Json) -> int | None:
    first: int = invoice.setdefault("_first_failure", world.clock.seconds())
    tried: int = invoice.get("_retries", -1) + 1
    invoice["_retries"] = tried
    days = world.settings.retry_days
    return first + days[tried] * DAY if tried < len(days) else None


def _give_up(world: World, invoice: Json) -> None:
    """All tries failed, or a sent invoice was not paid long after its due date."""
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["status"] != "past_due":
        return
    wanted = world.settings.after_last_retry
    if wanted == "unpaid":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "unpaid"
    elif wanted == "pause" and subscriptions.can_pause(subscription):
        subscriptions.pause(world, subscription, "final_payment_failure")
    elif wanted != "past_due":
        subscriptions.cancel(world, subscription, reason="payment_failed")


def _of_customer(world: World, id: str) -> Json | None:
    settings: Json = world.table("customer").get(id).get("invoice_settings", {})
    method = settings.get("default_payment_method")
    return world.table("payment_method").get(method) if method else None


def _set_delinquent(world: World, id: str, *, delinquent: bool) -> None:
    customer = world.table("customer").get(id)
    if not customer.get("deleted"):
        with updating(world, customer, "customer.updated"):
            customer["delinquent"] = delinquent
