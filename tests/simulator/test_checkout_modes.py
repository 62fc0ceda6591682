"""Checkout beyond a plain subscription: other modes, prices of its own, fields, consent, recovery, exclusions."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.testing import SimulatorError
from kernia_billing.testing.simulator.checkout.purchases import Form
from tests.simulator.shop import DAY, Shop, at

SESSIONS = "/v1/checkout/sessions"
DATA = "line_items[0][price_data]"
INLINE = {
    "line_items[0][quantity]": "2",
    f"{DATA}[currency]": "usd",
    f"{DATA}[unit_amount]": "700",
    f"{DATA}[product_data][name]": "Poster",
}


def _once(shop: Shop, **params: Any) -> dict[str, Any]:
    return shop.checkout(shop.price(2_500, interval=None), mode="payment", **params)


def _session(shop: Shop, id: str) -> dict[str, Any]:
    return shop.get(f"{SESSIONS}/{id}")


def test_a_single_payment(shop: Shop) -> None:
    """A payment intent and no customer, invoice or subscription; its metadata is the intent's."""
    session = _once(
        shop, **{"payment_intent_data[metadata][order]": "7", "payment_intent_data[description]": "A poster"}
    )
    assert ("unpaid", 2_500, None) == (session["payment_status"], session["amount_total"], session["payment_intent"])
    before = len(shop.stripe.events)

    shop.stripe.pay(session["id"])

    session = _session(shop, session["id"])
    intent = shop.get(f"/v1/payment_intents/{session['payment_intent']}")
    assert ("complete", "paid") == (session["status"], session["payment_status"])
    assert (None, None, None) == (session["customer"], session["invoice"], session["subscription"])
    assert ("succeeded", 2_500, {"order": "7"}, None) == (
        intent["status"],
        intent["amount"],
        intent["metadata"],
        intent["setup_future_usage"],
    )
    assert ["charge.succeeded", "payment_intent.succeeded", "payment_intent.created", "checkout.session.completed"] == (
        shop.types(before)
    )


def test_a_single_payment_that_keeps_the_card(shop: Shop) -> None:
    """With `setup_future_usage` a customer is made, who has the card afterwards."""
    session = _once(shop, **{"payment_intent_data[setup_future_usage]": "off_session"})

    shop.stripe.pay(session["id"])

    customer = _session(shop, session["id"])["customer"]
    assert 1 == len(shop.get("/v1/payment_methods", {"customer": customer})["data"])


def test_a_single_payment_by_bank_debit(shop: Shop) -> None:
    """Complete and unpaid at first; it is paid, or failed, days later."""
    for succeeds, outcome in ((True, "succeeded"), (False, "failed")):
        session = _once(shop, **{"allowed_payment_method_types[0]": "us_bank_account"})
        shop.stripe.pay(session["id"], card="000123456789")
        done = _session(shop, session["id"])
        assert ("complete", "unpaid") == (done["status"], done["payment_status"])

        shop.stripe.settle(session["id"], succeeds=succeeds)

        assert ("paid" if succeeds else "unpaid") == _session(shop, session["id"])["payment_status"]
        assert f"checkout.session.async_payment_{outcome}" == shop.types()[-1]


def test_saving_a_card(shop: Shop) -> None:
    """Setup mode charges nothing: a setup intent, and the card is the customer's."""
    customer = shop.customer()
    session = shop.post(
        SESSIONS,
        {
            "mode": "setup",
            "currency": "usd",
            "customer": customer,
            "success_url": "https://shop.example/ok",
            "setup_intent_data[metadata][a]": "b",
        },
    )
    assert ("no_payment_required", None) == (session["payment_status"], session["amount_total"])

    shop.stripe.pay(session["id"], card="4000002500003155")

    session = _session(shop, session["id"])
    intent = shop.get(f"/v1/setup_intents/{session['setup_intent']}")
    assert ("succeeded", customer, {"a": "b"}) == (intent["status"], intent["customer"], intent["metadata"])
    assert [intent["payment_method"]] == [
        row["id"] for row in shop.get("/v1/payment_methods", {"customer": customer})["data"]
    ]


