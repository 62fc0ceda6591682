"""Products and prices."""

from __future__ import annotations

from typing import Literal

from ...domain.catalog import PriceRow, ProductRow, price_row, product_row
from ...domain.reports import Outcome
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..core import Core
from .tickets import Fetched, Projection, bring_in


async def sync_catalog_object(core: Core, kind: Literal["product", "price"], stripe_id: str) -> Outcome:
    """Make our copy of a product or a price equal to Stripe's."""
    return await bring_in(core, PRODUCT if kind == "product" else PRICE, stripe_id)


def _write_product(_core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    if fetched.body is None:
        tx.catalog.mark_deleted("product", fetched.id)
        return "gone"
    tx.catalog.put_product(product_row(fetched.body))
    return "applied"


def _write_price(_core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    if fetched.body is None:
        tx.catalog.mark_deleted("price", fetched.id)
        return "gone"
    tx.catalog.put_price(price_row(fetched.body))
    return "applied"


def _product_rows(_core: Core, tx: Transaction, product: StripeObject) -> tuple[ProductRow, ProductRow] | None:
    row = product_row(product)
    stored = tx.catalog.product(row.id)
    return None if stored is None else (row, stored)


def _price_rows(_core: Core, tx: Transaction, price: StripeObject) -> tuple[PriceRow, PriceRow] | None:
    row = price_row(price)
    stored = tx.catalog.price(row.id)
    return None if stored is None else (row, stored)


PRODUCT = Projection("product", _write_product, _product_rows)
"""How products come in."""
PRICE = Projection("price", _write_price, _price_rows)
"""How prices come in."""
