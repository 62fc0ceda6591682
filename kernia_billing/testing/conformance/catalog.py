"""What a store does with the catalog and with plans."""

from __future__ import annotations

from decimal import Decimal

import pytest
from attrs import evolve

from ...domain.alerts import Threshold
from ...domain.plan_items import PlanItem, PlanVersion
from ...domain.plans import Feature
from ...domain.terms import Terms
from ...ports.store import DuplicateKey
from . import rows
from .harness import DrivenStore
from .rows import NOW


class CatalogConformance:
    """billing_product, billing_price, billing_plan_price, billing_feature."""

    def test_product_changes(self, store: DrivenStore) -> None:
        """Putting a product says whether it was created, updated, or the same."""
        row = rows.product(metadata={"ключ": "значение", "a": "1"}, description="long " * 5_000)
        changed = evolve(row, name="Pro 2", active=False)

        assert "created" == store.transaction(lambda tx: tx.catalog.put_product(row))
        assert row == store.read(lambda tx: tx.catalog.product(row.id))
        assert "unchanged" == store.transaction(lambda tx: tx.catalog.put_product(row))
        assert "updated" == store.transaction(lambda tx: tx.catalog.put_product(changed))
        assert changed == store.read(lambda tx: tx.catalog.product(row.id))
        assert store.read(lambda tx: tx.catalog.product("prod_b")) is None

    def test_price_changes(self, store: DrivenStore) -> None:
        """The same for a price, with everything missing that may be."""
        row = rows.price(metadata={"plan": "pro"}, lookup_key="pro_monthly", nickname="Monthly")
        bare = evolve(row, unit_amount=None, unit_amount_decimal=None, interval=None, interval_count=None)
        bare = evolve(bare, usage_type=None, lookup_key=None, nickname=None, meter="mtr_1", active=False)

        assert "created" == store.transaction(lambda tx: tx.catalog.put_price(row))
        assert row == store.read(lambda tx: tx.catalog.price(row.id))
        assert "unchanged" == store.transaction(lambda tx: tx.catalog.put_price(row))
        assert "updated" == store.transaction(lambda tx: tx.catalog.put_price(bare))
        assert bare == store.read(lambda tx: tx.catalog.price(row.id))

    def test_catalog_mark_deleted(self, store: DrivenStore) -> None:
        """A deleted object is archived and marked; an unknown one is nothing."""
        store.transaction(lambda tx: tx.catalog.put_product(rows.product()))
        store.transaction(lambda tx: tx.catalog.put_price(rows.price()))
        store.transaction(lambda tx: tx.catalog.mark_deleted("product", "prod_a"))
        store.each(["price_a", "price_b"], lambda tx, name: tx.catalog.mark_deleted("price", name))

        gone = rows.product(active=False, deleted=True)
        assert gone == store.read(lambda tx: tx.catalog.product("prod_a"))
        assert rows.price(active=False, deleted=True) == store.read(lambda tx: tx.catalog.price("price_a"))

    def test_price_lookups(self, store: DrivenStore) -> None:
        """By the lookup key that only an active price has; Stripe moves keys between prices."""
        old = rows.price("price_old", lookup_key="pro", active=False, created_at=NOW + 5)
        new = rows.price("price_new", lookup_key="pro")
        store.each([old, new], lambda tx, row: tx.catalog.put_price(row))

        assert new == store.read(lambda tx: tx.catalog.price_by_lookup_key("pro"))
        assert store.read(lambda tx: tx.catalog.price_by_lookup_key("PRO")) is None

    def test_catalog_pages(self, store: DrivenStore) -> None:
        """Pages in the order of ids, narrowed by what is given."""
        kinds = [("a", True, "x"), ("b", False, "x"), ("c", True, "y"), ("d", True, "x")]
        store.each(kinds, lambda tx, kind: tx.catalog.put_product(rows.product(kind[0], active=kind[1])))
        store.each(
            kinds, lambda tx, kind: tx.catalog.put_price(rows.price(kind[0], active=kind[1], product_id=kind[2]))
        )

        def products(active: bool | None, limit: int = 9, after: str | None = None) -> str:  # noqa: FBT001 - a filter, as the store takes it
            found = store.read(lambda tx: tx.catalog.products(active=active, limit=limit, after=after))
            return "".join(row.id for row in found)

        def prices(active: bool | None, of: str | None, after: str | None = None) -> str:  # noqa: FBT001 - a filter, as the store takes it
            found = store.read(lambda tx: tx.catalog.prices(active=active, product_id=of, limit=9, after=after))
            return "".join(row.id for row in found)

        assert ("abcd", "acd", "b") == (products(None), products(True), products(False))
        assert ("ab", "cd") == (products(None, 2), products(None, 2, "b"))
        assert ("abcd", "ad", "abd", "b") == (
            prices(None, None),
            prices(True, "x"),
            prices(None, "x"),
            prices(False, "x"),
        )
        assert "d" == prices(True, "x", after="a")

    def test_price_mapping(self, store: DrivenStore) -> None:
        """A price is mapped to one plan; mapping it again overwrites."""
        second = rows.mapping("price_b", plan="team", interval="year", role="seat")
        store.each([second, rows.mapping(), rows.mapping(plan="basic")], lambda tx, row: tx.catalog.map_price(row))

        assert rows.mapping(plan="basic") == store.read(lambda tx: tx.catalog.mapping("price_a"))
        assert store.read(lambda tx: tx.catalog.mapping("price_c")) is None
        assert [rows.mapping(plan="basic"), second] == store.read(lambda tx: tx.catalog.mappings())

    def test_feature_put(self, store: DrivenStore) -> None:
        """A feature may be put again, with exact credit costs."""
        feature = Feature("tokens", "Tokens", "token", 3, {"credits": Decimal("0.5"), "coins": 2})

        store.transaction(lambda tx: tx.catalog.put_feature(Feature("tokens"), "metered"))
        store.transaction(lambda tx: tx.catalog.put_feature(feature, "credit"))


