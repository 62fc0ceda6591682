"""Coupons, promotion codes and discounts: what they take off, for whom, for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.testing import SimulatorError
from kernia_billing.testing.simulator.invoices.reductions import off, spread
from tests.simulator.shop import DAY, Shop


def _coupon(shop: Shop, **params: Any) -> str:
    return str(shop.post("/v1/coupons", {"percent_off": "25", **params})["id"])


def _fixed(shop: Shop, amount: int, **params: Any) -> str:
    made = {"amount_off": str(amount), "currency": "usd", **params}
    return str(shop.post("/v1/coupons", made)["id"])


def _code(shop: Shop, coupon: str, **params: Any) -> dict[str, Any]:
    given = {"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "SPRING", **params}
    return shop.post("/v1/promotion_codes", given)


def _subscribe(shop: Shop, price: str, **params: Any) -> dict[str, Any]:
    customer = params.pop("customer", None) or shop.customer(payment_method="pm_card_visa")
    method = shop.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["id"]
    given = {"customer": customer, "items[0][price]": price, "default_payment_method": method}
    return shop.post("/v1/subscriptions", {**given, **params})


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**7), max_size=9))
def test_spreading_loses_no_cent(total: int, amounts: list[int]) -> None:
    """The parts add up to the whole, and none is larger than its amount when the whole is not."""
    total = min(total, sum(amounts))
    parts = spread(total, amounts)

    assert total == sum(parts)
    assert all(0 <= part <= amount for part, amount in zip(parts, amounts, strict=True))


@given(st.decimals("0.01", 100, places=2), st.lists(st.integers(0, 10**7), max_size=9))
def test_a_percentage_never_takes_more_than_there_is(percent: Any, amounts: list[int]) -> None:
    """Up to a hundred percent, each row keeps at least nothing."""
    coupon: dict[str, Any] = {"percent_off": float(percent), "_products": []}

    taken = off(coupon, [(None, amount) for amount in amounts], "usd")

    assert all(0 <= part <= amount for part, amount in zip(taken, amounts, strict=True))


def test_a_coupon_says_whether_it_can_be_used(shop: Shop) -> None:
    """It is valid until it was redeemed often enough or its time is over."""
    price = shop.price(2_000)
    once = _coupon(shop, max_redemptions="1")
    timed = _coupon(shop, redeem_by=str(shop.now + DAY))
    assert shop.get(f"/v1/coupons/{once}")["valid"]

    _subscribe(shop, price, **{"discounts[0][coupon]": once})
    shop.stripe.advance(days=2)

    assert [(False, 1), (False, 0)] == [
        (row["valid"], row["times_redeemed"]) for row in (shop.get(f"/v1/coupons/{id}") for id in (once, timed))
    ]
    params = {"customer": shop.customer(), "items[0][price]": price}
    for coupon in (once, timed):
        refusal = shop.refused("POST", "/v1/subscriptions", {**params, "discounts[0][coupon]": coupon})
        assert ("coupon_expired", "discounts[0][coupon]") == (refusal.code, refusal.param)


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"percent_off": "25", "amount_off": "5", "currency": "usd"}, "percent_off"),
        ({}, "percent_off"),
        ({"amount_off": "5"}, "currency"),
        ({"percent_off": "0"}, "percent_off"),
        ({"percent_off": "100.5"}, "percent_off"),
        ({"percent_off": "5", "currency": "usd"}, "currency"),
        ({"percent_off": "5", "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": "5", "duration": "once", "duration_in_months": "2"}, "duration_in_months"),
        ({"percent_off": "5", "redeem_by": "1"}, "redeem_by"),
        ({"percent_off": "5", "applies_to[products][0]": "prod_none"}, "applies_to[products][0]"),
        ({"percent_off": "5", "id": "taken"}, "id"),
        ({"percent_off": "5", "name": "x" * 41}, "name"),
    ],
)
def test_bad_coupons_are_refused(shop: Shop, params: dict[str, str], param: str) -> None:
    """Each contradiction in a coupon is named, and no coupon comes of it."""
    _coupon(shop, id="taken")

    assert param == shop.refused("POST", "/v1/coupons", params).param
    assert 1 == len(shop.get("/v1/coupons")["data"])


def test_coupons_and_codes_are_told_of(shop: Shop) -> None:
    """Making, changing and deleting them emits their events; a deleted coupon is gone, its discounts stay."""
    coupon = _coupon(shop, name="Spring", duration="forever")
    code = _code(shop, coupon)
    shop.post(f"/v1/coupons/{coupon}", {"name": "Late spring"})
    shop.post(f"/v1/promotion_codes/{code['id']}", {"active": "false"})
    subscription = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": coupon})
    shop.delete(f"/v1/coupons/{coupon}")
    shop.stripe.advance(months=1, hours=2)

    types = [type for type in shop.types() if type.startswith(("coupon.", "promotion_code."))]
    assert [
        "coupon.created",
        "promotion_code.created",
        "coupon.updated",
        "promotion_code.updated",
        "coupon.deleted",
    ] == types
    assert 404 == shop.refused("GET", f"/v1/coupons/{coupon}").status
    assert not shop.get("/v1/coupons")["data"]
    shown = shop.get(f"/v1/subscriptions/{subscription['id']}", {"expand[0]": "discounts.source.coupon"})
    assert shown["discounts"][0]["source"]["coupon"]["deleted"]
    again = {"promotion[type]": "coupon", "promotion[coupon]": coupon}
    assert "promotion[coupon]" == shop.refused("POST", "/v1/promotion_codes", again).param
    assert [750, 750] == [invoice["amount_paid"] for invoice in shop.invoices(subscription["id"])]


def test_a_forever_discount_is_on_every_invoice(shop: Shop) -> None:
    """The invoice says what was taken off in all, per line and per discount; the subscription keeps the discount."""
    coupon = _coupon(shop, duration="forever")
    subscription = _subscribe(shop, shop.price(1_999), **{"discounts[0][coupon]": coupon})
    shop.stripe.advance(months=1, hours=2)

    (discount,) = shop.subscription(subscription["id"])["discounts"]
    for invoice in shop.invoices(subscription["id"]):
        assert (1_999, 1_499, 1_499) == (invoice["subtotal"], invoice["total"], invoice["amount_paid"])
        assert [{"amount": 500, "discount": discount}] == invoice["total_discount_amounts"]
        line = invoice["lines"]["data"][0]
        assert (1_999, [{"amount": 500, "discount": discount}]) == (line["amount"], line["discount_amounts"])
        assert "discount" == line["pretax_credit_amounts"][0]["type"]


def test_the_coupon_of_a_discount_is_an_id_that_can_be_expanded(shop: Shop) -> None:
    """A discount names its coupon under `source`, and shows it when asked."""
    coupon = _coupon(shop, duration="forever")
    id = _subscribe(shop, shop.price(), **{"discounts[0][coupon]": coupon})["id"]

    expanded = shop.get(f"/v1/subscriptions/{id}", {"expand[0]": "discounts", "expand[1]": "discounts.source.coupon"})

    (discount,) = expanded["discounts"]
    assert (25.0, id) == (discount["source"]["coupon"]["percent_off"], discount["subscription"])
    (plain,) = shop.get(f"/v1/subscriptions/{id}", {"expand[0]": "discounts"})["discounts"]
    assert {"coupon": coupon, "type": "coupon"} == plain["source"]


def test_a_coupon_for_once_reduces_one_invoice(shop: Shop) -> None:
    """After the invoice that it reduced the discount is deleted; a free trial invoice does not use it up."""
    coupon = _coupon(shop, duration="once")
    paid = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": coupon})
    trial = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": coupon, "trial_period_days": "7"})
    assert not shop.subscription(paid["id"])["discounts"]
    assert shop.subscription(trial["id"])["discounts"]
    shop.stripe.advance(months=2)

    assert [1_000, 750] == [row["total"] for row in shop.invoices(paid["id"])][-2:]
    assert [750, 0] == [row["total"] for row in shop.invoices(trial["id"])][-2:]
    assert not shop.subscription(trial["id"])["discounts"]
    assert 2 == shop.types().count("customer.discount.deleted")


def test_a_repeating_coupon_ends_with_its_months(shop: Shop) -> None:
    """Three months of a monthly price are reduced, the fourth is not."""
    coupon = _fixed(shop, 300, duration="repeating", duration_in_months="3")
    id = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": coupon})["id"]

    shop.stripe.advance(months=4, hours=2)

    assert [1_000, 1_000, 700, 700, 700] == [row["total"] for row in shop.invoices(id)]
    assert "customer.discount.deleted" in shop.types()


def test_an_amount_is_spread_over_the_products_it_applies_to(shop: Shop) -> None:
    """Only lines of the coupon's products are reduced, and never below nothing."""
    price, other = shop.price(1_000), shop.price(5_000)
    product = shop.get(f"/v1/prices/{price}")["product"]
    coupon = _fixed(shop, 3_000, **{"applies_to[products][0]": product})

    id = _subscribe(shop, price, **{"items[1][price]": other, "discounts[0][coupon]": coupon})["id"]

    (invoice,) = shop.invoices(id)
    assert 5_000 == invoice["total"]
    assert [1_000, 0] == [line["discount_amounts"][0]["amount"] for line in invoice["lines"]["data"]]
    shown = shop.get(f"/v1/coupons/{coupon}", {"expand[0]": "applies_to"})
    assert {"products": [product]} == shown["applies_to"]


