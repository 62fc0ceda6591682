"""billing_product, billing_price, billing_plan_price, billing_feature: the mirrored catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from sqlalchemy import update

from ..domain.catalog import PriceMapping, PriceRow, ProductRow
from ..domain.plans import Feature, FeatureKind
from ..ports.mirror import Change
from . import tables
from .db import Noun, Shape
from .dialects import Variants, upsert
from .pages import Pages
from .types import number_param, text_param

T = TypeVar("T")

_FLAGS = ("active", "deleted")
_PRODUCT = Shape(ProductRow, tables.product, flags=_FLAGS)
_PRICE = Shape(PriceRow, tables.price, flags=_FLAGS, type="price_type", interval="interval_unit")
_MAPPING = Shape(PriceMapping, tables.plan_price, interval="billing_interval")

_product, _price, _mapping = tables.product.c, tables.price.c, tables.plan_price.c
_ID = text_param("id")
_IS_ACTIVE = number_param("is_active")
_AFTER = text_param("after")

_PRODUCT_BY_ID = _PRODUCT.select().where(_product.id == _ID)
_PRICE_BY_ID = _PRICE.select().where(_price.id == _ID)
_BY_LOOKUP_KEY = (
    _PRICE.select()
    .where(_price.lookup_key == text_param("key"), _price.active == 1)
    .order_by(_price.created_at.desc(), _price.id.desc())
    .limit(1)
)
_PRODUCTS = Pages(
    _PRODUCT.select().where(_product.id > _AFTER).order_by(_product.id), active=_product.active == _IS_ACTIVE
)
_PRICES = Pages(
    _PRICE.select().where(_price.id > _AFTER).order_by(_price.id),
    active=_price.active == _IS_ACTIVE,
    product=_price.product_id == text_param("product"),
)
_PUT_PRODUCT = upsert(tables.product, "id")
_PUT_PRICE = upsert(tables.price, "id")
_DELETED = {
    kind: update(table).values(active=0, deleted=1).where(table.c.id == text_param("stripe"))
    for kind, table in (("product", tables.product), ("price", tables.price))
}
_MAPPING_OF = _MAPPING.select().where(_mapping.price_id == _ID)
_MAPPINGS = _MAPPING.select().order_by(_mapping.price_id)
_PUT_MAPPING = upsert(tables.plan_price, "price_id")
_PUT_FEATURE = upsert(tables.feature, "feature_key")


class Catalog(Noun):
    """The port of the same name."""

    __slots__ = ()

    def put_product(self, row: ProductRow) -> Change:
        """Insert or overwrite a product."""
        return self._put(_PUT_PRODUCT, _PRODUCT, row, self.product(row.id))

    def put_price(self, row: PriceRow) -> Change:
        """Insert or overwrite a price."""
        return self._put(_PUT_PRICE, _PRICE, row, self.price(row.id))

    def _put(self, statement: Variants, shape: Shape[T], row: T, stored: T | None) -> Change:
        if row == stored:
            return "unchanged"
        self._db.run(statement, shape.values(row))
        return "created" if stored is None else "updated"

    def mark_deleted(self, kind: Literal["product", "price"], stripe_id: str) -> None:
        """Note that Stripe no longer has the object; nothing where there is no row."""
        self._db.run(_DELETED[kind], {"stripe": stripe_id})

    def product(self, product_id: str) -> ProductRow | None:
        """One product."""
        return _PRODUCT.read_or_none(self._db.one(_PRODUCT_BY_ID, {"id": product_id}))

    def price(self, price_id: str) -> PriceRow | None:
        """One price."""
        return _PRICE.read_or_none(self._db.one(_PRICE_BY_ID, {"id": price_id}))

    def price_by_lookup_key(self, lookup_key: str) -> PriceRow | None:
        """The active price that has this lookup key now."""
        return _PRICE.read_or_none(self._db.one(_BY_LOOKUP_KEY, {"key": lookup_key}))

    def products(self, *, active: bool | None, limit: int, after: str | None) -> Sequence[ProductRow]:
        """Products in the order of their ids."""
        return _PRODUCT.read_all(self._db.all(_PRODUCTS.given(active=active), _window(limit, after, active=active)))

    def prices(
        self, *, active: bool | None, product_id: str | None, limit: int, after: str | None
    ) -> Sequence[PriceRow]:
        """Prices in the order of their ids."""
        statement = _PRICES.given(active=active, product=product_id)
        return _PRICE.read_all(self._db.all(statement, {**_window(limit, after, active=active), "product": product_id}))

    def map_price(self, mapping: PriceMapping) -> None:
        """Insert or overwrite the mapping of a price."""
        self._db.run(_PUT_MAPPING, _MAPPING.values(mapping))

    def mapping(self, price_id: str) -> PriceMapping | None:
        """What a price is mapped to."""
        return _MAPPING.read_or_none(self._db.one(_MAPPING_OF, {"id": price_id}))

    def mappings(self) -> Sequence[PriceMapping]:
        """Every mapping, in the order of price ids."""
        return _MAPPING.read_all(self._db.all(_MAPPINGS, {}))

    def put_feature(self, feature: Feature, kind: FeatureKind) -> None:
        """Insert or overwrite a feature."""
        values = {
            "feature_key": feature.key,
            "kind": kind,
            "title": feature.title,
            "unit": feature.unit,
            "scale": feature.scale,
            # A Decimal is kept as text: it is exact, and JSON's numbers are not.
            "credit_cost": {
                key: cost if isinstance(cost, int) else str(cost) for key, cost in feature.credit_cost.items()
            },
            "aggregation": feature.aggregation,
        }
        self._db.run(_PUT_FEATURE, values)


def _window(limit: int, after: str | None, *, active: bool | None) -> dict[str, Any]:
    return {"is_active": None if active is None else int(active), "limit": limit, "after": after or ""}
