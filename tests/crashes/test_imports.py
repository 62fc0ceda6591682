"""SIGKILL anywhere in an import: the next one ends where an undisturbed one would have."""

from __future__ import annotations

from kernia_billing import Billing
from tests.crashes.deaths import Sample, Story, survive
from tests.crashes.stage import Stage
from tests.harness.house import open_billing


def _import(billing: Billing, _stage: Stage) -> None:
    billing.catalog.sync()


def _change_the_catalog(stage: Stage) -> None:
    """Let the catalog be imported, and then a product be renamed, a price be withdrawn, and others be added."""
    stage.open()
    stage.stripe.add_price("price_old", 500)
    with open_billing(stage.url, stage.stripe) as billing:
        billing.catalog.sync()
    stage.account.post(f"/v1/products/{stage.newest('product')['id']}", {"name": "Former"})
    stage.account.post("/v1/prices/price_old", {"active": "false"})
    stage.stripe.add_price("price_new", 700)
    stage.stripe.add_price("price_newer", 800, interval="year")


def _fill_pages(stage: Stage) -> None:
    stage.open()
    for number in range(101):
        stage.stripe.add_product(f"Product {number}")


def test_the_catalog(stage: Stage, sample: Sample) -> None:
    """New, changed and withdrawn products and prices are all there, once."""
    books = survive(stage, Story(_change_the_catalog, _import, _import), sample)
    assert len(books["billing_price"]) == len(books["Stripe's price"]) == 4
    assert len(books["billing_product"]) == len(books["Stripe's product"]) == 4


def test_a_catalog_of_two_pages(stage: Stage, sample: Sample) -> None:
    """The pages that were imported stay, and the others follow."""
    books = survive(stage, Story(_fill_pages, _import, _import), 2 if sample else 60)
    assert len(books["billing_product"]) == len(books["Stripe's product"]) == 102
