"""From 2026-03-25.dahlia back to 2025-09-30.clover: the names of Checkout's pages, owners that are accounts."""

from __future__ import annotations

from ..world.errors import Json
from .step import Step, Target

_PAGES = {"hosted_page": "hosted", "embedded_page": "embedded", "elements": "custom", "form": "custom"}


def _session(target: Target, shown: Json) -> None:
    if "ui_mode" in shown:
        shown["ui_mode"] = _PAGES.get(shown["ui_mode"], shown["ui_mode"])


STEP = Step(
    "2025-09-30.clover",
    removed={
        "billing.credit_balance_summary": ("customer_account",),
        "billing.credit_grant": ("customer_account",),
        "billing_portal.configuration": (
            "features.payment_method_update.payment_method_configuration",
            "features.subscription_update.billing_cycle_anchor",
        ),
        "billing_portal.session": ("customer_account",),
        "checkout.session": ("customer_account", "integration_identifier"),
        "credit_note": ("customer_account", "refunds.payment_record_refund", "refunds.type"),
        "credit_note_line_item": ("metadata",),
        "customer": ("customer_account", "tax.provider"),
        "customer_balance_transaction": ("customer_account",),
        "discount": ("customer_account",),
        "invoice": ("customer_account",),
        "invoice_payment": ("payment.payment_record",),
        "invoiceitem": ("customer_account", "quantity_decimal"),
        "item": ("adjustable_quantity", "metadata"),
        "line_item": ("quantity_decimal", "subtotal"),
        "payment_intent": (
            "amount_details.discount_amount",
            "amount_details.error",
            "amount_details.line_items",
            "amount_details.shipping",
            "amount_details.tax",
            "customer_account",
            "hooks",
            "payment_details",
        ),
        "payment_method": ("customer_account",),
        "promotion_code": ("customer_account",),
        "setup_intent": ("customer_account", "excluded_payment_method_types"),
        "subscription": ("customer_account", "presentment_details"),
        "subscription_schedule": ("customer_account",),
        "tax_id": ("customer_account", "owner.customer_account"),
    },
    changes={"checkout.session": _session},
)
