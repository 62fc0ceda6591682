"""Invoices: draft, open, paid, void or uncollectible; lines are frozen when the invoice is finalised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from . import account, lists, prices
from .errors import Json
from .events import emit
from .payments import cancel_intent, new_intent

if TYPE_CHECKING:
    from .world import World

Reason = Literal["subscription_create", "subscription_cycle", "subscription_update"]


def draft(world: World, subscription: Json, reason: Reason, lines: list[Json], **more: Any) -> Json:
    """Make a draft of those lines, with `more` of its fields, and emit `invoice.created`."""
    customer = world.table("customer").get(subscription["customer"])
    invoice = _blank(world, subscription, customer, reason)
    for line in lines:
        line["invoice"] = invoice["id"]
    total = sum(line["amount"] for line in lines)
    invoice["lines"] = lists.embedded(lines, f"/v1/invoices/{invoice['id']}/lines")
    names = ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax")
    invoice |= dict.fromkeys(names, total) | more
    world.table("invoice").add(invoice)
    subscription["latest_invoice"] = invoice["id"]
    emit(world, "invoice.created", invoice)
    return invoice


def line(world: World, subscription: Json, item: Json, quantity: int, period: tuple[int, int]) -> Json:
    """An invoice line for `quantity` units of a subscription item over a period, in UTC seconds."""
    price = world.table("price").get(item["price"])
    return _line(world, subscription, price, quantity, period) | {
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        }
    }


def free_line(world: World, subscription: Json, item: Json, period: tuple[int, int]) -> Json:
    """A line over a trial or before any usage: nothing to pay."""
    made = line(world, subscription, item, item.get("quantity") or 0, period)
    return made | {"amount": 0, "subtotal": 0}


def one_time_line(world: World, subscription: Json, price: Json, quantity: int) -> Json:
    """A line for a one-time price sold along with a subscription."""
    now = world.clock.seconds()
    return _line(world, subscription, price, quantity, (now, now)) | {
        "parent": {
            "invoice_item_details": {
                "invoice_item": world.ids.new("ii"),
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    }


def finalize(world: World, invoice: Json, intent: Json | None = None) -> None:
    """Open a draft; nothing to pay makes it paid. `intent` is the payment that was made for it, if one was."""
    customer = world.table("customer").get(invoice["customer"])
    now, id = world.clock.seconds(), invoice["id"]
    invoice |= {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{world.account_id}/test_{id}",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{world.account_id}/test_{id}/pdf",
        "effective_at": now,
        "ending_balance": 0,
        "automatically_finalizes_at": None,
    }
    invoice["status_transitions"]["finalized_at"] = now
    customer["next_invoice_sequence"] += 1
    emit(world, "invoice.finalized", invoice)
    if invoice["amount_due"]:
        intent = intent or new_intent(world, invoice["amount_due"], invoice["currency"], customer["id"])
        _bind(world, invoice, intent)
    else:
        mark_paid(world, invoice)


def mark_paid(world: World, invoice: Json) -> None:
    """Settle an open invoice in full and emit `invoice.paid`, `invoice.payment_succeeded`, `invoice_payment.paid`."""
    now = world.clock.seconds()
    invoice |= {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + (1 if invoice["amount_due"] else 0),
        "next_payment_attempt": None,
        "auto_advance": False,
    }
    invoice["status_transitions"]["paid_at"] = now
    payment = payment_of(world, invoice)
    if payment is not None:
        payment |= {"status": "paid", "amount_paid": invoice["amount_due"]}
        payment["status_transitions"]["paid_at"] = now
    emit(world, "invoice.paid", invoice)
    emit(world, "invoice.payment_succeeded", invoice)
    if payment is not None:
        emit(world, "invoice_payment.paid", payment)


def mark_failed(world: World, invoice: Json, next_attempt: int | None) -> None:
    """Note that a payment failed and when it is tried again; emits `invoice.payment_failed`."""
    invoice |= {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": next_attempt,
        "auto_advance": next_attempt is not None,
    }
    emit(world, "invoice.payment_failed", invoice)


def void(world: World, invoice: Json) -> None:
    """Void an open invoice; terminal."""
    invoice |= {"status": "void", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = world.clock.seconds()
    payment = payment_of(world, invoice)
    if payment is not None:
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = world.clock.seconds()
        cancel_intent(world, intent_of(world, invoice))
    emit(world, "invoice.voided", invoice)


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


def _line(world: World, subscription: Json, price: Json, quantity: int, period: tuple[int, int]) -> Json:
    amount = prices.cost(price, quantity)
    product = world.table("product").get(price["product"])
    return {
        "id": world.ids.new("il"),
        "object": "line_item",
        "amount": amount,
        "currency": subscription["currency"],
        "description": f"{quantity} × {product['name']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": dict(subscription["metadata"]),
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription["id"],
        "subtotal": amount,
        "taxes": [],
    }


def _blank(world: World, subscription: Json, customer: Json, reason: Reason) -> Json:
    now = world.clock.seconds()
    return {
        "id": world.ids.new("in"),
        "object": "invoice",
        "account_country": account.COUNTRY,
        "account_name": world.settings.account_name,
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "created": now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": None,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
        "_subscription": subscription["id"],
    }
