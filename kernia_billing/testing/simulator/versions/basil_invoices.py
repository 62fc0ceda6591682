"""Invoices, their lines and invoice items as they were before 2025-03-31.basil, which moved most of their fields."""

from __future__ import annotations

from typing import Any

from ..world.errors import Json
from .plans import plan_of
from .step import Target, id_of, part

_ERROR_ADVICE = ("advice_code", "network_advice_code", "network_decline_code")
REMOVED: dict[str, tuple[str, ...]] = {
    "invoice": (
        "amount_overpaid",
        "automatic_tax.disabled_reason",
        "automatically_finalizes_at",
        "confirmation_secret",
        "parent",
        "payments",
        "rendering.template",
        "rendering.template_version",
        "total_pretax_credit_amounts",
        "total_taxes",
        *(f"last_finalization_error.{name}" for name in _ERROR_ADVICE),
    ),
    "invoiceitem": ("parent", "pricing"),
    "line_item": ("parent", "pretax_credit_amounts", "pricing", "taxes"),
}


def invoice(target: Target, shown: Json) -> None:
    """Put the subscription, the payment, the tax and `paid` back to the top of an invoice."""
    details = part(shown, "parent", "subscription_details")
    payments = _payments_of(target, shown)
    taxes: list[Json] = shown.get("total_taxes") or []
    shown |= {
        "application_fee_amount": None,
        "paid": shown.get("status") == "paid",
        "paid_out_of_band": any(row["payment"]["type"] == "payment_record" for row in payments)
        or _by_hand(target, shown, payments),
        "payment_intent": _first(payments, "payment_intent"),
        "charge": _charge_of(target, payments),
        "quote": part(shown, "parent", "quote_details").get("quote"),
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")},
        "tax": sum(row["amount"] for row in taxes) if taxes else None,
        "total_tax_amounts": old_taxes(taxes),
        "transfer_data": None,
    }
    if "subscription_proration_date" in details:
        shown["subscription_proration_date"] = details["subscription_proration_date"]


def line(target: Target, shown: Json) -> None:
    """Put the price, the plan, the kind and the proration back to the top of an invoice line."""
    of_item = part(shown, "parent", "invoice_item_details")
    details = of_item or part(shown, "parent", "subscription_item_details")
    price = _price_of(target, shown)
    taxes: list[Json] = shown.get("taxes") or []
    included = sum(row["amount"] for row in taxes if row.get("tax_behavior") == "inclusive")
    shown |= {
        "amount_excluding_tax": shown.get("amount", 0) - included,
        "price": target.embed(price),
        "plan": _plan_of(target, price),
        "proration": details.get("proration", False),
        "proration_details": details.get("proration_details") or {"credited_items": None},
        "tax_amounts": old_taxes(taxes),
        "tax_rates": _tax_rates(target, taxes),
        "type": "invoiceitem" if details.get("invoice_item") else "subscription",
        "unit_amount_excluding_tax": part(shown, "pricing").get("unit_amount_decimal"),
    }
    for name in ("invoice_item", "subscription_item"):
        if details.get(name) is not None:
            shown[name] = details[name]


def invoice_item(target: Target, shown: Json) -> None:
    """Put the price and the subscription back to the top of an invoice item."""
    details = part(shown, "parent", "subscription_details")
    price, pricing = _price_of(target, shown), part(shown, "pricing")
    unit = pricing.get("unit_amount_decimal")
    shown |= {
        "price": target.embed(price),
        "plan": _plan_of(target, price),
        "subscription": details.get("subscription"),
        "unit_amount": int(unit) if unit is not None and str(unit).lstrip("-").isdigit() else None,
        "unit_amount_decimal": unit,
    }
    if details.get("subscription_item") is not None:
        shown["subscription_item"] = details["subscription_item"]


def old_taxes(taxes: list[Json]) -> list[Json]:
    """`taxes` of today as the `tax_amounts` that they were."""
    return [
        {
            "amount": row["amount"],
            "inclusive": row.get("tax_behavior") == "inclusive",
            "tax_rate": part(row, "tax_rate_details").get("tax_rate"),
            "taxability_reason": None,
            "taxable_amount": row.get("taxable_amount"),
        }
        for row in taxes
    ]


def _payments_of(target: Target, shown: Json) -> list[Json]:
    rows = target.world.table("invoice_payment")
    return sorted((row for row in rows if row["invoice"] == shown.get("id")), key=lambda row: not row["is_default"])


def _by_hand(target: Target, shown: Json, payments: list[Json]) -> bool:
    """Whether an invoice with something to pay was marked as paid without a payment."""
    paid = shown.get("status") == "paid" and bool(shown.get("amount_due"))
    return paid and not any(row["status"] == "paid" for row in payments)


def _first(payments: list[Json], name: str) -> str | None:
    found = (row["payment"].get(name) for row in payments)
    return next((id for id in found if id is not None), None)


def _charge_of(target: Target, payments: list[Json]) -> str | None:
    intent = target.find(_first(payments, "payment_intent"))
    charge: str | None = intent["latest_charge"] if intent else _first(payments, "charge")
    return charge


def _price_of(target: Target, shown: Json) -> Json | None:
    price: Any = part(shown, "pricing", "price_details").get("price")
    return target.find(id_of(price))


def _plan_of(target: Target, price: Json | None) -> Json | None:
    """The plan that stood beside a recurring price."""
    if price is None or price.get("recurring") is None:
        return None
    return target.embed(plan_of(price))


def _tax_rates(target: Target, taxes: list[Json]) -> list[Json]:
    found = (target.find(part(row, "tax_rate_details").get("tax_rate")) for row in taxes)
    return [shown for rate in found if (shown := target.embed(rate)) is not None]