def test_discounts_stack_in_their_order(shop: Shop) -> None:
    """An item's discount goes first and counts in the subtotal; each further one works on what is left."""
    own, first, second = _coupon(shop), _fixed(shop, 100), _coupon(shop)

    id = _subscribe(
        shop,
        shop.price(1_000),
        **{"items[0][discounts][0][coupon]": own, "discounts[0][coupon]": first, "discounts[1][coupon]": second},
    )["id"]

    (invoice,) = shop.invoices(id)
    assert (750, 487) == (invoice["subtotal"], invoice["total"])  # 1000 - 250, then - 100, then - 162.5 rounded up
    assert [250, 100, 163] == [row["amount"] for row in invoice["total_discount_amounts"]]


def test_currencies_of_a_coupon(shop: Shop) -> None:
    """A fixed amount works in its currencies only."""
    euros = shop.price(1_000, currency="eur")
    coupon = _fixed(shop, 100)
    both = _fixed(shop, 100, **{"currency_options[eur][amount_off]": "90"})
    params = {"customer": shop.customer(), "items[0][price]": euros, "discounts[0][coupon]": coupon}

    assert "discounts[0][coupon]" == shop.refused("POST", "/v1/subscriptions", params).param
    assert 910 == shop.invoices(_subscribe(shop, euros, **{"discounts[0][coupon]": both})["id"])[0]["total"]


