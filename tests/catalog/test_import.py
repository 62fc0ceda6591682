"""Stripe's products and prices, imported whole and kept up to date, beside a mapping that only people change."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from attrs import evolve

from kernia_billing import InvalidInput, Money, NotFound, Plan, Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Page
from kernia_billing.operations import catalog
from kernia_billing.ports.store import Needs, Rollback, Store, Transaction, Unit
from kernia_billing.testing import Fault
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import PLANS, Rows, Shop, envelope

T = TypeVar("T")
NOTHING_NEW = {"created": 0, "updated": 0, "deactivated": 0}


def _sync(shop: Shop) -> dict[str, int]:
    return dict(shop.billing.catalog.sync())


def _catalog(rows: Rows) -> Any:
    return rows["product"], rows["price"], rows["plan_price"], rows["stripe_object"]


def test_every_page_is_imported_inactive_ones_too(each_shop: Shop) -> None:
    """250 products and 450 prices, some archived: all are there, counted, listed in pages, and the state is noted."""
    shop = each_shop
    products = [shop.stripe.add_product(f"Product {number}") for number in range(250)]
    for number in range(450):
        shop.stripe.add_price(f"price_n{number:03}", number + 1, product=products[number % 250])
    shop.account.post(f"/v1/products/{products[7]}", {"active": "false"})
    for number in (3, 4):
        shop.account.post(f"/v1/prices/price_n{number:03}", {"active": "false"})
    made_up = len(shop.objects("product")) - 250
    first = _sync(shop)
    total = {"products": 250 + made_up, "prices": len(shop.objects("price"))}
    assert first == {**total, "created": sum(total.values()), "updated": 0, "deactivated": 0}
    assert total["prices"] >= 450
    archived = [each.id for each in shop.billing.catalog.prices(active=False)]
    assert archived == ["price_n003", "price_n004"]
    assert [each.id for each in shop.billing.catalog.products(active=False)] == [products[7]]
    walked, cursor = list[str](), None
    while True:
        page: Page[Any] = shop.billing.catalog.prices(limit=200, cursor=cursor)
        walked += [each.id for each in page]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert walked == sorted(each["id"] for each in shop.objects("price"))
    before = _catalog(shop.rows())
    assert _sync(shop) == {**total, **NOTHING_NEW}
    assert _catalog(shop.rows()) == before
    (state,) = shop.rows()["sync_state"]
    assert (state["kind"], state["counts"]) == ("catalog", {**total, **NOTHING_NEW})
    assert state["started_at"] <= state["finished_at"] == shop.stripe.clock.now()


def test_changes_are_counted(quiet_shop: Shop) -> None:
    """New, changed and archived objects are counted apart; an archived one is changed as well."""
    shop = quiet_shop
    total = _sync(shop)["products"]
    product = shop.stripe.add_product("New")
    shop.stripe.add_price("price_new", 100, product=product)
    shop.account.post("/v1/prices/price_pro", {"nickname": "Professional"})
    shop.account.post("/v1/prices/price_team", {"active": "false"})
    counts = _sync(shop)
    assert counts["products"] == total + 1
    assert {name: counts[name] for name in NOTHING_NEW} == {"created": 2, "updated": 2, "deactivated": 1}
    assert {name: _sync(shop)[name] for name in NOTHING_NEW} == NOTHING_NEW


def test_the_import_never_touches_the_mapping(shop: Shop) -> None:
    """What a person mapped stays, whatever happens to the price at Stripe."""
    shop.stripe.add_price("price_own", 500)
    _sync(shop)
    shop.billing.catalog.map_price("price_own", "mapped", "month")
    mapping = shop.rows()["plan_price"]
    shop.account.post("/v1/prices/price_own", {"active": "false"})
    shop.stripe.flush()
    _sync(shop)
    assert shop.rows()["plan_price"] == mapping


@pytest.mark.parametrize("kind", ["product", "price"])
def test_a_webhook_that_lands_between_reading_and_writing_wins(quiet_shop: Shop, kind: str) -> None:
    """The import read a page, then the object changed and its news was stored: the page does not overwrite it."""
    shop = quiet_shop
    _sync(shop)
    product = str(shop.account.get("/v1/prices/price_pro")["product"])
    path = f"/v1/products/{product}" if kind == "product" else "/v1/prices/price_pro"
    field = "name" if kind == "product" else "nickname"
    shop.account.post(path, {field: "Older"})
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.page

    async def then_news(where: str, *rest: Any, **options: Any) -> Any:
        page = await real(where, *rest, **options)
        if where == f"/v1/{kind}s":
            shop.account.post(path, {field: "Newer"})
            shop.stripe.deliver(shop.event_ids(f"{kind}.updated")[-1])
        return page

    stripe.page = then_news
    _sync(shop)
    rows = {row["id"]: row for row in shop.rows()[kind]}
    assert rows[product if kind == "product" else "price_pro"][field] == "Newer"


def test_a_deleted_product_is_a_tombstone_that_nothing_revives(quiet_shop: Shop) -> None:
    """The news of a deletion marks the row, an older piece of news does not bring it back, an import neither."""
    shop = quiet_shop
    product = shop.stripe.add_product("Short-lived")
    _sync(shop)
    shop.account.post(f"/v1/products/{product}", {"name": "Renamed"})
    shop.account.delete(f"/v1/products/{product}")
    shop.stripe.deliver(*shop.event_ids("product.deleted"))
    shop.stripe.deliver(*shop.event_ids("product.updated"), *shop.event_ids("product.created"))
    _sync(shop)
    row = next(row for row in shop.rows()["product"] if row["id"] == product)
    assert (row["deleted"], row["active"]) == (1, 0)
    assert product not in [each.id for each in shop.billing.catalog.products(active=True)]
    (ticket,) = [row for row in shop.rows()["stripe_object"] if row["stripe_id"] == product]
    assert ticket["deleted"] == 1


def test_news_of_products_and_prices_keep_the_copy_up_to_date(shop: Shop) -> None:
    """Created, changed and archived at Stripe: the copy follows without an import."""
    product = shop.stripe.add_product("Fresh")
    shop.stripe.add_price("price_fresh", 100, product=product)
    shop.account.post(f"/v1/products/{product}", {"name": "Fresher"})
    shop.account.post("/v1/prices/price_fresh", {"active": "false"})
    shop.stripe.flush()
    (row,) = [each for each in shop.billing.catalog.products() if each.id == product]
    (price,) = shop.billing.catalog.prices(product_id=product)
    assert (row.name, price.id, price.active, price.unit_amount) == ("Fresher", "price_fresh", False, 100)


def test_an_import_that_breaks_off_keeps_what_it_has_and_goes_on(shop: Shop) -> None:
    """Stripe fails at the third page: what came stays, no state is noted, and the next run completes."""
    for number in range(250):
        shop.stripe.add_product(f"Product {number}")
    shop.stripe.faults.append(Fault("status", 500, method="GET", path="/v1/products", skip=2, times=None))
    with pytest.raises(Unavailable):
        shop.billing.catalog.sync()
    assert len(shop.rows()["product"]) == 200
    assert shop.rows()["sync_state"] == []
    shop.stripe.faults.clear()
    assert shop.billing.catalog.sync()["products"] == len(shop.objects("product"))
    assert len(shop.rows()["product"]) == len(shop.objects("product"))


BAD_MAPPINGS = [
    (("price_unknown", "mapped", "month"), NotFound, "PRICE_NOT_FOUND"),
    (("price_own", "nosuch", "month"), NotFound, "PLAN_NOT_FOUND"),
    (("price_own", "mapped", "year"), InvalidInput, "interval"),
    (("price_own", "mapped", "week"), InvalidInput, "interval"),
    (("price_own", "mapped", None), InvalidInput, "interval"),
    (("price_once", "mapped", "month"), InvalidInput, "interval"),
    (("price_quarter", "mapped", "month"), InvalidInput, "interval"),
    (("price_archived", "mapped", "month"), InvalidInput, "price_id"),
    (("", "mapped", "month"), InvalidInput, "price_id"),
    ((5, "mapped", "month"), InvalidInput, "price_id"),
]


@pytest.mark.parametrize(("arguments", "error", "what"), BAD_MAPPINGS)
def test_only_a_fitting_imported_price_can_be_mapped(
    shop: Shop, arguments: Any, error: type[Exception], what: str
) -> None:
    """Unknown, archived, one-time, quarterly and otherwise billed prices are refused by name; nothing is mapped."""
    shop.stripe.add_price("price_own", 500)
    shop.stripe.add_price("price_once", 500, interval=None)
    shop.stripe.add_price("price_archived", 500)
    shop.account.post("/v1/prices/price_archived", {"active": "false"})
    _sync(shop)
    quarter = shop.account.get("/v1/prices/price_own")
    quarter |= {"id": "price_quarter", "recurring": {**quarter["recurring"], "interval_count": 3}}
    shop.stripe.state.world.table("price").rows["price_quarter"] = quarter
    shop.post(envelope("price.created", quarter, "evt_quarter"))
    with pytest.raises(error) as refusal:
        shop.billing.catalog.map_price(*arguments)
    assert what in (getattr(refusal.value, "code", None), getattr(refusal.value, "field", None))
    assert shop.rows()["plan_price"] == []


def test_the_configuration_wins_over_a_mapping(open_shop: Open) -> None:
    """A price that the configuration names sells what the configuration says, whatever the database says."""
    shop = open_shop()
    _sync(shop)
    shop.billing.catalog.map_price("price_pro", "team", "month")
    assert shop.buy().plan == "pro"
    views = {each.name: each for each in shop.billing.plans.list()}
    assert views["team"].monthly == Money(1_000, "usd")
    assert views["pro"].monthly == Money(1_000, "usd")


def test_a_mapping_can_be_changed(shop: Shop) -> None:
    """The last mapping of a price counts."""
    shop.stripe.add_price("price_own", 500, "eur")
    _sync(shop)
    shop.billing.catalog.map_price("price_own", "mapped", "month")
    shop.billing.catalog.map_price("price_own", "free", "month")
    views = {each.name: each.monthly for each in shop.billing.plans.list()}
    assert (views["free"], views["mapped"]) == (Money(500, "eur"), None)


def test_plans_are_shown_with_their_money(shop: Shop) -> None:
    """The pricing page: amounts in minor units from the import, by price id, lookup key and mapping; None before."""
    assert {(each.monthly, each.annual) for each in shop.billing.plans.list()} == {(None, None)}
    product = shop.stripe.add_product("Keyed")
    for key, interval, amount in (("keyed_month", "month", "700"), ("keyed_year", "year", "7000")):
        params = {"product": product, "currency": "jpy", "unit_amount": amount, "recurring[interval]": interval}
        shop.account.post("/v1/prices", {**params, "lookup_key": key})
    shop.stripe.add_price("price_own", 900, "eur")
    _sync(shop)
    shop.billing.catalog.map_price("price_own", "mapped", "month")
    views = {each.name: each for each in shop.billing.plans.list()}
    assert list(views) == [plan.name for plan in PLANS]
    assert (views["pro"].monthly, views["pro"].annual) == (Money(1_000, "usd"), Money(10_000, "usd"))
    assert (views["keyed"].monthly, views["keyed"].annual) == (Money(700, "jpy"), Money(7_000, "jpy"))
    assert (views["mapped"].monthly, views["mapped"].annual) == (Money(900, "eur"), None)
    assert (views["free"].monthly, views["trial"].trial_days) == (None, 14)
    assert views["pro"].features == PLANS[1].features


def test_a_changed_plan_is_a_new_version(open_shop: Open) -> None:
    """Publishing the same plans again adds nothing; a plan with other contents gets a version of its own."""
    from kernia_billing import Quantity

    shop = open_shop()
    _sync(shop)
    known = shop.rows()["plan"]
    assert len(known) == len(PLANS)
    _sync(shop)
    assert shop.rows()["plan"] == known
    shop.open(plans=[*PLANS[:-1], Plan("mapped", features={"projects": Quantity(10)})]).catalog.sync()
    versions = [(row["plan_key"], row["version"]) for row in shop.rows()["plan"] if row["plan_key"] == "mapped"]
    assert sorted(versions) == [("mapped", 1), ("mapped", 2)]


@pytest.mark.parametrize("limit", [0, 201, True, 1.0, "10"])
def test_pages_have_1_to_200_rows(shop: Shop, limit: Any) -> None:
    """A limit out of range is refused by name."""
    for listing in (shop.billing.catalog.products, shop.billing.catalog.prices, shop.billing.customers.list):
        with pytest.raises(InvalidInput) as refusal:
            listing(limit=limit)
        assert refusal.value.field == "limit"


class _Conflicting:
    """A store in which every transaction meets another one at first, so that its unit runs twice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.read = store.read
        self.close = store.close

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run the unit in vain, and again."""

        def undone(tx: Transaction) -> T:
            raise Rollback(unit(tx))

        await self._store.transaction(undone, host=host)
        return await self._store.transaction(unit, host=host)


def test_a_transaction_that_is_repeated_is_counted_once(quiet_shop: Shop) -> None:
    """The counts are of what was committed."""
    core = quiet_shop.billing._wiring.core
    counts = run_blocking(catalog.sync(evolve(core, store=_Conflicting(core.store))))
    assert counts["created"] == counts["products"] + counts["prices"] > 0
