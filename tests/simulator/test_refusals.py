"""What Stripe refuses, the simulator refuses, with the same status, code and parameter; and nothing is changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kernia_billing.testing import SimulatorError, StripeSimulator
from tests.simulator.shop import DAY, VERSION, Shop


def _nothing_changed(shop: Shop, before: int) -> bool:
    return len(shop.stripe.events) == before and not shop.get("/v1/checkout/sessions")["data"]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"success_url": "/ok"}, "url_invalid", "success_url"),
        ({"success_url": "ftp://shop.example/ok"}, "url_invalid", "success_url"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"cancel_url": "no"}, "url_invalid", "cancel_url"),
        ({"return_url": "https://shop.example"}, None, "return_url"),
        ({"mode": None}, "parameter_missing", "mode"),
        ({"line_items[0][price]": "price_none"}, "resource_missing", "line_items[0][price]"),
        ({"line_items[0][quantity]": None}, None, "line_items[0][quantity]"),
        ({"line_items[0][quantity]": "0"}, None, "line_items[0][quantity]"),
        ({"line_items[0][quantity]": "1.5"}, "parameter_invalid", "line_items[0][quantity]"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"customer_email": "nobody"}, "email_invalid", "customer_email"),
        ({"customer_update[name]": "auto"}, None, "customer_update"),
        ({"client_reference_id": "x" * 201}, "parameter_invalid_string", "client_reference_id"),
        ({"client_reference_id": ""}, "parameter_invalid_empty", "client_reference_id"),
        ({"metadata[" + "k" * 41 + "]": "v"}, None, "metadata"),
        ({"metadata[k]": "v" * 501}, None, "metadata"),
        ({f"metadata[k{i}]": "v" for i in range(51)}, None, "metadata"),
        ({"subscription_data[metadata][k]": "v" * 501}, None, "subscription_data[metadata]"),
        ({"subscription_data[trial_period_days]": "0"}, "parameter_invalid_integer", None),
        ({"subscription_data[trial_period_days]": "731"}, "parameter_invalid_integer", None),
        ({"payment_method_types[0]": "card"}, "payment_method_types_no_longer_supported", "payment_method_types"),
        ({"sucess_url": "https://shop.example"}, "parameter_unknown", "sucess_url"),
        ({"ui_mode": "hosted"}, "parameter_invalid", "ui_mode"),
        ({"expand[0]": "cart"}, "property_forbidden", "expand"),
    ],
)
def test_bad_checkouts_are_refused(shop: Shop, params: dict[str, Any], code: str | None, param: str | None) -> None:
    """Each bad parameter of a checkout session is named, and no session comes of it."""
    good = shop.checkout_params()
    before = len(shop.stripe.events)

    refusal = shop.refused(
        "POST", "/v1/checkout/sessions", shop.checkout_params(good["line_items[0][price]"], **params)
    )

    assert (400, "invalid_request_error", code) == (refusal.status, refusal.type, refusal.code)
    assert param is None or param == refusal.param
    assert code == "property_forbidden" or _nothing_changed(shop, before)


@pytest.mark.parametrize("away", [1_799, DAY + 1, -5])
def test_sessions_live_between_half_an_hour_and_a_day(shop: Shop, away: int) -> None:
    """An `expires_at` outside 30 minutes to 24 hours is refused."""
    params = shop.checkout_params(expires_at=str(shop.now + away))

    assert "expires_at" == shop.refused("POST", "/v1/checkout/sessions", params).param


@pytest.mark.parametrize("away", [1_800, DAY])
def test_session_life_includes_its_bounds(shop: Shop, away: int) -> None:
    """Exactly 30 minutes and exactly 24 hours are fine."""
    assert shop.now + away == shop.checkout(expires_at=str(shop.now + away))["expires_at"]


def test_quantity_belongs_to_licensed_prices_only(shop: Shop) -> None:
    """A metered price takes no quantity, in Checkout and in subscriptions."""
    metered = shop.price(metered=True)
    customer = shop.customer()
    direct = {"customer": customer, "items[0][price]": metered, "items[0][quantity]": "1"}

    refusals = [
        shop.refused("POST", "/v1/checkout/sessions", shop.checkout_params(metered)),
        shop.refused("POST", "/v1/subscriptions", direct),
    ]

    assert ["line_items[0][quantity]", "items[0][quantity]"] == [refusal.param for refusal in refusals]
    assert all("usage_type is `metered`" in refusal.message for refusal in refusals)


def test_inactive_prices_and_products_are_not_sold(shop: Shop) -> None:
    """An archived price, or one of an archived product, is refused."""
    archived, orphaned = shop.price(), shop.price()
    shop.post(f"/v1/prices/{archived}", {"active": "false"})
    shop.post(f"/v1/products/{shop.get(f'/v1/prices/{orphaned}')['product']}", {"active": "false"})

    for price in (archived, orphaned):
        refusal = shop.refused("POST", "/v1/checkout/sessions", shop.checkout_params(price))
        assert "inactive" in refusal.message


def test_one_time_prices_need_a_recurring_one(shop: Shop) -> None:
    """Subscription mode needs a recurring price; a one-time price may come along."""
    once, monthly = shop.price(500, interval=None), shop.price(1_000)

    refusal = shop.refused("POST", "/v1/checkout/sessions", shop.checkout_params(once))
    both = shop.checkout(monthly, **{"line_items[1][price]": once, "line_items[1][quantity]": "2"})

    assert "at least one recurring price" in refusal.message
    assert 2_000 == both["amount_total"]


def test_intervals_and_currencies_do_not_mix(shop: Shop) -> None:
    """A session has one billing interval, one currency, and each price once."""
    monthly = shop.price()
    others = [shop.price(interval="year"), shop.price(currency="eur"), monthly]

    for other in others:
        params = shop.checkout_params(monthly, **{"line_items[1][price]": other, "line_items[1][quantity]": "1"})
        assert 400 == shop.refused("POST", "/v1/checkout/sessions", params).status


def test_a_customer_pays_in_one_currency(shop: Shop) -> None:
    """Who subscribed in dollars cannot subscribe in euros."""
    subscription = shop.buy(shop.price(currency="usd"))
    params = shop.checkout_params(shop.price(currency="eur"), customer=subscription["customer"])

    assert "cannot combine currencies" in shop.refused("POST", "/v1/checkout/sessions", params).message


def test_currencies_are_checked_again_when_paying(shop: Shop) -> None:
    """Two pages in two currencies may be open; once one is paid, the other cannot be."""
    customer = shop.customer()
    dollars = shop.checkout(shop.price(), customer=customer)
    euros = shop.checkout(shop.price(currency="eur"), customer=customer)
    shop.stripe.pay(dollars["id"])

    with pytest.raises(SimulatorError, match="cannot combine currencies"):
        shop.stripe.pay(euros["id"])


def test_customer_and_email_exclude_each_other(shop: Shop) -> None:
    """A session is for a customer or for an address, not both."""
    params = shop.checkout_params(customer=shop.customer(), customer_email="jane@example.com")

    assert "customer_email" == shop.refused("POST", "/v1/checkout/sessions", params).param


def test_deleted_customers_are_gone(shop: Shop) -> None:
    """A deleted customer can be read as deleted, and used for nothing."""
    customer = shop.customer()
    shop.delete(f"/v1/customers/{customer}")

    assert {"id": customer, "object": "customer", "deleted": True} == shop.get(f"/v1/customers/{customer}")
    assert not shop.get("/v1/customers")["data"]
    for method, path, params in (
        ("POST", "/v1/checkout/sessions", shop.checkout_params(customer=customer)),
        ("POST", "/v1/billing_portal/sessions", {"customer": customer}),
        ("POST", f"/v1/customers/{customer}", {"name": "J"}),
        ("DELETE", f"/v1/customers/{customer}", {}),
    ):
        assert "resource_missing" == shop.refused(method, path, params).code


def test_a_session_of_a_deleted_customer_cannot_be_paid(shop: Shop) -> None:
    """The customer went while the page was open."""
    session = shop.checkout(customer=(customer := shop.customer()))
    shop.delete(f"/v1/customers/{customer}")

    with pytest.raises(SimulatorError, match="No such customer"):
        shop.stripe.pay(session["id"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/billing_portal/configurations/bpc_0",
        "/v1/charges/ch_0",
        "/v1/checkout/sessions/cs_test_0",
        "/v1/checkout/sessions/cs_test_0/line_items",
        "/v1/customers/cus_0",
        "/v1/customers/cus_0/payment_methods",
        "/v1/events/evt_0",
        "/v1/invoice_payments/inpay_0",
        "/v1/invoices/in_0",
        "/v1/invoices/in_0/lines",
        "/v1/payment_intents/pi_0",
        "/v1/payment_methods/pm_0",
        "/v1/prices/price_0",
        "/v1/products/prod_0",
        "/v1/setup_intents/seti_0",
        "/v1/subscription_items/si_0",
        "/v1/subscriptions/sub_0",
        "/v1/webhook_endpoints/we_0",
    ],
)
def test_unknown_ids_are_missing(shop: Shop, path: str) -> None:
    """An id in the path that does not exist is 404 resource_missing, and the parameter is named."""
    refusal = shop.refused("GET", path)

    assert (404, "resource_missing") == (refusal.status, refusal.code)
    assert refusal.param


@pytest.mark.parametrize("key", [None, "sk_live_51abc", "sk_test_other", ""])
def test_only_the_key_of_the_account_opens(shop: Shop, key: str | None) -> None:
    """No key, a live key and another account's key are 401 with nothing but type and message, and do not leak."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    client = httpx.Client(transport=shop.stripe.transport, base_url="https://api.stripe.com", headers=headers)

    response = client.get("/v1/customers")

    assert 401 == response.status_code
    assert {"type", "message"} == set(response.json()["error"])
    assert shop.stripe.api_key not in response.text


