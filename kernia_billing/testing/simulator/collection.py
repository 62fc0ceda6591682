"""Collecting open invoices: the payment, its retries, and what they do to the subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import invoices, payment_methods, payments, subscriptions
from .errors import ApiError, Decline, Json
from .events import updating

if TYPE_CHECKING:
    from .world import World

DAY = 86_400
NO_METHOD = Decline("resource_missing", None, "Cannot charge a customer that has no active card")


def collect(world: World, invoice: Json, *, automatic: bool = False) -> Decline | None:
    """Try to be paid for an open invoice now; answers why it failed, or None.

    `automatic` tries follow the retry plan: each failure sets the next try, the last one ends the subscription as the
    account's settings say. A try by hand changes nothing about the plan.
    """
    method = method_for(world, invoice)
    if method is None:
        refusal: Decline | None = NO_METHOD
    else:
        used = payment_methods.card_of(world, method["id"])
        refusal = used.refusal(charging=True, present=False, passes=True)
        payments.charge(world, invoices.intent_of(world, invoice), method, refusal)
    if refusal is None:
        invoices.mark_paid(world, invoice)
        _recover(world, invoice)
    else:
        _fail(world, invoice, automatic=automatic)
    return refusal


def method_for(world: World, invoice: Json) -> Json | None:
    """What an invoice is charged to: the subscription's default payment method, else the customer's."""
    subscription = world.table("subscription").get(invoice["_subscription"])
    return default_method(world, subscription)


def default_method(world: World, subscription: Json) -> Json | None:
    """The payment method that a subscription's invoices are charged to."""
    customer = world.table("customer").get(subscription["customer"])
    settings: Json = customer.get("invoice_settings", {})
    id = subscription["default_payment_method"] or settings.get("default_payment_method")
    return world.table("payment_method").get(id) if id else None


def card_error(refusal: Decline) -> ApiError:
    """The refusal as the API answers it: 402 card_error."""
    more = {"decline_code": refusal.decline_code} if refusal.decline_code else {}
    return ApiError(refusal.message, status=402, type="card_error", code=refusal.code, **more)


def retry(world: World, id: str) -> None:
    """A try of the retry plan, if it is still due."""
    invoice = world.table("invoice").get(id)
    due = invoice["next_payment_attempt"]
    if invoice["status"] == "open" and invoice["auto_advance"] and due is not None and due <= world.clock.seconds():
        collect(world, invoice, automatic=True)


def _fail(world: World, invoice: Json, *, automatic: bool) -> None:
    following = _next_try(world, invoice) if automatic else invoice["next_payment_attempt"]
    invoices.mark_failed(world, invoice, following)
    subscription = world.table("subscription").get(invoice["_subscription"])
    if automatic and following is not None:
        world.agenda.add(following, retry, invoice["id"])
    if subscription["status"] == "active":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
    _set_delinquent(world, invoice["customer"], delinquent=True)
    if automatic and following is None:
        _give_up(world, subscription)


def _next_try(world: World, invoice: Json) -> int | None:
    first: int = invoice.setdefault("_first_failure", world.clock.seconds())
    tried: int = invoice.get("_retries", -1) + 1
    invoice["_retries"] = tried
    days = world.settings.retry_days
    return first + days[tried] * DAY if tried < len(days) else None


def _give_up(world: World, subscription: Json) -> None:
    """All retries failed."""
    if subscription["status"] != "past_due":
        return
    if world.settings.after_last_retry == "cancel":
        subscriptions.cancel(world, subscription, reason="payment_failed")
    elif world.settings.after_last_retry == "unpaid":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "unpaid"


def _recover(world: World, invoice: Json) -> None:
    """A payment came in: the subscription lives again when it was for its newest invoice."""
    subscription = world.table("subscription").get(invoice["_subscription"])
    if subscription["latest_invoice"] == invoice["id"] and subscription["status"] in (
        "past_due",
        "unpaid",
        "incomplete",
    ):
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
    open_ones = [row for row in world.table("invoice") if row["customer"] == invoice["customer"]]
    if not any(row["status"] == "open" and row["attempted"] for row in open_ones):
        _set_delinquent(world, invoice["customer"], delinquent=False)


def _set_delinquent(world: World, id: str, *, delinquent: bool) -> None:
    customer = world.table("customer").get(id)
    if not customer.get("deleted"):
        with updating(world, customer, "customer.updated"):
            customer["delinquent"] = delinquent


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
    """The hour of a renewal's draft is over: open it and charge it."""
    invoice = world.table("invoice").get(id)
    if invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    invoices.finalize(world, invoice)
    if invoice["amount_due"]:
        collect(world, invoice, automatic=True)
    else:
        _recover(world, invoice)
