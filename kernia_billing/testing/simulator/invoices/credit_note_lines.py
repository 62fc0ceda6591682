"""The lines of a credit note: parts of invoice lines, with their share of discounts and taxes, or amounts by hand."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..api import fields
from ..catalog import tax_rates
from ..catalog.tax_rates import taxes_on
from ..world.errors import Json, invalid
from . import totals

if TYPE_CHECKING:
    from ..world.world import World

LINES = fields.list_of(
    fields.fields(
        required=("type",),
        amount=fields.integer(0, 99_999_999),
        description=fields.text,
        invoice_line_item=fields.text,
        quantity=fields.integer(1, 999_999),
        tax_rates=tax_rates.IDS,
        type=fields.one_of("custom_line_item", "invoice_line_item"),
        unit_amount=fields.integer(0, 99_999_999),
    )
)
"""Reads `lines`."""


def lines_of(world: World, invoice: Json, given: Iterable[Json]) -> list[Json]:
    """The lines of a note of an invoice.

    Raises:
        ApiError: an entry names no line of the invoice, or lacks its amount or description.
    """
    made: list[Json] = []
    for index, entry in enumerate(given):
        at = f"lines[{index}]"
        is_custom = entry["type"] == "custom_line_item"
        made.append(_custom(world, invoice, entry, at) if is_custom else _credited(world, invoice, entry, at))
    return made


def sums(lines: list[Json]) -> Json:
    """The sums of a note with these lines."""
    discounted = sum(line["discount_amount"] for line in lines)
    taxes = totals.summed_taxes(lines)
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    included = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
    subtotal = sum(line["amount"] for line in lines)
    net = subtotal - discounted
    return {
        "discount_amount": discounted,
        "discount_amounts": totals.summed_discounts(lines),
        "pretax_credit_amounts": totals.summed_credits(lines),
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - included,
        "total": net + added,
        "total_excluding_tax": net - included,
        "total_taxes": taxes,
    }


def _credited(world: World, invoice: Json, entry: Json, at: str) -> Json:
    id = entry.get("invoice_line_item")
    line = next((row for row in invoice["lines"]["data"] if row["id"] == id), None)
    if line is None:
        raise invalid(f"No such line of the invoice: '{id}'", f"{at}[invoice_line_item]", "resource_missing")
    if ("amount" in entry) == ("quantity" in entry):
        raise invalid("You must pass exactly one of `amount` and `quantity`.", f"{at}[amount]")
    whole: int = line["amount"]
    parts = Decimal(entry["quantity"]) / (line["quantity"] or 1) if "quantity" in entry else None
    amount = _rounded(whole * parts) if parts is not None else entry["amount"]
    if whole <= 0 or amount > whole:
        raise invalid(f"The line can be credited with {max(0, whole)} at most.", f"{at}[amount]")
    share = Decimal(amount) / whole
    discounts = [{**row, "amount": _rounded(row["amount"] * share)} for row in line["discount_amounts"]]
    credits = [{**row, "amount": _rounded(row["amount"] * share)} for row in line["pretax_credit_amounts"]]
    taxes = [
        {**tax, **{name: _rounded(tax[name] * share) for name in ("amount", "taxable_amount")}} for tax in line["taxes"]
    ]
    more = {"invoice_line_item": id, "tax_rates": tax_rates.rates_of(world, invoice, line)}
    made = _blank(world, "invoice_line_item", amount, line["description"], entry.get("quantity"))
    return made | _deducted(discounts, credits, taxes) | more


def _custom(world: World, invoice: Json, entry: Json, at: str) -> Json:
    for name in ("description", "unit_amount"):
        if name not in entry:
            raise invalid(f"Missing required param: {at}[{name}].", f"{at}[{name}]", "parameter_missing")
    if "invoice_line_item" in entry or "amount" in entry:
        raise invalid("A custom line takes `unit_amount` and `quantity` only.", f"{at}[type]")
    quantity = entry.get("quantity", 1)
    amount = entry["unit_amount"] * quantity
    rates = tax_rates.named(world, entry.get("tax_rates"), f"{at}[tax_rates]")
    made = _blank(world, "custom_line_item", amount, entry["description"], quantity)
    taxes = taxes_on(rates, amount, invoice["customer_tax_exempt"])
    unit = {"unit_amount": entry["unit_amount"], "unit_amount_decimal": str(entry["unit_amount"])}
    return made | _deducted([], [], taxes) | unit | {"tax_rates": rates}


def _deducted(discounts: list[Json], credits: list[Json], taxes: list[Json]) -> Json:
    return {
        "discount_amount": sum(row["amount"] for row in discounts),
        "discount_amounts": discounts,
        "pretax_credit_amounts": credits,
        "taxes": taxes,
    }


def _blank(world: World, type: str, amount: int, description: str | None, quantity: int | None) -> Json:
    return {
        "id": world.ids.new("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": description,
        "livemode": False,
        "metadata": {},
        "quantity": quantity,
        "type": type,
        "unit_amount": None,
        "unit_amount_decimal": None,
    }


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
