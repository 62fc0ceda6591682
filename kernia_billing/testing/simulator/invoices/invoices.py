"""Invoices: draft, open, paid, void or uncollectible; lines are frozen when the invoice is finalised.

Not modelled: a minimum that Stripe charges at least, revisions, payments of a part, and shipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..api import lists
from ..metering import usage
from ..payments.payments import cancel_intent, new_intent
from ..world.errors import Json
from ..world.events import emit
from ..world.rendering import filler
from . import automatic_tax, discounts, invoice_lines, invoice_shape, totals
from .invoice_shape import Reason

if TYPE_CHECKING:
    from ..world.world import World

SHOWN_LINES = 10
"""How many lines an invoice carries itself; the others are read by pages."""


def draft(
    world: World,
    subscription: Json,
    reason: Reason,
    lines: list[Json],
    *,
    pending: Sequence[Json] = (),
    **more: Any,
) -> Json:
    """Make a draft for a subscription, with `more` of its fields, and emit `invoice.created`.

    The lines of the `pending` invoice items come first; from now on they belong to this invoice.
    """
    customer = world.table("customer").get(subscription["customer"])
    invoice = invoice_shape.blank(world, customer, subscription["currency"], reason) | {
        "automatic_tax": automatic_tax.of_invoice(subscription),
        "collection_method": subscription["collection_method"],
        "default_tax_rates": list(subscription["default_tax_rates"]),
        "discounts": list(subscription["discounts"]),
        "parent": invoice_shape.parent(subscription),
        "_subscription": subscription["id"],
        "_days_until_due": subscription["days_until_due"],
    }
    _fill_in(world, invoice, lines, pending, more)
    subscription["latest_invoice"] = invoice["id"]
    emit(world, "invoice.created", invoice)
    return invoice


def draft_by_hand(world: World, customer: Json, currency: str, pending: Sequence[Json], **more: Any) -> Json:
    """Make a draft of a customer's invoice items that belongs to no subscription, and emit `invoice.created`."""
    invoice = invoice_shape.blank(world, customer, currency, "manual") | {"auto_advance": False}
    _fill_in(world, invoice, [], pending, more)
    emit(world, "invoice.created", invoice)
    return invoice


def add_items(world: World, invoice: Json, items: Sequence[Json]) -> None:
    """Put invoice items on a draft, after what stands there, and compute its sums anew."""
    for item in items:
        item["invoice"] = invoice["id"]
        invoice["lines"]["data"].append(invoice_lines.item_line(world, item) | {"invoice": invoice["id"]})
    totals.settle(world, invoice)


def remove_item(world: World, invoice: Json, item: Json) -> None:
    """Take an invoice item off a draft and compute its sums anew."""
    kept = [line for line in invoice["lines"]["data"] if not _is_of(line, item["id"])]
    invoice["lines"]["data"] = kept
    totals.settle(world, invoice)


def finalize(world: World, invoice: Json, intent: Json | None = None) -> None:
    """Open a draft; nothing to pay makes it paid. `intent` is the payment that was made for it, if one was."""
    customer = world.table("customer").get(invoice["customer"])
    now, id = world.clock.seconds(), invoice["id"]
    usage.refresh(world, invoice)
    totals.close(world, invoice)
    invoice |= {
        "status": "open",
        "number": invoice["number"] or f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "hosted_invoice_url": f"{world.settings.invoice_base}/i/{world.account_id}/test_{id}",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{world.account_id}/test_{id}/pdf",
        "effective_at": now,
        "automatically_finalizes_at": None,
    }
    if invoice["_days_until_due"] is not None:
        invoice["due_date"] = now + invoice["_days_until_due"] * 86_400
    invoice["status_transitions"]["finalized_at"] = now
    customer["next_invoice_sequence"] += 1
    emit(world, "invoice.finalized", invoice)
    if invoice["amount_due"]:
        intent = intent or new_intent(world, invoice["amount_due"], invoice["currency"], customer["id"])
        _bind(world, invoice, intent)
    else:
        mark_paid(world, invoice)


def mark_paid(world: World, invoice: Json, *, out_of_band: bool = False) -> None:
    """Settle an open invoice in full and emit `invoice.paid`, `invoice.payment_succeeded`, `invoice_payment.paid`.

    Money that came `out_of_band` counts as paid too, while the payment that Stripe waited for is cancelled.
    """
    now = world.clock.seconds()
    attempted = bool(invoice["amount_due"]) and not out_of_band
    invoice |= {
        "status": "paid",
        "status_details": None,
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + (1 if attempted else 0),
        "next_payment_attempt": None,
        "auto_advance": False,
    }
    invoice["status_transitions"]["paid_at"] = now
    payment = payment_of(world, invoice)
    if payment is not None and out_of_band:
        _cancel_payment(world, invoice, payment)
        payment = None
    if payment is not None:
        payment |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment["status_transitions"]["paid_at"] = now
    emit(world, "invoice.paid", invoice)
    emit(world, "invoice.payment_succeeded", invoice)
    if payment is not None:
        emit(world, "invoice_payment.paid", payment)