def test_prices_of_its_own(shop: Shop) -> None:
    """`price_data` makes product and price, which nobody else can buy."""
    session = shop.post(SESSIONS, {"mode": "payment", "success_url": "https://shop.example", **INLINE})

    assert 1_400 == session["amount_total"]
    (line,) = shop.get(f"{SESSIONS}/{session['id']}/line_items")["data"]
    assert ("Poster", 700, False) == (line["description"], line["price"]["unit_amount"], line["price"]["active"])
    assert ["product.created", "price.created"] == shop.types()
    shop.stripe.pay(session["id"])
    assert "paid" == _session(shop, session["id"])["payment_status"]


def test_recurring_prices_of_its_own(shop: Shop) -> None:
    """A subscription to a price that the session made, every two weeks."""
    recurring = {f"{DATA}[recurring][interval]": "week", f"{DATA}[recurring][interval_count]": "2"}
    session = shop.post(
        SESSIONS, {"mode": "subscription", "success_url": "https://shop.example", **INLINE, **recurring}
    )
    shop.stripe.pay(session["id"])

    (item,) = shop.subscription(_session(shop, session["id"])["subscription"])["items"]["data"]

    assert shop.now + 14 * DAY == item["current_period_end"]


def test_a_refused_session_leaves_no_price(shop: Shop) -> None:
    """What was made for the session is gone when something else in the request is wrong."""
    params = {"mode": "payment", "success_url": "https://shop.example", "discounts[0][coupon]": "nope", **INLINE}

    assert "resource_missing" == shop.refused("POST", SESSIONS, params).code

    assert [] == shop.get("/v1/products")["data"] == shop.get("/v1/prices")["data"]
    assert [] == shop.types()


def test_a_trial_without_a_card(shop: Shop) -> None:
    """`if_required` asks for no card when nothing is due; the trial then ends as its settings say."""
    params = {
        "payment_method_collection": "if_required",
        "subscription_data[trial_period_days]": "7",
        "subscription_data[trial_settings][end_behavior][missing_payment_method]": "cancel",
    }
    subscription = shop.buy(**params, customer=shop.customer())
    assert ("trialing", None) == (subscription["status"], subscription["default_payment_method"])

    shop.stripe.advance(days=7, hours=2)

    assert "canceled" == shop.subscription(subscription["id"])["status"]


@pytest.mark.parametrize(("behavior", "total"), [("create_prorations", 484), ("none", 0)])
def test_a_billing_day_of_its_own(shop: Shop, behavior: str, total: int) -> None:
    """The first period lasts until the anchor and costs its share of a month, or nothing."""
    params = {
        "subscription_data[billing_cycle_anchor]": str(at(2026, 1, 30, 12)),
        "subscription_data[proration_behavior]": behavior,
    }
    session = shop.checkout(shop.price(1_000), customer=shop.customer(), **params)
    assert total == session["amount_total"]

    shop.stripe.pay(session["id"])

    subscription = shop.subscription(_session(shop, session["id"])["subscription"])
    assert at(2026, 1, 30, 12) == subscription["items"]["data"][0]["current_period_end"]
    (invoice,) = shop.invoices(subscription["id"])
    assert ("paid", total) == (invoice["status"], invoice["total"])


@pytest.mark.parametrize("ui_mode", ["embedded_page", "elements"])
def test_pages_inside_the_shop(shop: Shop, ui_mode: str) -> None:
    """No URL of Stripe's, but a secret for the browser, and the way back is `return_url`."""
    session = shop.checkout(ui_mode=ui_mode, success_url=None, cancel_url=None, return_url="https://shop.example/back")

    assert (None, ui_mode, "https://shop.example/back") == (session["url"], session["ui_mode"], session["return_url"])
    assert session["client_secret"].startswith(f"{session['id']}_secret_")


