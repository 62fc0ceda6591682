"""Stripe's products and prices as mirrored, and the reviewed mapping of prices to plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from .instants import Instant, from_seconds
from .plans import BillingInterval

PriceRole = Literal["base", "seat"]


@frozen
class ProductRow:
    """A Stripe product. `active` is false for archived and for deleted ones."""

    id: str
    active: bool
    name: str
    description: str | None
    metadata: Mapping[str, str]
    created_at: Instant
    deleted: bool = False


@frozen
class PriceRow:
    """A Stripe price. `unit_amount` is in the minor unit of `currency`, None where it is decimal, tiered or custom."""

    id: str
    product_id: str
    active: bool
    currency: str
    type: str
    unit_amount: int | None
    unit_amount_decimal: str | None
    interval: str | None
    interval_count: int | None
    usage_type: str | None
    billing_scheme: str
    meter: str | None
    lookup_key: str | None
    nickname: str | None
    metadata: Mapping[str, str]
    created_at: Instant
    deleted: bool = False

    @property
    def metered(self) -> bool:
        """Billed by usage: Stripe refuses a quantity for it."""
        return self.usage_type == "metered"


@frozen
class PriceMapping:
    """Says that a price sells a plan; written by `map_price` after a person reviewed the imported price."""

    price_id: str
    plan: str
    interval: BillingInterval
    role: PriceRole
    created_at: Instant


@frozen
class SyncState:
    """How the last import of a kind of object went."""

    kind: str
    started_at: Instant
    finished_at: Instant
    counts: Mapping[str, int]


def product_row(product: Mapping[str, Any]) -> ProductRow:
    """Read a Stripe product."""
    return ProductRow(
        id=product["id"],
        active=bool(product.get("active", False)),
        name=product.get("name") or "",
        description=product.get("description"),
        metadata=dict(product.get("metadata") or {}),
        created_at=from_seconds(product.get("created", 0)),
    )


def price_row(price: Mapping[str, Any]) -> PriceRow:
    """Read a Stripe price; `product` may be an id or an expanded object."""
    recurring: Mapping[str, Any] = price.get("recurring") or {}
    product = price["product"]
    return PriceRow(
        id=price["id"],
        product_id=product if isinstance(product, str) else product["id"],
        active=bool(price.get("active", False)),
        currency=price["currency"],
        type=price.get("type", "recurring" if recurring else "one_time"),
        unit_amount=price.get("unit_amount"),
        unit_amount_decimal=price.get("unit_amount_decimal"),
        interval=recurring.get("interval"),
        interval_count=recurring.get("interval_count"),
        usage_type=recurring.get("usage_type"),
        billing_scheme=price.get("billing_scheme", "per_unit"),
        meter=recurring.get("meter"),
        lookup_key=price.get("lookup_key"),
        nickname=price.get("nickname"),
        metadata=dict(price.get("metadata") or {}),
        created_at=from_seconds(price.get("created", 0)),
    )
