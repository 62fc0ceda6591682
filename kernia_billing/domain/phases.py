"""Phases of a subscription schedule in the form in which Stripe takes them: what is not named again would be gone."""

from __future__ import annotations

from typing import Any

from .reading import Json, entries, id_of, listed, texts

_AS_THEY_ARE = (
    *("start_date", "end_date", "trial_end", "billing_cycle_anchor", "collection_method", "currency", "description"),
    "proration_behavior",
)


def phase_as_sent(phase: Json) -> dict[str, Any]:
    """A phase as Stripe shows it, with its items, as a member of `phases` (Stripe, "Update a schedule")."""
    sent: dict[str, Any] = {
        **{name: phase.get(name) for name in _AS_THEY_ARE},
        "items": [item_as_sent(each) for each in listed(phase.get("items"))],
        "default_payment_method": id_of(phase.get("default_payment_method")),
        "discounts": _discounts(phase),
        "default_tax_rates": _ids(phase.get("default_tax_rates")),
        "metadata": texts(phase.get("metadata")) or None,
    }
    return {name: value for name, value in sent.items() if value is not None}


def item_as_sent(item: Json) -> dict[str, Any]:
    """An item of a phase as a member of its `items`."""
    sent: dict[str, Any] = {
        "price": id_of(item.get("price")),
        "quantity": item.get("quantity"),
        "discounts": _discounts(item),
        "tax_rates": _ids(item.get("tax_rates")),
        "metadata": texts(item.get("metadata")) or None,
    }
    return {name: value for name, value in sent.items() if value is not None}


def _discounts(holder: Json) -> list[dict[str, str]] | None:
    names = ("discount", "promotion_code", "coupon")
    told: list[dict[str, str]] = []
    for each in listed(holder.get("discounts")):
        given = {name: id_of(each.get(name)) for name in names}
        told += [{name: id} for name, id in given.items() if id is not None][:1]
    return told or None


def _ids(rates: object) -> list[str] | None:
    found = [id_of(each) for each in entries(rates)]
    return [each for each in found if each is not None] or None