def test_updates_add_keep_and_take_away(shop: Shop) -> None:
    """A discount may be kept by its id, another added, all taken away; each end is told of."""
    first, second = _coupon(shop, duration="forever"), _fixed(shop, 100, duration="forever")
    id = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": first})["id"]
    (kept,) = shop.subscription(id)["discounts"]

    both = shop.post(f"/v1/subscriptions/{id}", {"discounts[0][discount]": kept, "discounts[1][coupon]": second})
    before = len(shop.stripe.events)
    none = shop.post(f"/v1/subscriptions/{id}", {"discounts": ""})

    assert (kept, 2, []) == (both["discounts"][0], len(both["discounts"]), none["discounts"])
    assert ["customer.discount.deleted"] * 2 + ["customer.subscription.updated"] == sorted(shop.types(before))
    refusal = shop.refused("POST", f"/v1/subscriptions/{id}", {"discounts[0][discount]": kept})
    assert "discounts[0][discount]" == refusal.param


def test_deleting_the_discount_of_a_subscription(shop: Shop) -> None:
    """The answer is the discount with `deleted`; a second deletion finds nothing."""
    id = _subscribe(shop, shop.price(), **{"discounts[0][coupon]": _coupon(shop, duration="forever")})["id"]

    gone = shop.delete(f"/v1/subscriptions/{id}/discount")

    assert (True, "discount") == (gone["deleted"], gone["object"])
    assert not shop.subscription(id)["discounts"]
    assert "resource_missing" == shop.refused("DELETE", f"/v1/subscriptions/{id}/discount").code


