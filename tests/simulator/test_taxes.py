"""Taxes: rates on lines, tax ids of customers, and the flags of automatic tax, which computes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import Shop


def _rate(shop: Shop, percentage: str = "20", *, inclusive: bool = False, **params: str) -> str:
    given = {"display_name": "VAT", "percentage": percentage, "inclusive": str(inclusive).lower(), **params}
    return str(shop.post("/v1/tax_rates", given)["id"])


def _invoice(shop: Shop, amount: int, **params: Any) -> dict[str, Any]:
    subscription = shop.buy(shop.price(amount), **params)
    return shop.get(f"/v1/invoices/{subscription['latest_invoice']}")


def test_a_rate_is_added_to_the_price(shop: Shop) -> None:
    """An exclusive rate makes the total larger; line and invoice name it."""
    rate = _rate(shop)

    invoice = _invoice(shop, 1_999, **{"subscription_data[default_tax_rates][0]": rate})

    assert (1_999, 2_399, 1_999, 2_399) == tuple(
        invoice[name] for name in ("subtotal", "total", "total_excluding_tax", "amount_paid")
    )
    (tax,) = invoice["total_taxes"]
    assert (400, "exclusive", 1_999, rate) == (
        tax["amount"],
        tax["tax_behavior"],
        tax["taxable_amount"],
        tax["tax_rate_details"]["tax_rate"],
    )
    assert [tax] == invoice["lines"]["data"][0]["taxes"]
    assert [rate] == [row["id"] for row in invoice["default_tax_rates"]]


def test_a_rate_is_contained_in_the_price(shop: Shop) -> None:
    """An inclusive rate leaves the total as it is and says what of it is tax."""
    rate = _rate(shop, inclusive=True)

    invoice = _invoice(shop, 1_200, **{"line_items[0][tax_rates][0]": rate})

    assert (1_200, 1_200, 1_000, 1_000) == tuple(
        invoice[name] for name in ("subtotal", "total", "total_excluding_tax", "subtotal_excluding_tax")
    )
    assert (200, 1_000) == (invoice["total_taxes"][0]["amount"], invoice["total_taxes"][0]["taxable_amount"])
    item = shop.subscription(invoice["parent"]["subscription_details"]["subscription"])["items"]["data"][0]
    assert [rate] == [row["id"] for row in item["tax_rates"]]


def test_taxes_are_computed_after_discounts(shop: Shop) -> None:
    """Only what is left after a discount is taxed; the session shows the same sums before it is paid."""
    coupon = shop.post("/v1/coupons", {"amount_off": "500", "currency": "usd"})["id"]
    price = shop.price(2_000)
    session = shop.checkout(
        price,
        customer=shop.customer(),
        **{"discounts[0][coupon]": coupon, "subscription_data[default_tax_rates][0]": _rate(shop, "10")},
    )
    shop.stripe.pay(session["id"])

    assert (2_000, 1_650) == (session["amount_subtotal"], session["amount_total"])
    assert {"amount_discount": 500, "amount_shipping": 0, "amount_tax": 150} == session["total_details"]
    paid = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "invoice", "expand[1]": "line_items"})
    assert 1_650 == paid["invoice"]["amount_paid"]
    assert (150, 1_650) == tuple(paid["line_items"]["data"][0][name] for name in ("amount_tax", "amount_total"))


def test_each_line_of_a_session_has_its_rates(shop: Shop) -> None:
    """A one-time price sold along is taxed by its own rate; the invoice agrees with the session."""
    price, setup = shop.price(1_000), shop.price(500, interval=None)
    session = shop.checkout(
        price,
        customer=shop.customer(),
        **{
            "line_items[0][tax_rates][0]": _rate(shop, "10"),
            "line_items[1][price]": setup,
            "line_items[1][quantity]": "1",
            "line_items[1][tax_rates][0]": _rate(shop, "20"),
        },
    )
    shop.stripe.pay(session["id"])

    assert 1_700 == session["amount_total"]
    paid = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "invoice"})
    assert (1_700, [100, 100]) == (
        paid["invoice"]["amount_paid"],
        sorted(tax["amount"] for tax in paid["invoice"]["total_taxes"]),
    )


@pytest.mark.parametrize(("exempt", "reason"), [("exempt", "customer_exempt"), ("reverse", "reverse_charge")])
def test_exempt_customers_pay_no_tax(shop: Shop, exempt: str, reason: str) -> None:
    """The line says why its tax is nothing."""
    params = {"subscription_data[default_tax_rates][0]": _rate(shop), "customer": shop.customer(tax_exempt=exempt)}

    invoice = _invoice(shop, 1_000, **params)

    assert (1_000, 0, reason) == (
        invoice["total"],
        invoice["total_taxes"][0]["amount"],
        invoice["total_taxes"][0]["taxability_reason"],
    )


def test_rates_of_a_subscription_can_be_changed(shop: Shop) -> None:
    """The next invoice has the new rate; an archived one cannot be used, nor two kinds at once."""
    old, new, included = _rate(shop, "20"), _rate(shop, "25"), _rate(shop, "5", inclusive=True)
    subscription = shop.buy(shop.price(1_000), **{"subscription_data[default_tax_rates][0]": old})
    path = f"/v1/subscriptions/{subscription['id']}"

    shop.post(path, {"default_tax_rates[0]": new})
    shop.post(f"/v1/tax_rates/{old}", {"active": "false"})
    shop.stripe.advance(months=1, hours=2)

    assert [1_250, 1_200] == [invoice["total"] for invoice in shop.invoices(subscription["id"])]
    assert "default_tax_rates[0]" == shop.refused("POST", path, {"default_tax_rates[0]": old}).param
    mixed = {"default_tax_rates[0]": new, "default_tax_rates[1]": included}
    assert "default_tax_rates" == shop.refused("POST", path, mixed).param
    assert [] == shop.post(path, {"default_tax_rates": ""})["default_tax_rates"]
    assert [included, new] == [row["id"] for row in shop.get("/v1/tax_rates", {"active": "true"})["data"]]
    assert ["tax_rate.created"] * 3 + ["tax_rate.updated"] == [t for t in shop.types() if t.startswith("tax_rate.")]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"percentage": "101"}, "percentage"),
        ({"percentage": "x"}, "percentage"),
        ({"display_name": ""}, "display_name"),
    ],
)
def test_bad_rates_are_refused(shop: Shop, params: dict[str, str], param: str) -> None:
    """A rate has a name and a percentage up to a hundred."""
    given = {"display_name": "VAT", "percentage": "5", "inclusive": "true", **params}

    assert param == shop.refused("POST", "/v1/tax_rates", given).param


@pytest.mark.parametrize(
    ("type", "value", "country", "status"),
    [
        ("eu_vat", "DE000000000", "DE", "verified"),
        ("eu_vat", "FR111111111", "FR", "unverified"),
        ("eu_vat", "NL123456789B12", "NL", "pending"),
        ("gb_vat", "GB000000000", "GB", "verified"),
        ("us_ein", "12-3456789", "US", "unavailable"),
    ],
)
def test_tax_ids_are_verified_by_magic_numbers(shop: Shop, type: str, value: str, country: str, status: str) -> None:
    """Two numbers of test mode decide, the others wait; the change is told of."""
    customer = shop.customer()

    made = shop.post(f"/v1/customers/{customer}/tax_ids", {"type": type, "value": value})

    assert (country, {"customer": customer, "type": "customer"}) == (
        made["country"],
        {name: made["owner"][name] for name in ("customer", "type")},
    )
    shown = shop.get(f"/v1/customers/{customer}/tax_ids/{made['id']}")
    assert status == shown["verification"]["status"]
    decided = status in ("verified", "unverified")
    assert ["customer.tax_id.created", *(["customer.tax_id.updated"] if decided else [])] == [
        type for type in shop.types() if ".tax_id." in type
    ]


def test_tax_ids_come_and_go(shop: Shop) -> None:
    """They may be given with the customer, show on it and on its invoices, and can be deleted; five are the most."""
    customer = shop.customer(**{"tax_id_data[0][type]": "us_ein", "tax_id_data[0][value]": "12-3456789"})
    path = f"/v1/customers/{customer}/tax_ids"
    invoice = _invoice(shop, 1_000, customer=customer)
    (first,) = shop.get(f"/v1/customers/{customer}", {"expand[0]": "tax_ids"})["tax_ids"]["data"]
    for number in range(4):
        shop.post(path, {"type": "us_ein", "value": f"12-345678{number}"})

    assert [{"type": "us_ein", "value": "12-3456789"}] == invoice["customer_tax_ids"]
    assert 400 == shop.refused("POST", path, {"type": "us_ein", "value": "12-3456789"}).status
    assert shop.delete(f"{path}/{first['id']}")["deleted"]
    assert 4 == len(shop.get(path)["data"])
    assert 404 == shop.refused("GET", f"{path}/{first['id']}").status
    assert "customer.tax_id.deleted" == shop.types()[-1]


@pytest.mark.parametrize(
    ("type", "value", "code"),
    [
        ("eu_vat", "XX123456789", "tax_id_invalid"),
        ("us_ein", "123", "tax_id_invalid"),
        ("ve_rif", "A-12345678-9", "simulator_not_modelled"),
    ],
)
def test_bad_tax_ids_are_refused(shop: Shop, type: str, value: str, code: str) -> None:
    """A value that does not look like its type, or a type that is not modelled."""
    customer = shop.customer()

    assert code == shop.refused("POST", f"/v1/customers/{customer}/tax_ids", {"type": type, "value": value}).code
    assert not shop.get(f"/v1/customers/{customer}/tax_ids")["data"]


def test_automatic_tax_is_a_flag(shop: Shop) -> None:
    """It needs an address, or leave to save the one of the page; it is shown, and no tax comes of it."""
    customer = shop.customer()
    params = {"customer": customer, "automatic_tax[enabled]": "true"}
    refusal = shop.refused("POST", "/v1/checkout/sessions", shop.checkout_params(**params))
    assert "customer_tax_location_invalid" == refusal.code

    subscription = shop.buy(shop.price(1_000), **params, **{"customer_update[address]": "auto"})

    assert (True, {"type": "self"}) == (
        subscription["automatic_tax"]["enabled"],
        subscription["automatic_tax"]["liability"],
    )
    invoice = shop.invoices(subscription["id"])[0]
    assert (1_000, "complete") == (invoice["total"], invoice["automatic_tax"]["status"])
    off = shop.post(f"/v1/subscriptions/{subscription['id']}", {"automatic_tax[enabled]": "false"})
    assert not off["automatic_tax"]["enabled"]
    nowhere = {"customer": shop.customer(), "items[0][price]": shop.price(), "automatic_tax[enabled]": "true"}
    assert "customer_tax_location_invalid" == shop.refused("POST", "/v1/subscriptions", nowhere).code
