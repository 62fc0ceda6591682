"""The sums of an invoice: whatever its lines, discounts and taxes are, the parts add up."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.testing.simulator.invoices import totals
from kernia_billing.testing.simulator.world.clock import DEFAULT_START
from kernia_billing.testing.simulator.world.world import World

WORLD = World.at(DEFAULT_START)
PRICES = [{"id": f"price_{product}", "product": product} for product in ("prod_a", "prod_b")]


def _coupon(number: int, amount: int, products: list[str], *, fixed: bool) -> dict[str, Any]:
    off = {"percent_off": None, "amount_off": amount * 100} if fixed else {"percent_off": amount, "amount_off": None}
    return {"id": f"coupon_{number}", "currency": "usd", "_products": products, "_currency_options": {}, **off}


def _rates(percentages: list[int], *, inclusive: bool) -> list[dict[str, Any]]:
    return [
        {"id": f"txr_{index}_{each}_{inclusive}", "percentage": float(each), "inclusive": inclusive}
        for index, each in enumerate(percentages)
    ]


def _unlike(coupon: dict[str, Any]) -> str:
    return str(coupon["id"])


coupon = st.builds(
    _coupon, st.integers(0, 10**9), st.integers(1, 100), st.sampled_from([[], ["prod_a"]]), fixed=st.booleans()
)
coupons = st.lists(coupon, max_size=3, unique_by=_unlike)
rates = st.builds(_rates, st.lists(st.integers(0, 100), max_size=2), inclusive=st.booleans())
line = st.builds(totals.quote_line, st.sampled_from(PRICES), st.integers(-(10**6), 10**6), coupons=coupons, rates=rates)
lines = st.lists(line, min_size=1, max_size=5)


@given(lines, coupons, rates)
def test_the_parts_add_up(
    drawn: list[dict[str, Any]], on_invoice: list[dict[str, Any]], default: list[dict[str, Any]]
) -> None:
    """Total is lines less discounts plus exclusive taxes; every sum is that of its lines."""
    quoted = totals.quote(WORLD, drawn, "usd", coupons=on_invoice, default_tax_rates=default)

    for name, sums in (("discount_amounts", "total_discount_amounts"), ("taxes", "total_taxes")):
        assert sum(row["amount"] for line in drawn for row in line[name]) == sum(row["amount"] for row in quoted[sums])
    discounted = sum(row["amount"] for row in quoted["total_discount_amounts"])
    added = sum(tax["amount"] for tax in quoted["total_taxes"] if tax["tax_behavior"] == "exclusive")
    taxes = sum(tax["amount"] for tax in quoted["total_taxes"])
    assert sum(line["amount"] for line in drawn) - discounted + added == quoted["total"]
    assert quoted["total"] - taxes == quoted["total_excluding_tax"]
    assert max(0, quoted["total"]) == quoted["amount_due"]


@given(lines, coupons)
def test_no_line_is_reduced_below_nothing(drawn: list[dict[str, Any]], on_invoice: list[dict[str, Any]]) -> None:
    """Discounts take at most what a line costs, and never anything off a credit."""
    totals.quote(WORLD, drawn, "usd", coupons=on_invoice)

    for line in drawn:
        assert 0 <= sum(row["amount"] for row in line["discount_amounts"]) <= max(0, line["amount"])


@given(lines, coupons, rates)
def test_settling_again_changes_nothing(
    drawn: list[dict[str, Any]], on_invoice: list[dict[str, Any]], default: list[dict[str, Any]]
) -> None:
    """The sums depend on what the invoice has, not on how often they were computed."""
    quoted = totals.quote(WORLD, drawn, "usd", coupons=on_invoice, default_tax_rates=default)
    before = {name: quoted[name] for name in ("subtotal", "total", "total_taxes", "total_discount_amounts")}

    totals.settle(WORLD, quoted)

    assert before == {name: quoted[name] for name in before}
