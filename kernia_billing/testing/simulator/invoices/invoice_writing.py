"""Writing invoices by hand: drafting, changing, finalising, paying, sending, voiding, giving up, deleting.

Not modelled: forgiving a part, mandates, payments of a part, and inline prices of added lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..catalog import tax_rates
from ..customers import customers
from ..payments import payment_methods
from ..subscriptions import changes, deductions, pending_updates, renewals
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from . import collection, discounts, invoice_items, invoices, totals

if TYPE_CHECKING:
    from ..world.world import World

_FIELDS: dict[str, fields.Reader] = {
    "auto_advance": fields.boolean,
    "collection_method": changes.METHOD,
    "days_until_due": changes.DAYS,
    "default_payment_method": fields.text,
    "default_tax_rates": tax_rates.IDS,
    "description": fields.clearable(fields.text_up_to(1_500)),
    "discounts": discounts.PARAM,
    "due_date": fields.timestamp,
    "footer": fields.clearable(fields.text_up_to(5_000)),
    "metadata": fields.metadata,
}
_OF_FINAL = {"auto_advance", "default_payment_method", "metadata"}
"""What can be changed of an invoice that is no longer a draft."""


def _create(world: World, call: Call) -> Json:
    params = call.params
    subscription = _subscription(world, params)
    if subscription is None and "customer" not in params:
        raise invalid("You must provide one of these parameters: customer, subscription.", "customer")
    customer = customers.live(world, params.get("customer") or (subscription or {}).get("customer", ""))
    currency = params.get("currency") or (subscription or customer)["currency"] or "usd"
    customers.settle_currency(customer, currency, "currency")
    _check(world, params, customer["id"], params.get("collection_method", "charge_automatically"))
    deducted = deductions.plan(world, params, customer=customer["id"], currency=currency)
    fields.merge_metadata({}, params.get("metadata"))
    if subscription is not None:
        waiting = [row for row in invoice_items.pending(world, subscription) if row["_subscription"]]
        if not waiting:
            raise invalid("Nothing to invoice for subscription", "subscription", "invoice_no_subscription_line_items")
        invoice = invoices.draft(world, subscription, "manual", [], pending=waiting, auto_advance=False)
    else:
        includes = params.get("pending_invoice_items_behavior") == "include"
        waiting = invoice_items.by_hand(world, customer["id"], currency) if includes else []
        invoice = invoices.draft_by_hand(world, customer, currency, waiting)
    _write(world, invoice, params, deducted)
    return invoice


def _update(world: World, call: Call) -> Json:
    invoice = world.table("invoice").get(call.ids[0], in_path=True)
    params = call.params
    _check_owner(world, invoice)
    others = set(params) - _OF_FINAL
    if invoice["status"] != "draft" and others:
        message = "This invoice is no longer editable: only drafts can be changed so."
        raise invalid(message, min(others), "invoice_not_editable")
    method: str = params.get("collection_method") or invoice["collection_method"]
    _check(world, params, invoice["customer"], method)
    deducted = deductions.plan(
        world, params, customer=invoice["customer"], currency=invoice["currency"], has=invoice["discounts"]
    )
    fields.merge_metadata(invoice["metadata"], params.get("metadata"))
    with updating(world, invoice, "invoice.updated"):
        _write(world, invoice, params, deducted)
    return invoice


def _check_owner(world: World, invoice: Json) -> None:
    """Refuse to go on with a draft whose customer was deleted: its number and prefix went with the customer."""
    if invoice["status"] == "draft":
        customers.live(world, invoice["customer"])


def _subscription(world: World, params: Json) -> Json | None:
    if "subscription" not in params:
        return None
    found = world.table("subscription").get(params["subscription"], "subscription")
    if params.get("customer", found["customer"]) != found["customer"]:
        raise invalid("The subscription belongs to another customer.", "subscription")
    if "pending_invoice_items_behavior" in params:
        message = "`pending_invoice_items_behavior` cannot be set with `subscription`."
        raise invalid(message, "pending_invoice_items_behavior")
    return found


def _check(world: World, params: Json, customer: str, method: str) -> None:
    if "default_payment_method" in params:
        payment_methods.of_customer(world, params["default_payment_method"], customer, "default_payment_method")
    if "due_date" in params and "days_until_due" in params:
        raise invalid("`days_until_due` and `due_date` are exclusive.", "due_date", "parameters_exclusive")
    if method == "charge_automatically" and {"days_until_due", "due_date"} & set(params):
        raise invalid("A due date needs `collection_method=send_invoice`.", "due_date")
    if params.get("due_date", world.clock.seconds()) < world.clock.seconds():
        raise invalid("The `due_date` must be in the future.", "due_date")


def _write(world: World, invoice: Json, params: Json, deducted: deductions.Deductions) -> None:
    for name in ("collection_method", "default_payment_method", "due_date"):
        if name in params:
            invoice[name] = params[name]
    if invoice["collection_method"] == "send_invoice":
        invoice["next_payment_attempt"] = None
    for name in ("description", "footer"):
        if name in params:
            invoice[name] = params[name] or None
    if "days_until_due" in params:
        invoice |= {"_days_until_due": params["days_until_due"], "due_date": None}
    elif invoice["collection_method"] == "send_invoice" and not (invoice["due_date"] or invoice["_days_until_due"]):
        invoice["_days_until_due"] = 30
    invoice["metadata"] = fields.merge_metadata(invoice["metadata"], params.get("metadata"))
    if "auto_advance" in params:
        _advance(world, invoice, wanted=params["auto_advance"])
    deductions.apply_to_invoice(world, deducted, invoice)
    if invoice["status"] == "draft":
        totals.settle(world, invoice)


def _advance(world: World, invoice: Json, *, wanted: bool) -> None:
    """Let an invoice be finalised, or collected, by itself in an hour; or not at all."""
    if not wanted:
        invoices.stop(invoice)
        return
    later = world.clock.seconds() + renewals.DRAFT_SECONDS
    invoice["auto_advance"] = True
    if invoice["status"] == "draft":
        invoice["automatically_finalizes_at"] = later
        world.agenda.add(later, collection.finalize_draft, invoice["id"])
    elif invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = later
        world.agenda.add(later, collection.retry, invoice["id"])


def _finalize(world: World, call: Call) -> Json:
    invoice = _in_state(world, call, "draft", what="finalized")
    _check_owner(world, invoice)
    wanted = bool({"auto_advance": invoice["auto_advance"], **call.params}["auto_advance"])
    if not collection.finalize(world, invoice):
        return invoice
    _advance(world, invoice, wanted=wanted)
    if wanted and invoice["collection_method"] == "send_invoice":
        collection.send(world, invoice)
    return invoice


def _pay(world: World, call: Call) -> Json:
    invoice = world.table("invoice").get(call.ids[0], in_path=True)
    params = call.params
    if invoice["status"] not in ("draft", "open", "uncollectible"):
        raise invalid("Invoice is already paid" if invoice["status"] == "paid" else f"Invoice is {invoice['status']}")
    _check_owner(world, invoice)
    if collection.is_processing(world, invoice) and not params.get("paid_out_of_band"):
        message = "The PaymentIntent of this invoice has a status of processing: wait until it has come to its end."
        raise invalid(message, None, "payment_intent_unexpected_state")
    method: Json | None = None
    if "payment_method" in params:
        if params.get("paid_out_of_band"):
            raise invalid("`payment_method` cannot be set with `paid_out_of_band`.", "payment_method")
        method = payment_methods.of_customer(world, params["payment_method"], invoice["customer"], "payment_method")
    if invoice["status"] == "draft" and not collection.finalize(world, invoice):
        return invoice
    if params.get("paid_out_of_band"):
        collection.paid(world, invoice, out_of_band=True)
        return invoice
    refusal = collection.collect(world, invoice, method=method)
    if refusal is not None:
        raise collection.card_error(refusal)
    return invoice


def _send(world: World, call: Call) -> Json:
    invoice = world.table("invoice").get(call.ids[0], in_path=True)
    if invoice["collection_method"] != "send_invoice":
        raise invalid("You can only manually send an invoice if its collection method is 'send_invoice'.")
    _check_owner(world, invoice)
    waits = collection.finalize(world, invoice) if invoice["status"] == "draft" else invoice["status"] == "open"
    if waits:
        collection.send(world, invoice)
    return invoice


def _void(world: World, call: Call) -> Json:
    invoice = _in_state(world, call, "open", "uncollectible", what="voided")
    invoices.void(world, invoice)
    subscription = collection.subscription_of(world, invoice)
    if subscription is not None and pending_updates.waits_for(subscription, invoice):
        pending_updates.discard(world, subscription)
    return invoice


def _mark_uncollectible(world: World, call: Call) -> Json:
    invoice = _in_state(world, call, "open", what="marked uncollectible")
    invoices.mark_uncollectible(world, invoice, "user_forgiven")
    subscription = collection.subscription_of(world, invoice)
    if subscription is not None and pending_updates.waits_for(subscription, invoice, "resume"):
        pending_updates.apply(world, subscription, invoice)
    return invoice


def _delete(world: World, call: Call) -> Json:
    invoice = _in_state(world, call, "draft", what="deleted")
    if invoice["_subscription"] is not None:
        raise invalid("You can only delete one-off invoices; void this one once it is finalized.")
    for item in world.table("invoiceitem"):
        if item["invoice"] == invoice["id"]:
            item["invoice"] = None
    emit(world, "invoice.deleted", invoice)
    del world.table("invoice").rows[invoice["id"]]
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def _in_state(world: World, call: Call, *states: str, what: str) -> Json:
    invoice = world.table("invoice").get(call.ids[0], in_path=True)
    if invoice["status"] not in states:
        wanted = " or ".join(states)
        raise invalid(f"Only {wanted} invoices can be {what}; this one is {invoice['status']}.")
    return invoice


ROUTES = (
    Route(
        "POST",
        "/v1/invoices",
        _create,
        {
            **_FIELDS,
            "currency": fields.currency,
            "customer": fields.text,
            "pending_invoice_items_behavior": fields.one_of("exclude", "include"),
            "subscription": fields.text,
        },
    ),
    Route("POST", "/v1/invoices/{id}", _update, _FIELDS),
    Route("DELETE", "/v1/invoices/{id}", _delete),
    Route("POST", "/v1/invoices/{id}/finalize", _finalize, {"auto_advance": fields.boolean}),
    Route(
        "POST",
        "/v1/invoices/{id}/pay",
        _pay,
        {"off_session": fields.boolean, "paid_out_of_band": fields.boolean, "payment_method": fields.text},
    ),
    Route("POST", "/v1/invoices/{id}/send", _send),
    Route("POST", "/v1/invoices/{id}/void", _void),
    Route("POST", "/v1/invoices/{id}/mark_uncollectible", _mark_uncollectible),
)
