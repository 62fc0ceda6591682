"""Stripe's products and prices as mirrored, and the reviewed mapping of prices to plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from ..errors import InvalidInput
from .instants import Instant
from .plans import BillingInterval
from .reading import Json, decimal, flag, id_of, instant, members, own_id, text, texts, whole
from .shapes import interval_of_price

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


def product_row(product: Json) -> ProductRow:
    """Read a Stripe product.

    Raises:
        InvalidInput: it has no id, or its time is beyond all time.
    """
    return ProductRow(
        id=own_id(product),
        active=flag(product.get("active")),
        name=text(product.get("name")) or "",
        description=text(product.get("description")),
        metadata=texts(product.get("metadata")),
        created_at=instant(product.get("created")) or 0,
    )


def price_row(price: Json) -> PriceRow:
    """Read a Stripe price; `product` may be an id or an expanded object.

    Raises:
        InvalidInput: it has no id, product or currency, or its time is beyond all time.
    """
    recurring = members(price.get("recurring"))
    interval, interval_count = interval_of_price({"recurring": recurring})
    exact = decimal(price.get("unit_amount_decimal"))
    return PriceRow(
        id=own_id(price),
        product_id=_needed(id_of(price.get("product")), "product"),
        active=flag(price.get("active")),
        currency=_needed(text(price.get("currency")), "currency"),
        type=text(price.get("type")) or ("recurring" if recurring else "one_time"),
        unit_amount=whole(price.get("unit_amount")),
        unit_amount_decimal=None if exact is None else f"{exact:f}",
        interval=interval,
        interval_count=interval_count,
        usage_type=text(recurring.get("usage_type")),
        billing_scheme=text(price.get("billing_scheme")) or "per_unit",
        meter=id_of(recurring.get("meter")),
        lookup_key=text(price.get("lookup_key")),
        nickname=text(price.get("nickname")),
        metadata=texts(price.get("metadata")),
        created_at=instant(price.get("created")) or 0,
    )


def _needed(value: str | None, field: str) -> str:
    if not value:
        raise InvalidInput("must be there", field=field)
    return value
