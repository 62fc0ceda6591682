"""Payment methods: Stripe's ready-made ones, whose they are, and what refuses to be saved."""

from __future__ import annotations

import pytest

from tests.simulator.shop import Shop


def _attach(shop: Shop, customer: str, method: str = "pm_card_visa") -> str:
    return str(shop.post(f"/v1/payment_methods/{method}/attach", {"customer": customer})["id"])


def test_a_ready_made_method_becomes_the_customers_own(shop: Shop) -> None:
    """Attaching `pm_card_visa` makes a new method, which is listed, made the default, and taken away."""
    customer = shop.customer()
    method = _attach(shop, customer)
    path = f"/v1/customers/{customer}"

    shop.post(path, {"invoice_settings[default_payment_method]": method})

    assert [method] == [row["id"] for row in shop.get(f"{path}/payment_methods")["data"]]
    assert "4242" == shop.get(f"/v1/payment_methods/{method}")["card"]["last4"]
    expanded = shop.get(path, {"expand[0]": "invoice_settings.default_payment_method"})
    assert method == expanded["invoice_settings"]["default_payment_method"]["id"]
    shop.post(f"/v1/payment_methods/{method}/detach")
    assert shop.get(path)["invoice_settings"]["default_payment_method"] is None
    assert 400 == shop.refused("POST", f"/v1/payment_methods/{method}/detach").status
    assert ["payment_method.attached", "customer.updated", "payment_method.detached"] == shop.types()[-3:]


def test_methods_belong_to_one_customer(shop: Shop) -> None:
    """Another's method is neither attached again, nor made a default, nor charged for a subscription."""
    owner, other = shop.customer(), shop.customer()
    method = _attach(shop, owner)
    subscription = shop.buy(customer=other)
    new = {"customer": other, "items[0][price]": shop.price(), "default_payment_method": method}

    refusals = [
        shop.refused("POST", f"/v1/payment_methods/{method}/attach", {"customer": other}),
        shop.refused("POST", f"/v1/customers/{other}", {"invoice_settings[default_payment_method]": method}),
        shop.refused("POST", f"/v1/subscriptions/{subscription['id']}", {"default_payment_method": method}),
        shop.refused("POST", "/v1/subscriptions", new),
    ]

    assert [400] * 4 == [refusal.status for refusal in refusals]


@pytest.mark.parametrize("method", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"])
def test_a_declined_card_cannot_be_saved(shop: Shop, method: str) -> None:
    """402 card_error, with or without a customer to save it to; no customer comes of it."""
    customer = shop.customer()

    refusal = shop.refused("POST", f"/v1/payment_methods/{method}/attach", {"customer": customer})
    made = shop.refused("POST", "/v1/customers", {"payment_method": method})

    assert (402, "card_error", "card_declined") == (refusal.status, refusal.type, refusal.code)
    assert 402 == made.status
    assert [customer] == [row["id"] for row in shop.get("/v1/customers")["data"]]


def test_a_customer_may_come_with_a_method(shop: Shop) -> None:
    """`payment_method` on creation attaches it; a card that fails later is saved without complaint."""
    customer = shop.customer(payment_method="pm_card_chargeCustomerFail")

    assert "0341" == shop.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["card"]["last4"]