def mark_processing(invoice: Json, *, automatic: bool) -> None:
    """Note that a bank debit is on its way: until it settles, nothing else is tried."""
    invoice |= {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": None,
        "_automatic": automatic,
    }


def mark_failed(world: World, invoice: Json, next_attempt: int | None, *, needs_action: bool = False) -> None:
    """Note that a payment failed and when it is tried again; emits `invoice.payment_failed`.

    `needs_action` adds `invoice.payment_action_required`: the person has to authenticate.
    """
    invoice |= {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": next_attempt,
        "auto_advance": next_attempt is not None,
    }
    emit(world, "invoice.payment_failed", invoice)
    if needs_action:
        emit(world, "invoice.payment_action_required", invoice)


def void(world: World, invoice: Json) -> None:
    """Void an open or uncollectible invoice; terminal."""
    invoice |= {"status": "void", "status_details": None, "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = world.clock.seconds()
    payment = payment_of(world, invoice)
    if payment is not None:
        _cancel_payment(world, invoice, payment)
    totals.release(world, invoice)
    emit(world, "invoice.voided", invoice)


def mark_uncollectible(world: World, invoice: Json, reason: str) -> None:
    """Give an open invoice up; it can still be paid or voided. Emits `invoice.marked_uncollectible`."""
    invoice |= {
        "status": "uncollectible",
        "auto_advance": False,
        "next_payment_attempt": None,
        "status_details": {"uncollectible": {"reason": reason}},
    }
    invoice["status_transitions"]["marked_uncollectible_at"] = world.clock.seconds()
    emit(world, "invoice.marked_uncollectible", invoice)


def stop(invoice: Json) -> None:
    """Let nothing happen to an invoice by itself any more."""
    invoice |= {"auto_advance": False, "next_payment_attempt": None, "automatically_finalizes_at": None}


def payment_of(world: World, invoice: Json) -> Json | None:
    """The payment of an invoice, if it needed one."""
    return next((row for row in world.table("invoice_payment") if row["invoice"] == invoice["id"]), None)


def intent_of(world: World, invoice: Json) -> Json:
    """The payment intent of an invoice that has something to pay."""
    payment = payment_of(world, invoice)
    return world.table("payment_intent").get(payment["payment"]["payment_intent"] if payment else "")


def of_subscription(world: World, subscription: str, *statuses: str) -> list[Json]:
    """The invoices of a subscription in one of these states, newest first."""
    rows = world.table("invoice")
    return [row for row in rows if row["_subscription"] == subscription and row["status"] in statuses]


@filler("invoice")
def _show_some_lines(world: World, shown: Json) -> None:
    if shown.get("deleted"):
        return
    lines = shown["lines"]["data"]
    seen = [{name: value for name, value in line.items() if not name.startswith("_")} for line in lines[:SHOWN_LINES]]
    shown["lines"] |= {"data": seen, "has_more": len(lines) > SHOWN_LINES}


def _fill_in(world: World, invoice: Json, lines: list[Json], pending: Sequence[Json], more: Json) -> None:
    """Write lines, sums and `more` fields of a new invoice, and keep it."""
    for item in pending:
        item["invoice"] = invoice["id"]
    made = [*(invoice_lines.item_line(world, item) for item in pending), *lines]
    for line in made:
        line["invoice"] = invoice["id"]
    invoice["lines"] = lists.embedded(made, f"/v1/invoices/{invoice['id']}/lines")
    invoice |= more
    discounts.put_on(world, invoice, inherit="discounts" not in more)
    world.table("invoice").add(invoice)
    totals.settle(world, invoice)


def _is_of(line: Json, item: str) -> bool:
    parent: Json = line["parent"]
    details: Json = parent["subscription_item_details"] or parent["invoice_item_details"]
    return bool(details["invoice_item"] == item)


def _cancel_payment(world: World, invoice: Json, payment: Json) -> None:
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = world.clock.seconds()
    cancel_intent(world, intent_of(world, invoice))


def _bind(world: World, invoice: Json, intent: Json) -> None:
    world.table("invoice_payment").add(
        {
            "id": world.ids.new("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": world.clock.seconds(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