def test_fields_and_consent(shop: Shop) -> None:
    """What the person fills in and agrees to is in the session; what is wrong there keeps it open."""
    params = {
        "custom_fields[0][key]": "size",
        "custom_fields[0][label][type]": "custom",
        "custom_fields[0][label][custom]": "Size",
        "custom_fields[0][type]": "dropdown",
        "custom_fields[0][dropdown][options][0][label]": "Large",
        "custom_fields[0][dropdown][options][0][value]": "l",
        "custom_fields[1][key]": "number",
        "custom_fields[1][label][type]": "custom",
        "custom_fields[1][label][custom]": "Number",
        "custom_fields[1][type]": "numeric",
        "custom_fields[1][optional]": "true",
        "consent_collection[terms_of_service]": "required",
        "consent_collection[promotions]": "auto",
    }
    session = shop.checkout(**params)
    path = f"/c/pay/{session['id']}"
    form = {"card": "4242424242424242", "field_size": "l", "field_number": "12", "terms": "on"}
    for wrong in ({"field_size": "xl"}, {"field_number": "a"}, {"terms": ""}, {"field_size": ""}):
        assert 400 == shop.stripe.hosted("POST", path, {**form, **wrong})[0]
        assert "open" == _session(shop, session["id"])["status"]

    assert 303 == shop.stripe.hosted("POST", path, {**form, "promotions": "on"})[0]

    session = _session(shop, session["id"])
    assert ["l", "12"] == [row[row["type"]]["value"] for row in session["custom_fields"]]
    assert {"promotions": "opt_in", "terms_of_service": "accepted"} == session["consent"]
    assert Form("a@b.c").custom_fields == {}


def test_recovery(shop: Shop) -> None:
    """An expired session opens a way back for 30 days, to a new one of the same content."""
    session = shop.checkout(**{"after_expiration[recovery][enabled]": "true"}, client_reference_id="org_1")
    with pytest.raises(SimulatorError, match="cannot be recovered"):
        shop.stripe.recover(session["id"])
    shop.stripe.advance(days=1)
    recovery = _session(shop, session["id"])["after_expiration"]["recovery"]
    assert shop.now + 30 * DAY == recovery["expires_at"]

    id = shop.stripe.recover(recovery["url"])

    made = _session(shop, id)
    assert (session["id"], "open", "org_1") == (made["recovered_from"], made["status"], made["client_reference_id"])
    shop.stripe.pay(id)
    shop.stripe.advance(days=31)
    with pytest.raises(SimulatorError, match="cannot be recovered"):
        shop.stripe.recover(session["id"])


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"mode": "payment"}, "line_items"),
        ({"mode": "setup"}, "line_items"),
        ({"mode": "setup", "line_items[0][price]": None, "line_items[0][quantity]": None}, "currency"),
        ({"payment_intent_data[description]": "x"}, "payment_intent_data"),
        ({"setup_intent_data[description]": "x"}, "setup_intent_data"),
        ({"customer_creation": "always"}, "customer_creation"),
        ({"ui_mode": "embedded_page"}, "success_url"),
        ({"ui_mode": "embedded_page", "success_url": None, "cancel_url": None}, "return_url"),
        ({"ui_mode": "elements", "success_url": None}, "cancel_url"),
        ({"redirect_on_completion": "never"}, "redirect_on_completion"),
        ({"subscription_data[proration_behavior]": "none"}, "subscription_data[proration_behavior]"),
        ({"subscription_data[billing_cycle_anchor]": "1"}, "subscription_data[billing_cycle_anchor]"),
        (
            {"subscription_data[billing_cycle_anchor]": "1770000000", "subscription_data[trial_period_days]": "3"},
            "subscription_data[billing_cycle_anchor]",
        ),
        ({"line_items[0][price_data][currency]": "usd"}, "line_items[0][price]"),
        (
            {
                "custom_fields[0][key]": "a",
                "custom_fields[0][type]": "text",
                "custom_fields[0][label][type]": "custom",
                "custom_fields[0][label][custom]": "A",
                "custom_fields[0][numeric][minimum_length]": "2",
            },
            "custom_fields[0][numeric]",
        ),
    ],
)
def test_what_excludes_what(shop: Shop, params: dict[str, str | None], param: str) -> None:
    """Parameters of another mode or page are refused by name."""
    good = shop.checkout_params(**params)

    assert param == shop.refused("POST", SESSIONS, good).param


def test_a_price_that_renews_is_no_single_payment(shop: Shop) -> None:
    """The message names the mode to use."""
    assert "subscription" in shop.refused("POST", SESSIONS, shop.checkout_params(mode="payment")).message
