"""From 2025-03-31.basil back to 2024-04-10: subscriptions, Checkout, credit notes; for invoices see there."""

from __future__ import annotations

from typing import Any

from ..world.errors import Json
from . import basil_invoices
from .basil_invoices import old_taxes
from .step import Step, Target, id_of, part


def _subscription(target: Target, shown: Json) -> None:
    items: list[Json] = part(shown, "items").get("data", [])
    for name in ("current_period_start", "current_period_end"):
        found = [item[name] for item in items if name in item]
        if found:
            shown[name] = min(found)
    shown["discount"] = _last_discount(target, shown)
    shown["billing_thresholds"] = None


def _item(target: Target, shown: Json) -> None:
    shown["billing_thresholds"] = None


def _last_discount(target: Target, shown: Json) -> Json | None:
    """The one discount that the old shape has, whole."""
    discounts: list[Any] = shown.get("discounts") or []
    return target.embed(target.find(id_of(discounts[-1]))) if discounts else None


def _invoice(target: Target, shown: Json) -> None:
    basil_invoices.invoice(target, shown)
    shown["discount"] = _last_discount(target, shown)


def _schedule(target: Target, shown: Json) -> None:
    part(shown, "default_settings")["billing_thresholds"] = None
    phases: list[Json] = shown.get("phases", [])
    for phase in phases:
        phase |= {"billing_thresholds": None, "coupon": _coupon_of_phase(target, phase)}
        for item in phase.get("items", []):
            item["billing_thresholds"] = None


def _coupon_of_phase(target: Target, phase: Json) -> str | None:
    discounts: list[Json] = phase.get("discounts") or []
    coupon: str | None = id_of(discounts[-1].get("coupon")) if discounts else None
    return coupon


def _session(target: Target, shown: Json) -> None:
    shown["shipping_details"] = part(shown, "collected_information").get("shipping_details")


def _price(target: Target, shown: Json) -> None:
    if isinstance(shown.get("recurring"), dict):
        shown["recurring"]["aggregate_usage"] = None


def _plan(target: Target, shown: Json) -> None:
    shown["aggregate_usage"] = None


def _intent(target: Target, shown: Json) -> None:
    shown["invoice"] = _invoice_of(target, shown.get("id"))


def _charge(target: Target, shown: Json) -> None:
    shown["invoice"] = _invoice_of(target, id_of(shown.get("payment_intent")))


def _invoice_of(target: Target, intent: object) -> str | None:
    rows = target.world.table("invoice_payment")
    return next((row["invoice"] for row in rows if row["payment"].get("payment_intent") == intent), None)


def _credit_note(target: Target, shown: Json) -> None:
    refunds: list[Json] = shown.get("refunds") or []
    shown["refund"] = refunds[0].get("refund") if refunds else None
    shown["tax_amounts"] = old_taxes(shown.get("total_taxes") or [])


def _credit_note_line(target: Target, shown: Json) -> None:
    shown["tax_amounts"] = old_taxes(shown.get("taxes") or [])


_CARD_ADVICE = tuple(f"outcome.{name}" for name in ("advice_code", "network_advice_code", "network_decline_code"))

STEP = Step(
    "2024-04-10",
    removed={
        **basil_invoices.REMOVED,
        "billing_portal.configuration": ("features.subscription_update.schedule_at_period_end",),
        "charge": ("presentment_details", *_CARD_ADVICE),
        "checkout.session": (
            "adaptive_pricing",
            "collected_information",
            "custom_fields.dropdown.default_value",
            "custom_fields.numeric.default_value",
            "custom_fields.text.default_value",
            "discounts",
            "optional_items",
            "permissions",
            "presentment_details",
            "saved_payment_method_options",
            "tax_id_collection.required",
        ),
        "credit_note": ("pretax_credit_amounts", "refunds", "total_taxes"),
        "credit_note_line_item": ("pretax_credit_amounts", "taxes"),
        "customer": ("invoice_settings.rendering_options.template",),
        "customer_balance_transaction": ("checkout_session",),
        "dispute": (
            "enhanced_eligibility_types",
            "evidence.enhanced_evidence",
            "evidence_details.enhanced_eligibility",
            "payment_method_details.card.case_type",
        ),
        "payment_intent": ("presentment_details",),
        "payment_method": ("allow_redisplay", "card.generated_from", "card.regulated_status"),
        "subscription": ("automatic_tax.disabled_reason", "invoice_settings"),
        "subscription_item": ("current_period_end", "current_period_start"),
        "subscription_schedule": (
            "default_settings.automatic_tax.disabled_reason",
            "phases.automatic_tax.disabled_reason",
        ),
        "tax_rate": ("flat_amount", "rate_type"),
        "test_helpers.test_clock": ("status_details",),
    },
    changes={
        "charge": _charge,
        "checkout.session": _session,
        "credit_note": _credit_note,
        "credit_note_line_item": _credit_note_line,
        "invoice": _invoice,
        "invoiceitem": basil_invoices.invoice_item,
        "line_item": basil_invoices.line,
        "payment_intent": _intent,
        "plan": _plan,
        "price": _price,
        "subscription": _subscription,
        "subscription_item": _item,
        "subscription_schedule": _schedule,
    },
    expandable={
        "charge": ("invoice",),
        "invoice": ("charge", "payment_intent"),
        "payment_intent": ("invoice",),
    },
)