def test_a_customers_discount_is_inherited(shop: Shop) -> None:
    """It reduces invoices of subscriptions without discounts, shows on the customer, can be switched and deleted."""
    customer = shop.customer(payment_method="pm_card_visa")
    shop.stripe.give_coupon(customer, _coupon(shop, duration="forever"))
    plain = _subscribe(shop, shop.price(1_000), customer=customer)
    other = _subscribe(
        shop, shop.price(1_000), customer=customer, **{"discounts[0][coupon]": _fixed(shop, 100, duration="forever")}
    )
    shop.stripe.give_coupon(customer, _coupon(shop, percent_off="50", duration="forever"))

    assert [750, 900] == [shop.invoices(row["id"])[0]["total"] for row in (plain, other)]
    assert "coupon" == shop.get(f"/v1/customers/{customer}")["discount"]["source"]["type"]
    assert "customer.discount.updated" in shop.types()
    assert shop.delete(f"/v1/customers/{customer}/discount")["deleted"]
    assert shop.get(f"/v1/customers/{customer}")["discount"] is None


def test_a_session_sells_with_a_coupon(shop: Shop) -> None:
    """The session shows coupon and sums before it is paid; the payment is what is left."""
    coupon = _coupon(shop, duration="forever")
    session = shop.checkout(shop.price(2_000), customer=shop.customer(), **{"discounts[0][coupon]": coupon})
    assert (2_000, 1_500, 500) == (
        session["amount_subtotal"],
        session["amount_total"],
        session["total_details"]["amount_discount"],
    )
    assert [{"coupon": coupon, "promotion_code": None}] == session["discounts"]

    shop.stripe.pay(session["id"])

    session = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "invoice", "expand[1]": "line_items"})
    assert ("paid", 1_500) == (session["payment_status"], session["invoice"]["amount_paid"])
    assert 500 == session["line_items"]["data"][0]["amount_discount"]
    (discount,) = shop.get(f"/v1/subscriptions/{session['subscription']}", {"expand[0]": "discounts"})["discounts"]
    assert session["id"] == discount["checkout_session"]


def test_a_full_coupon_needs_no_payment(shop: Shop) -> None:
    """With a hundred percent off nothing is charged; trial or not does not matter."""
    coupon = _coupon(shop, percent_off="100", duration="forever")
    session = shop.checkout(
        customer=shop.customer(), payment_method_collection="if_required", **{"discounts[0][coupon]": coupon}
    )

    shop.stripe.pay(session["id"])

    session = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "subscription"})
    assert ("no_payment_required", 0) == (session["payment_status"], session["amount_total"])
    assert ("active", None) == (session["subscription"]["status"], session["subscription"]["trial_end"])
    assert "payment_intent.created" not in shop.types()


def test_sessions_take_a_discount_or_codes(shop: Shop) -> None:
    """Not both, and not two discounts."""
    coupon = _coupon(shop)
    both = shop.checkout_params(allow_promotion_codes="true", **{"discounts[0][coupon]": coupon})
    two = shop.checkout_params(**{"discounts[0][coupon]": coupon, "discounts[1][coupon]": coupon})

    assert "allow_promotion_codes" == shop.refused("POST", "/v1/checkout/sessions", both).param
    assert "discounts" == shop.refused("POST", "/v1/checkout/sessions", two).param


