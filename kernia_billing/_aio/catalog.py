"""`billing.catalog`."""

from __future__ import annotations

from collections.abc import Mapping

from ..compose import Wiring
from ..domain.answers import (
    Page,
)
from ..domain.catalog import PriceRow, ProductRow
from ..domain.plans import BillingInterval
from ..operations import (
    catalog,
    plans,
)


class Catalog:
    """Stripe's products and prices."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def sync(self) -> Mapping[str, int]:
        """Import every product and price, inactive ones too; the mapping of prices to plans is never touched.

        Gives the counts `products`, `prices`, `created`, `updated` and `deactivated`.
        """
        return await catalog.sync(self._wiring.core)

    async def map_price(self, price_id: str, plan: str, interval: BillingInterval) -> None:
        """Say that an imported price sells a plan. Where the configuration names the price too, the configuration wins.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or the price was not imported (PRICE_NOT_FOUND).
            InvalidInput: the price is not billed in this interval, or is inactive.
        """
        await plans.map_price(self._wiring.core, price_id, plan, interval)

    async def products(
        self, *, active: bool | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[ProductRow]:
        """One page of the imported products."""
        return await catalog.products(self._wiring.core, active=active, limit=limit, cursor=cursor)

    async def prices(
        self,
        *,
        active: bool | None = None,
        product_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[PriceRow]:
        """One page of the imported prices."""
        return await catalog.prices(self._wiring.core, active=active, product_id=product_id, limit=limit, cursor=cursor)
