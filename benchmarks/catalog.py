"""The first import of a catalog, beside the bare inserts of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import httpx
from attrs import evolve, frozen
from sqlalchemy import Table, delete, select

from kernia_billing.domain.catalog import price_row, product_row
from kernia_billing.storage import tables

from .drivers import Cursor, cursor_of
from .harness import Bench, Benchmark, Result, Sample, Side, compare, one_caller_given
from .shop import Shop, online, open_shop

_EACH = 500
"""How many products, and as many prices."""
_PAGE = 100
_TABLES = (tables.product, tables.price, tables.stripe_object)


@frozen
class _Account:
    """A catalog at Stripe, listed page by page."""

    products: Sequence[Mapping[str, Any]]
    prices: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, number: int) -> _Account:
        """One with so many products and prices."""
        return cls([_product(each) for each in range(number)], [_price(each) for each in range(number)])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """A page of the list that is asked for."""
        kind = request.url.path.rsplit("/", 1)[1]
        listed = self.products if kind == "products" else self.prices
        after = request.url.params.get("starting_after")
        first = 0 if after is None else int(after.rsplit("_", 1)[1]) + 1
        page = listed[first : first + _PAGE]
        content = {"object": "list", "url": f"/v1/{kind}", "data": page, "has_more": first + _PAGE < len(listed)}
        return httpx.Response(200, json=content)


def _product(number: int) -> dict[str, Any]:
    return {
        "id": f"prod_{number}",
        "object": "product",
        "active": True,
        "created": 1_767_225_600 + number,
        "description": f"What number {number} is good for",
        "images": [],
        "livemode": False,
        "metadata": {"sku": f"sku-{number}"},
        "name": f"Product {number}",
        "type": "service",
        "updated": 1_767_225_600 + number,
    }


def _price(number: int) -> dict[str, Any]:
    return {
        "id": f"price_{number}",
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": 1_767_225_600 + number,
        "currency": "usd",
        "livemode": False,
        "lookup_key": f"lookup-{number}",
        "metadata": {},
        "nickname": None,
        "product": f"prod_{number}",
        "recurring": {"interval": "month", "interval_count": 1, "meter": None, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": 100 + number,
        "unit_amount_decimal": str(100 + number),
    }


def _insert(shop: Shop, cursor: Cursor, account: _Account) -> Callable[[], None]:
    """Insert the rows, a page a transaction."""
    begin = "BEGIN IMMEDIATE" if shop.flavour == "sqlite" else "BEGIN"
    kinds = [
        (tables.product, [_product_values(each) for each in account.products]),
        (tables.price, [_price_values(each) for each in account.prices]),
    ]

    def insert() -> None:
        for table, rows in kinds:
            statement = _insert_into(table, "?" if shop.flavour == "sqlite" else "%s")
            for first in range(0, len(rows), _PAGE):
                cursor.execute(begin)
                for row in rows[first : first + _PAGE]:
                    cursor.execute(statement, row)
                cursor.execute("COMMIT")

    return insert


def _product_values(product: Mapping[str, Any]) -> Sequence[object]:
    row = product_row(product)
    return (row.id, 1, row.name, row.description, json.dumps(row.metadata), row.created_at, 0)


def _price_values(price: Mapping[str, Any]) -> Sequence[object]:
    row = price_row(price)
    return (
        *(row.id, row.product_id, 1, row.currency, row.type, row.unit_amount, row.unit_amount_decimal),
        *(row.interval, row.interval_count, row.usage_type, row.billing_scheme, row.meter, row.lookup_key),
        *(row.nickname, json.dumps(row.metadata), row.created_at, 0),
    )


def _insert_into(table: Table, placeholder: str) -> str:
    names = ", ".join(column.name for column in table.columns)
    places = ", ".join(placeholder for _ in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 - names of ours


def _measure(bench: Bench, engine: str) -> Result:
    account = _Account.of(_EACH)
    number = len(account.products) + len(account.prices)
    counts: list[Mapping[str, int]] = []
    with (
        open_shop(bench.servers, engine, 1) as copy,
        open_shop(bench.servers, engine, 1) as shop,
        cursor_of(copy) as cursor,
        online(shop, account.answer) as billing,
    ):
        result = compare(
            f"catalog import, {engine}, {number} objects",
            f"inserts by {'sqlite3' if engine == 'sqlite' else 'psycopg'}, {_PAGE} a transaction",
            baseline=_repeatedly(copy, number, _insert(copy, cursor, account)),
            ours=_repeatedly(shop, number, lambda: counts.append(billing.catalog.sync())),
            settings=bench.settings,
        )
        problems = [*_problems(shop, account, counts), *(f"baseline: {each}" for each in _problems(copy, account, []))]
    return evolve(result, problems=problems)


def _repeatedly(shop: Shop, number: int, work: Callable[[], object]) -> Side:
    """Each time into empty tables; counts objects."""

    def empty() -> None:
        with shop.engine.begin() as connection:
            for table in _TABLES:
                connection.execute(delete(table))

    side = one_caller_given(empty, lambda _: work())

    def run(seconds: float) -> Sample:
        sample = side(seconds)
        return Sample(sample.count * number, sample.seconds)

    return run


def _problems(shop: Shop, account: _Account, counts: Sequence[Mapping[str, int]]) -> list[str]:
    """Every object is there as it was told, and every import said that it created it."""
    told = {"products": len(account.products), "prices": len(account.prices)}
    whole = {**told, "created": sum(told.values()), "updated": 0, "deactivated": 0}
    found = [f"an import counted {each}" for each in counts if each != whole]
    with shop.engine.connect() as connection:
        products = {row.id: row.name for row in connection.execute(select(tables.product))}
        prices = {row.id: (row.product_id, row.unit_amount) for row in connection.execute(select(tables.price))}
    if products != {each["id"]: each["name"] for each in account.products}:
        found.append("products differ from Stripe's")
    if prices != {each["id"]: (each["product"], each["unit_amount"]) for each in account.prices}:
        found.append("prices differ from Stripe's")
    return found


BENCHMARKS = (
    Benchmark("catalog", "catalog", "sqlite", partial(_measure, engine="sqlite")),
    Benchmark("catalog/postgresql", "catalog", "postgresql", partial(_measure, engine="postgresql")),
)
