"""Promotion codes: who may type them, where, how often, and what for."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.testing.simulator.checkout import checkout
from kernia_billing.testing.simulator.world.errors import ApiError
from tests.simulator.shop import Shop


def _coupon(shop: Shop, **params: Any) -> str:
    return str(shop.post("/v1/coupons", {"percent_off": "25", **params})["id"])


def _code(shop: Shop, coupon: str, **params: Any) -> dict[str, Any]:
    given = {"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "SPRING", **params}
    return shop.post("/v1/promotion_codes", given)


def test_a_code_is_entered_on_the_page(shop: Shop) -> None:
    """Capitals do not matter; the session is cheaper, and the discount names the code that was redeemed."""
    code = _code(shop, _coupon(shop))
    session = shop.checkout(shop.price(2_000), customer=shop.customer(), allow_promotion_codes="true")
    world = shop.stripe.state.world
    stored = world.table("checkout.session").get(session["id"])

    checkout.apply_promotion_code(world, stored, " spring ")

    shown = shop.get(f"/v1/checkout/sessions/{session['id']}")
    assert (1_500, code["id"]) == (shown["amount_total"], shown["discounts"][0]["promotion_code"])
    checkout.remove_promotion_code(world, stored)
    assert 2_000 == shop.get(f"/v1/checkout/sessions/{session['id']}")["amount_total"]
    checkout.apply_promotion_code(world, stored, "SPRING")
    shop.stripe.pay(session["id"])
    assert 1 == shop.get(f"/v1/promotion_codes/{code['id']}")["times_redeemed"]
    with pytest.raises(ApiError, match="cannot be entered"):
        checkout.apply_promotion_code(world, stored, "SPRING")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"code": "OTHER"}, "invalid"),
        ({"active": "false"}, "invalid"),
        ({"restrictions[minimum_amount]": "2001", "restrictions[minimum_amount_currency]": "usd"}, "minimum"),
        ({"restrictions[first_time_transaction]": "true"}, "prior"),
    ],
)
def test_a_code_that_does_not_apply_changes_nothing(shop: Shop, params: dict[str, str], message: str) -> None:
    """A wrong, inactive or restricted code is refused with a reason."""
    customer = shop.customer()
    shop.buy(customer=customer)
    _code(shop, _coupon(shop), **params)
    session = shop.checkout(shop.price(2_000), customer=customer, allow_promotion_codes="true")
    world = shop.stripe.state.world

    with pytest.raises(ApiError, match=message):
        checkout.apply_promotion_code(world, world.table("checkout.session").get(session["id"]), "SPRING")

    assert 2_000 == shop.get(f"/v1/checkout/sessions/{session['id']}")["amount_total"]


def test_codes_of_one_customer_and_their_limits(shop: Shop) -> None:
    """Another customer cannot use it, a used up one is inactive, and an active word is taken."""
    customer, stranger = (shop.customer(payment_method="pm_card_visa") for _ in range(2))
    coupon = _coupon(shop)
    code = _code(shop, coupon, customer=customer, max_redemptions="1")["id"]
    price = shop.price(1_000)
    params = {"customer": stranger, "items[0][price]": price, "discounts[0][promotion_code]": code}
    assert "discounts[0][promotion_code]" == shop.refused("POST", "/v1/subscriptions", params).param
    taken = {"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "spring", "customer": customer}
    assert "code" == shop.refused("POST", "/v1/promotion_codes", taken).param

    shop.post("/v1/subscriptions", {**params, "customer": customer, **_default_method(shop, customer)})

    assert not shop.get(f"/v1/promotion_codes/{code}")["active"]
    assert [code] == [
        row["id"] for row in shop.get("/v1/promotion_codes", {"active": "false", "code": "SPRING"})["data"]
    ]
    assert "promotion_code_expired" == shop.refused("POST", "/v1/subscriptions", {**params, "customer": customer}).code


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"promotion[coupon]": "none"}, "promotion[coupon]"),
        ({"max_redemptions": "6"}, "max_redemptions"),
        ({"expires_at": "1"}, "expires_at"),
        ({"restrictions[minimum_amount]": "1"}, "restrictions[minimum_amount_currency]"),
        ({"code": "NOT ALLOWED"}, "code"),
        ({"customer": "cus_none"}, "customer"),
    ],
)
def test_bad_codes_are_refused(shop: Shop, params: dict[str, str], param: str) -> None:
    """Each contradiction in a code is named."""
    coupon = _coupon(shop, max_redemptions="5")
    given = {"promotion[type]": "coupon", "promotion[coupon]": coupon, **params}

    assert param == shop.refused("POST", "/v1/promotion_codes", given).param


def _default_method(shop: Shop, customer: str) -> dict[str, str]:
    method = shop.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["id"]
    return {"default_payment_method": method}
