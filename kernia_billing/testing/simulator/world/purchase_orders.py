"""The orders in which Stripe was seen to tell of a purchase: the same objects, recorded at different times.

Stripe promises no order. Each of these is the order of a real log; what a log does not have, because it is younger or
was left out of it, stands where another log has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

PurchaseOrder: TypeAlias = Literal["2026-04", "2025-09", "2023-11", "shuffled"]
"""When the order was recorded; `shuffled` is none: the events of a purchase come in any order."""

_SESSION = "checkout.session.completed"
_PAYMENT = (
    "payment_method.attached",
    "customer.created",
    "charge.succeeded",
    "setup_intent.succeeded",
    "customer.updated",
    "customer.subscription.created",
    "payment_intent.succeeded",
    "payment_intent.created",
)
_INVOICE = (
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
    "invoiceitem.created",
)

BY_API = (*_PAYMENT, *_INVOICE)
"""A subscription made without Checkout, 2025-04: active when it is told, the payment succeeds before it is created."""

BY_CHECKOUT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "2026-04": (*_PAYMENT, _SESSION, *_INVOICE),
        "2025-09": (
            "charge.succeeded",
            "payment_method.attached",
            "customer.created",
            "setup_intent.succeeded",
            "customer.updated",
            _SESSION,
            "customer.subscription.created",
            "payment_intent.created",
            "payment_intent.succeeded",
            *_INVOICE,
        ),
        "2023-11": (*_PAYMENT, *_INVOICE, _SESSION),
    }
)
"""A purchase on the checkout page: its session completes before the invoice, before the subscription, or last."""
