"""What quantities cost: tiers, packages, decimals; and which prices Stripe takes."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.testing.simulator.catalog import tiers
from tests.simulator.metering import meter
from tests.simulator.shop import Shop

_TIERED = {"billing_scheme": "tiered", "tiers_mode": "graduated"}
_LADDER: dict[str, Any] = {
    "tiers[0][up_to]": "10",
    "tiers[0][unit_amount]": "100",
    "tiers[1][up_to]": "inf",
    "tiers[1][unit_amount_decimal]": "0.5",
    "tiers[1][flat_amount]": "20",
}


def _tiered(mode: str) -> dict[str, Any]:
    ladder: list[dict[str, Any]] = [
        {"up_to": 10, "unit_amount": 100},
        {"up_to": 100, "unit_amount": 50, "flat_amount": 1_000},
        {"up_to": None, "unit_amount_decimal": "0.5"},
    ]
    return {"billing_scheme": "tiered", "tiers_mode": mode, "_tiers": tiers.read(ladder)}


def _per_unit(each: str, divide_by: int | None = None, rounding: str = "up") -> dict[str, Any]:
    transform = None if divide_by is None else {"divide_by": divide_by, "round": rounding}
    return {"billing_scheme": "per_unit", "unit_amount_decimal": each, "transform_quantity": transform}


@pytest.mark.parametrize(
    ("mode", "quantity", "amount"),
    [
        ("graduated", 0, 0),
        ("graduated", 10, 1_000),
        ("graduated", 11, 1_000 + 1_000 + 50),
        ("graduated", 100, 1_000 + 1_000 + 4_500),
        ("graduated", 101, 6_501),
        ("graduated", 103, 6_502),
        ("volume", 10, 1_000),
        ("volume", 11, 1_000 + 550),
        ("volume", 100, 1_000 + 5_000),
        ("volume", 101, 51),
    ],
)
def test_tiers(mode: str, quantity: int, amount: int) -> None:
    """Graduated tiers price each unit in its tier, volume all units in one; flat amounts come with a tier reached."""
    assert amount == tiers.cost(_tiered(mode), quantity)


@pytest.mark.parametrize("mode", ["graduated", "volume"])
def test_the_first_flat_amount_is_a_base_fee(mode: str) -> None:
    """Nothing used falls in the first tier, whose flat amount is due."""
    price = {**_tiered(mode), "_tiers": tiers.read([{"up_to": None, "flat_amount": 700}])}

    assert (700, 700) == (tiers.cost(price, 0), tiers.cost(price, 5))


@pytest.mark.parametrize(
    ("price", "quantity", "amount"),
    [
        (_per_unit("0.5"), 3, 2),
        (_per_unit("0.05"), 10_000, 500),
        (_per_unit("0.000000000001"), 10**12, 1),
        (_per_unit("300", 1_000), 1, 300),
        (_per_unit("300", 1_000), 1_000, 300),
        (_per_unit("300", 1_000), 1_001, 600),
        (_per_unit("300", 1_000, "down"), 1_999, 300),
        (_per_unit("300", 1_000, "down"), 999, 0),
        (_per_unit("7"), -3, 0),
    ],
)
def test_units_and_packages(price: dict[str, Any], quantity: int, amount: int) -> None:
    """Decimals are exact until the end and halves go up; packages round before they are priced."""
    assert amount == tiers.cost(price, quantity)


_LADDERS = st.lists(
    st.tuples(st.integers(1, 40), st.decimals(0, 500, places=3), st.integers(0, 900)), min_size=1, max_size=5
)


@given(steps=_LADDERS, quantity=st.integers(0, 150))
def test_graduated_is_unit_by_unit(steps: list[tuple[int, Decimal, int]], quantity: int) -> None:
    """A graduated amount is what its units cost one by one, with the flat amount of each tier that has a unit."""
    given_tiers: list[dict[str, Any]] = []
    reached = 0
    for width, each, flat in steps:
        reached += width
        given_tiers.append({"up_to": reached, "unit_amount_decimal": str(each), "flat_amount": flat})
    given_tiers[-1]["up_to"] = None
    price = {"billing_scheme": "tiered", "tiers_mode": "graduated", "_tiers": tiers.read(given_tiers)}

    expected = Decimal(given_tiers[0]["flat_amount"])
    entered = {0}
    for unit in range(1, quantity + 1):
        index = next(i for i, tier in enumerate(given_tiers) if tier["up_to"] is None or unit <= tier["up_to"])
        expected += Decimal(given_tiers[index]["unit_amount_decimal"])
        if index not in entered:
            entered.add(index)
            expected += Decimal(given_tiers[index]["flat_amount"])
    assert int(expected.quantize(Decimal(1), rounding=ROUND_HALF_UP)) == tiers.cost(price, quantity)


@given(quantity=st.integers(0, 10_000), divide_by=st.integers(1, 500))
def test_packages_hold_the_quantity(quantity: int, divide_by: int) -> None:
    """Rounded up, the packages hold everything and no more than one is not full; rounded down, all are full."""
    up = tiers.packages(_per_unit("1", divide_by, "up"), quantity)
    down = tiers.packages(_per_unit("1", divide_by, "down"), quantity)

    assert (up - 1) * divide_by < quantity <= up * divide_by or quantity == up == 0
    assert down * divide_by <= quantity < (down + 1) * divide_by


def test_tiers_are_shown_when_asked_for(shop: Shop) -> None:
    """A tiered price keeps its tiers, the last without an end, and shows them only expanded."""
    recurring = {"recurring[interval]": "month", "recurring[usage_type]": "metered", "recurring[meter]": meter(shop)}
    product = shop.stripe.add_product("Tokens")
    params = {"currency": "usd", "product": product, **_TIERED, **_LADDER, **recurring}
    made = shop.post("/v1/prices", params)
    shown = shop.get(f"/v1/prices/{made['id']}", {"expand[0]": "tiers"})
    plain = shop.get(f"/v1/prices/{shop.price()}", {"expand[0]": "tiers"})

    assert "tiers" not in made
    assert ("tiered", "graduated", None) == (shown["billing_scheme"], shown["tiers_mode"], shown["unit_amount"])
    assert [(10, 100, "100", None), (None, None, "0.5", 20)] == [
        (tier["up_to"], tier["unit_amount"], tier["unit_amount_decimal"], tier["flat_amount"])
        for tier in shown["tiers"]
    ]
    assert plain["tiers"] is None
    assert recurring["recurring[meter]"] == shown["recurring"]["meter"]
    listed = shop.get("/v1/prices", {"recurring[meter]": recurring["recurring[meter]"]})["data"]
    assert [made["id"]] == [row["id"] for row in listed]


def test_packages_on_a_subscription(shop: Shop) -> None:
    """A price by packages bills as many as the quantity fills, and its plan says how."""
    params = {
        "currency": "usd",
        "product": shop.stripe.add_product("Seats by five"),
        "unit_amount": "1000",
        "transform_quantity[divide_by]": "5",
        "transform_quantity[round]": "up",
        "recurring[interval]": "month",
    }
    price = str(shop.post("/v1/prices", params)["id"])
    bought = shop.buy(price, **{"line_items[0][quantity]": "11"})

    assert 3_000 == shop.invoices(bought["id"])[0]["amount_paid"]
    (item,) = bought["items"]["data"]
    assert {"divide_by": 5, "round": "up"} == item["price"]["transform_quantity"] == item["plan"]["transform_usage"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tiers[1][up_to]": "20"}, "tiers[1][up_to]"),
        ({"tiers[0][up_to]": "inf"}, "tiers[0][up_to]"),
        (
            {"tiers[1][up_to]": "10", "tiers[2][up_to]": "inf", "tiers[2][unit_amount]": "1"},
            "tiers[1][up_to]",
        ),
        ({"tiers[0][unit_amount]": None}, "tiers[0]"),
        ({"tiers[0][unit_amount_decimal]": "1"}, "tiers[0]"),
        ({"tiers_mode": None}, "tiers_mode"),
        ({"unit_amount": "5"}, "unit_amount"),
        ({"transform_quantity[divide_by]": "5", "transform_quantity[round]": "up"}, "transform_quantity"),
        ({"billing_scheme": "per_unit", "unit_amount": "1"}, "tiers"),
    ],
)
def test_wrong_tiers_are_refused(shop: Shop, changes: dict[str, Any], param: str) -> None:
    """Tiers rise to one infinite last tier, each with an amount, and go with nothing else that sets the amount."""
    product = shop.stripe.add_product("Tokens")
    params = {"currency": "usd", "product": product, "recurring[interval]": "month", **_TIERED, **_LADDER, **changes}
    refusal = shop.refused("POST", "/v1/prices", {name: value for name, value in params.items() if value is not None})

    assert (400, param) == (refusal.status, refusal.param)


def test_usage_is_billed_by_meters_only(shop: Shop) -> None:
    """A metered price names an active meter; a licensed one names none."""
    product = shop.stripe.add_product("Tokens")
    good = {"currency": "usd", "product": product, "unit_amount": "1", "recurring[interval]": "month"}
    metered = {**good, "recurring[usage_type]": "metered"}
    old = meter(shop, event="old")
    shop.post(f"/v1/billing/meters/{old}/deactivate")

    for params in (
        metered,
        {**metered, "recurring[meter]": "mtr_none"},
        {**metered, "recurring[meter]": old},
        {**good, "recurring[meter]": meter(shop)},
    ):
        refusal = shop.refused("POST", "/v1/prices", params)
        assert (400, "recurring[meter]") == (refusal.status, refusal.param)