def test_a_live_key_is_no_key_of_a_simulator() -> None:
    """A simulator is in test mode and takes no other key for its own."""
    with pytest.raises(ValueError, match="sk_test_"):
        StripeSimulator(api_key="sk_live_1")


def test_unknown_versions_are_refused(shop: Shop) -> None:
    """A version that the simulator cannot render is an error, no version is the current one."""
    old = shop.http.get("/v1/account", headers={"Stripe-Version": "1999-01-01"})
    del shop.http.headers["Stripe-Version"]
    none = shop.http.get("/v1/account")

    assert 400 == old.status_code
    assert (200, VERSION) == (none.status_code, none.headers["stripe-version"])


def test_violations_are_recorded(shop: Shop) -> None:
    """A request that the official package would not send is kept for the test to see."""
    shop.refused("POST", "/v1/customers", {"emial": "jane@example.com"})
    shop.refused("GET", "/v1/invoices/upcoming", {"customer": "cus_1"})

    assert [("POST", "/v1/customers"), ("GET", "/v1/invoices/upcoming")] == [
        (violation.method, violation.path) for violation in shop.stripe.violations
    ]
    assert "did you mean 'email'" in shop.stripe.violations[0].errors[0]
    assert 2 == shop.stripe.oracle_counts["violations"]


