"""From 2025-09-30.clover back to 2025-03-31.basil: coupons inside discounts and promotion codes, no billing mode."""

from __future__ import annotations

from ..world.errors import Json
from .step import Step, Target, id_of, part


def _discount(target: Target, shown: Json) -> None:
    shown["coupon"] = _coupon(target, id_of(part(shown, "source").get("coupon")))


def _promotion_code(target: Target, shown: Json) -> None:
    shown["coupon"] = _coupon(target, id_of(part(shown, "promotion").get("coupon")))


def _coupon(target: Target, id: object) -> Json | None:
    """The coupon; a discount outlives the one that it came from, of which nothing but the id is known then."""
    found = target.embed(target.find(id))
    return found or ({"id": id, "object": "coupon", "deleted": True} if id is not None else None)


STEP = Step(
    "2025-03-31.basil",
    removed={
        "balance_transaction": ("balance_type",),
        "billing_portal.configuration": (
            "features.subscription_update.products.adjustable_quantity",
            "features.subscription_update.trial_update_behavior",
            "name",
        ),
        "charge": ("billing_details.tax_id",),
        "checkout.session": (
            "automatic_tax.provider",
            "branding_settings",
            "collected_information.business_name",
            "collected_information.individual_name",
            "customer_details.business_name",
            "customer_details.individual_name",
            "excluded_payment_method_types",
            "invoice_creation.invoice_data.rendering_options.template",
            "name_collection",
            "origin_context",
            "wallet_options",
        ),
        "credit_note": ("post_payment_amount", "pre_payment_amount"),
        "customer": ("business_name", "individual_name"),
        "discount": ("source",),
        "event": ("context",),
        "invoice": ("automatic_tax.provider",),
        "invoiceitem": ("net_amount", "proration_details"),
        "payment_intent": ("excluded_payment_method_types",),
        "payment_method": ("billing_details.tax_id",),
        "promotion_code": ("promotion",),
        "subscription": ("billing_mode", "billing_thresholds"),
        "subscription_item": ("billing_thresholds",),
        "subscription_schedule": (
            "billing_mode",
            "default_settings.billing_thresholds",
            "phases.add_invoice_items.metadata",
            "phases.add_invoice_items.period",
            "phases.billing_thresholds",
            "phases.items.billing_thresholds",
        ),
    },
    changes={"discount": _discount, "promotion_code": _promotion_code},
)
