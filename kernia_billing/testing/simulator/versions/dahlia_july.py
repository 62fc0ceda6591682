"""From 2026-07-29.dahlia back to 2026-03-25.dahlia: billing ahead, and what a pending update holds."""

from __future__ import annotations

from .step import Step

_INVOICE_TEXTS = ("custom_fields", "description", "footer")

STEP = Step(
    "2026-03-25.dahlia",
    removed={
        "checkout.session": ("managed_payments",),
        "dispute": ("payment_method_details.card.network",),
        "invoice": ("amount_paid_off_stripe",),
        "invoiceitem": ("proration_details.credited_items",),
        "payment_intent": ("allowed_payment_method_types", "managed_payments"),
        "refund": ("customer", "customer_account", "payment_method"),
        "setup_intent": ("allowed_payment_method_types", "managed_payments"),
        "subscription": (
            "billing_schedules",
            "managed_payments",
            "pending_update.discount",
            "pending_update.discounts",
            "pending_update.metadata",
            *(f"invoice_settings.{name}" for name in _INVOICE_TEXTS),
        ),
        "subscription_item": ("billed_until",),
        "subscription_schedule": (
            "phases.add_invoice_items.discountable",
            "phases.trial",
            *(f"default_settings.invoice_settings.{name}" for name in _INVOICE_TEXTS),
            *(f"phases.invoice_settings.{name}" for name in _INVOICE_TEXTS),
        ),
    },
    changes={},
)