def test_what_is_not_modelled_is_not_ignored(shop: Shop) -> None:
    """A parameter of Stripe's that the simulator does not know is refused by that name, and is no violation."""
    refusal = shop.refused(
        "POST", "/v1/checkout/sessions", shop.checkout_params(**{"managed_payments[enabled]": "true"})
    )

    assert "simulator_not_modelled" == refusal.code
    assert "managed_payments" in refusal.message
    assert not shop.stripe.violations


def test_endpoints_that_are_not_served_say_so(shop: Shop) -> None:
    """A real endpoint beyond the simulator is 404, never an empty success."""
    assert 404 == shop.refused("GET", "/v1/payouts").status


def test_connected_accounts_are_not_modelled(shop: Shop) -> None:
    """A request for another account would otherwise be answered from this one."""
    assert 400 == shop.http.get("/v1/customers", headers={"Stripe-Account": "acct_1"}).status_code


def test_only_stripes_api_can_be_reached(shop: Shop) -> None:
    """A request to another host, or without TLS, never leaves."""
    for url in ("https://evil.example/v1/account", "http://api.stripe.com/v1/account"):
        with pytest.raises(httpx.ConnectError):
            shop.http.get(url)


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"return_url": "/back"}, "return_url"),
        ({"configuration": "bpc_0"}, "configuration"),
        ({"flow_data[type]": "subscription_cancel"}, "flow_data[subscription_cancel]"),
        (
            {"flow_data[type]": "subscription_cancel", "flow_data[subscription_cancel][subscription]": "sub_0"},
            "flow_data[subscription_cancel][subscription]",
        ),
        (
            {"flow_data[type]": "subscription_update", "flow_data[subscription_update][subscription]": "sub_0"},
            "flow_data[type]",
        ),
    ],
)
def test_bad_portal_sessions_are_refused(shop: Shop, params: dict[str, str], param: str) -> None:
    """The portal takes absolute URLs, existing objects and flows that its configuration allows."""
    refusal = shop.refused("POST", "/v1/billing_portal/sessions", {"customer": shop.customer(), **params})

    assert param == refusal.param


def test_foreign_subscriptions_do_not_enter_a_portal(shop: Shop) -> None:
    """A flow names a subscription of the customer whose portal it is."""
    subscription = shop.buy()
    flow = {
        "flow_data[type]": "subscription_cancel",
        "flow_data[subscription_cancel][subscription]": subscription["id"],
    }

    assert 400 == shop.refused("POST", "/v1/billing_portal/sessions", {"customer": shop.customer(), **flow}).status
    own = shop.post("/v1/billing_portal/sessions", {"customer": subscription["customer"], **flow})
    assert subscription["id"] == own["flow"]["subscription_cancel"]["subscription"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"unit_amount": "100"}, "parameter_missing"),
        ({"currency": "usd"}, None),
        ({"currency": "usd", "unit_amount": "1", "unit_amount_decimal": "1"}, None),
        ({"currency": "dollars", "unit_amount": "1"}, None),
        ({"currency": "usd", "unit_amount": "-1"}, "parameter_invalid_integer"),
        ({"currency": "usd", "unit_amount": "1", "recurring[interval]": "monthly"}, "parameter_invalid"),
        (
            {"currency": "usd", "unit_amount": "1", "recurring[interval]": "year", "recurring[interval_count]": "4"},
            None,
        ),
    ],
)
def test_bad_prices_are_refused(shop: Shop, params: dict[str, str], code: str | None) -> None:
    """A price has a currency, one amount, and an interval of at most three years."""
    product = shop.stripe.add_product("Pro")

    refusal = shop.refused("POST", "/v1/prices", {"product": product, **params})

    assert (400, code) == (refusal.status, refusal.code)


