"""`billing.catalog`.

Generated from `_aio/catalog.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Page
from ..domain.catalog import PriceRow, ProductRow
from ..domain.plans import BillingInterval


class Catalog:
    """Stripe's products and prices."""

    def __init__(self, inner: _aio.Catalog) -> None:
        self._inner = inner

    def sync(self) -> Mapping[str, int]:
        """Import every product and price, inactive ones too; the mapping of prices to plans is never touched.

        Gives the counts `products`, `prices`, `created`, `updated` and `deactivated`.
        """
        return run_blocking(self._inner.sync())

    def map_price(self, price_id: str, plan: str, interval: BillingInterval) -> None:
        """Say that an imported price sells a plan. Where the configuration names the price too, the configuration wins.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or the price was not imported (PRICE_NOT_FOUND).
            InvalidInput: the price is not billed in this interval, or is inactive.
        """
        run_blocking(self._inner.map_price(price_id, plan, interval))

    def products(self, *, active: bool | None = None, limit: int = 100, cursor: str | None = None) -> Page[ProductRow]:
        """One page of the imported products."""
        return run_blocking(self._inner.products(active=active, limit=limit, cursor=cursor))

    def prices(
        self, *, active: bool | None = None, product_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[PriceRow]:
        """One page of the imported prices."""
        return run_blocking(self._inner.prices(active=active, product_id=product_id, limit=limit, cursor=cursor))