def _version(number: int, content: str, *items: PlanItem) -> PlanVersion:
    return PlanVersion(f"plan:{number}", "pro", number, content, items)


class PlansConformance:
    """billing_plan and billing_plan_feature."""

    def test_plan_versions(self, store: DrivenStore) -> None:
        """Versions come back with their items; the newest is current."""
        items = (
            PlanItem("messages", "metered", 100, per_seat=True, reset="month", overage="billed", meter="mtr_1"),
            PlanItem("sso", "boolean", None),
            PlanItem("tokens", "credit", None, terms=Terms(debt="carry", alerts=(Threshold(80),)).text()),
        )
        one, two = _version(1, "h1", *items), _version(2, "h2")
        store.each([one, two], lambda tx, version: tx.plans.add(version, title="Pro", now=NOW))

        assert two == store.read(lambda tx: tx.plans.current("pro"))
        assert one == store.read(lambda tx: tx.plans.by_content("pro", "h1"))
        assert one == store.read(lambda tx: tx.plans.by_id("plan:1"))
        assert store.read(lambda tx: tx.plans.current("Pro")) is None
        assert store.read(lambda tx: tx.plans.by_content("pro", "h3")) is None
        assert store.read(lambda tx: tx.plans.by_id("plan:3")) is None

    @pytest.mark.parametrize(("number", "content"), [(1, "h2"), (2, "h1")])
    def test_plan_version_once(self, store: DrivenStore, number: int, content: str) -> None:
        """A version number and a content exist once for each plan; the loser leaves nothing."""
        store.transaction(lambda tx: tx.plans.add(_version(1, "h1"), title=None, now=NOW))
        late = evolve(_version(number, content, PlanItem("sso", "boolean", None)), id="plan:late")

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.plans.add(late, title=None, now=NOW))
        assert store.read(lambda tx: tx.plans.by_id("plan:late")) is None