def test_lookup_keys_are_unique_until_transferred(shop: Shop) -> None:
    """A lookup key names one price; a transfer takes it from the other."""
    product = shop.stripe.add_product("Pro")
    params = {"product": product, "currency": "usd", "unit_amount": "1", "lookup_key": "pro"}
    first = shop.post("/v1/prices", params)

    assert "lookup_key" == shop.refused("POST", "/v1/prices", params).param
    second = shop.post("/v1/prices", {**params, "transfer_lookup_key": "true"})

    assert [second["id"]] == [price["id"] for price in shop.get("/v1/prices", {"lookup_keys[0]": "pro"})["data"]]
    assert shop.get(f"/v1/prices/{first['id']}")["lookup_key"] is None


def test_products_with_prices_stay(shop: Shop) -> None:
    """A product can be deleted only while it has no price."""
    price, empty = shop.price(), shop.stripe.add_product("Empty")

    assert 400 == shop.refused("DELETE", f"/v1/products/{shop.get(f'/v1/prices/{price}')['product']}").status
    assert shop.delete(f"/v1/products/{empty}")["deleted"]
    assert 404 == shop.refused("GET", f"/v1/products/{empty}").status


def test_metadata_is_merged_key_by_key(shop: Shop) -> None:
    """Keys given are set, an empty value removes its key, an empty map all; 50 is the most that may remain."""
    customer = shop.customer(**{"metadata[a]": "1", "metadata[b]": "2"})
    path = f"/v1/customers/{customer}"

    assert {"b": "2", "c": "3"} == shop.post(path, {"metadata[a]": "", "metadata[c]": "3"})["metadata"]
    assert 400 == shop.refused("POST", path, {f"metadata[k{i}]": "v" for i in range(49)}).status
    assert {"b": "2", "c": "3"} == shop.get(path)["metadata"]
    assert {} == shop.post(path, {"metadata": ""})["metadata"]


@pytest.mark.parametrize("card", ["4000000000000002", "4000000000009995", "4000002500003155", "pm_card_unknown"])
def test_cards_are_known_or_refused(shop: Shop, card: str) -> None:
    """The person pays with Stripe's test cards; anything else is a mistake of the test."""
    session = shop.checkout()

    if card.startswith("pm_"):
        with pytest.raises(SimulatorError, match="not a test card"):
            shop.stripe.pay(session["id"], card=card)
    else:
        shop.stripe.settings.authenticate = False
        with pytest.raises(SimulatorError):
            shop.stripe.pay(session["id"], card=card)
    assert "open" == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]


def test_too_much_metadata_changes_nothing(shop: Shop) -> None:
    """What else the request wanted is not done either."""
    full, more = {f"metadata[k{i}]": "v" for i in range(50)}, {"metadata[more]": "x"}
    card = shop.post("/v1/payment_methods/pm_card_visa/attach", {"customer": shop.customer()})
    intent = shop.post("/v1/payment_intents", {"amount": "500", "currency": "usd"})
    portal = shop.post("/v1/billing_portal/configurations", {"features[invoice_history][enabled]": "true"})
    for path, change in (
        (f"/v1/payment_intents/{intent['id']}", {"amount": "700"}),
        (f"/v1/payment_methods/{card['id']}", {"card[exp_month]": "3"}),
        (f"/v1/billing_portal/configurations/{portal['id']}", {"active": "false"}),
    ):
        before = shop.post(path, full)
        assert 400 == shop.refused("POST", path, {**change, **more}).status
        assert before == shop.get(path)


def test_a_default_price_is_not_archived(shop: Shop) -> None:
    """Its product has to have another one first."""
    product = shop.stripe.add_product("Plans")
    old, new = shop.price(1_000, product=product), shop.price(2_000, product=product)
    shop.post(f"/v1/products/{product}", {"default_price": old})
    refusal = shop.refused("POST", f"/v1/prices/{old}", {"active": "false"})
    shop.post(f"/v1/products/{product}", {"default_price": new})

    assert (400, "active") == (refusal.status, refusal.param)
    assert not shop.post(f"/v1/prices/{old}", {"active": "false"})["active"]