@pytest.mark.parametrize("entry", [{}, {"coupon": "c", "promotion_code": "p"}])
def test_a_discount_names_one_source(shop: Shop, entry: dict[str, str]) -> None:
    """An entry with two sources is refused, and so is the same coupon twice."""
    coupon = _coupon(shop)
    params = {"customer": shop.customer(payment_method="pm_card_visa"), "items[0][price]": shop.price()}
    given = {f"discounts[0][{name}]": value for name, value in entry.items()} or {
        "discounts[0][coupon]": coupon,
        "discounts[1][coupon]": coupon,
    }

    assert str(shop.refused("POST", "/v1/subscriptions", {**params, **given}).param).startswith("discounts")
    assert not shop.get("/v1/subscriptions")["data"]


def test_coupons_can_be_added_by_hand(shop: Shop) -> None:
    """The simulator adds a coupon with its code; what contradicts itself or is unknown is refused."""
    shop.stripe.add_coupon("TENNER", amount_off=1_000, currency="eur", duration="repeating", months=2, code="TEN")

    coupon = shop.get("/v1/coupons/TENNER")
    assert (1_000, "eur", 2) == (coupon["amount_off"], coupon["currency"], coupon["duration_in_months"])
    assert "TEN" == shop.get("/v1/promotion_codes", {"coupon": "TENNER"})["data"][0]["code"]
    with pytest.raises(SimulatorError, match="already exists"):
        shop.stripe.add_coupon("TENNER", percent_off=5)
    with pytest.raises(SimulatorError, match="exactly one"):
        shop.stripe.add_coupon("NOTHING")
    with pytest.raises(SimulatorError, match="cannot be given"):
        shop.stripe.give_coupon(shop.customer(), "UNKNOWN")


def test_a_discount_of_one_invoice(shop: Shop) -> None:
    """A draft may get a discount of its own, or lose the one that it inherited; the subscription's lives on."""
    subscription = _subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": _coupon(shop, duration="forever")})
    shop.stripe.advance(months=1)
    draft = shop.invoices(subscription["id"])[0]
    path = f"/v1/invoices/{draft['id']}"
    (inherited,) = draft["discounts"]

    both = shop.post(path, {"discounts[0][discount]": inherited, "discounts[1][coupon]": _fixed(shop, 100)})
    assert (750, 650) == (draft["total"], both["total"])
    plain = shop.post(path, {"discounts": ""})

    assert (1_000, []) == (plain["total"], plain["discounts"])
    assert [inherited] == shop.subscription(subscription["id"])["discounts"]
    assert 1 == shop.types().count("customer.discount.deleted")


def test_a_look_at_an_invoice_redeems_nothing(shop: Shop) -> None:
    """A preview with a coupon shows its sums and leaves the coupon as it was."""
    coupon = _coupon(shop, max_redemptions="1")
    code = _code(shop, coupon)["id"]
    price = shop.price(1_000)
    customer = shop.customer(payment_method="pm_card_visa")
    preview = {"customer": customer, "subscription_details[items][0][price]": price, "discounts[0][coupon]": coupon}

    shown = shop.post("/v1/invoices/create_preview", {**preview, "expand[0]": "discounts"})
    assert (750, coupon) == (shown["total"], shown["discounts"][0]["source"]["coupon"])

    assert 0 == shop.get(f"/v1/coupons/{coupon}")["times_redeemed"]
    id = _subscribe(shop, price, customer=customer, **{"discounts[0][promotion_code]": code})["id"]
    assert 750 == shop.invoices(id)[0]["total"]
    assert (1, False) == tuple(shop.get(f"/v1/coupons/{coupon}")[name] for name in ("times_redeemed", "valid"))


def test_a_preview_may_leave_discounts_out(shop: Shop) -> None:
    """What would be inherited can be replaced or taken away for a look; the subscription keeps what it has."""
    customer = shop.customer(payment_method="pm_card_visa")
    shop.stripe.give_coupon(customer, _coupon(shop, duration="forever"))
    id = _subscribe(shop, shop.price(1_000), customer=customer)["id"]
    path, params = "/v1/invoices/create_preview", {"subscription": id}
    other = {**params, "discounts[0][coupon]": _fixed(shop, 100, duration="forever")}

    assert [750, 1_000, 900, 750] == [
        shop.post(path, given)["total"] for given in (params, {**params, "discounts": ""}, other, params)
    ]
