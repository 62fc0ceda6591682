"""The surface of kavachOS: the shapes and texts that its documents give, without its defects."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import Conflict, NotFound
from kernia_billing.types import SubscriptionInfo
from tests.contract.conftest import OpenShop
from tests.contract.support import Shop
from tests.integrations.sites import Answer

CHECKOUT, PORTAL = "/auth/stripe/checkout", "/auth/stripe/portal"
SUBSCRIPTION, WEBHOOK = "/auth/stripe/subscription", "/auth/stripe/webhook"
ISO_MS = re.compile(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z")


@pytest.fixture
def kavach(open_shop: OpenShop) -> Shop:
    """A shop with kavachOS's routes."""
    return open_shop(kavach_routes=True)


def error(answer: Answer) -> tuple[int, str]:
    """The status and the text of a refusal, which has no other member."""
    assert set(answer.json) == {"error"}
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.json["error"]


def buy(shop: Shop, **members: object) -> None:
    """Buy the plan "pro" and pay."""
    answer = shop.post(CHECKOUT, {"priceId": "price_pro", **members})
    assert answer.status == 200, answer.body
    shop.stripe.pay(answer.json["url"])


def webhook(shop: Shop, body: bytes, signature: str | None) -> Answer:
    """Deliver bytes as Stripe does."""
    headers = {} if signature is None else {"stripe-signature": signature}
    return shop.ask("POST", WEBHOOK, body, by=None, origin=None, headers=headers)


def test_a_purchase(kavach: Shop) -> None:
    """Checkout, payment, subscription: the three shapes, and the same subscription on our own routes."""
    assert kavach.get(SUBSCRIPTION).json == {"subscription": None}
    opened = kavach.post(CHECKOUT, {"priceId": "  price_pro ", "successUrl": "/ok", "cancelUrl": "/no"})
    assert (opened.status, set(opened.json)) == (200, {"url", "sessionId"})
    assert opened.json["url"].endswith(opened.json["sessionId"])

    kavach.stripe.pay(opened.json["url"])

    told = kavach.get(SUBSCRIPTION).json["subscription"]
    (row,) = kavach.rows()
    assert told == {
        "id": row["stripeSubscriptionId"],
        "status": "active",
        "priceId": "price_pro",
        "currentPeriodEnd": row["periodEnd"],
        "cancelAtPeriodEnd": False,
    }
    assert ISO_MS.fullmatch(told["currentPeriodEnd"])
    portal = kavach.post(PORTAL, {"returnUrl": "/billing"})
    assert (portal.status, set(portal.json)) == (200, {"url"})


def test_a_year_is_the_price_of_a_year(kavach: Shop) -> None:
    """The price says which plan and how often."""
    answer = kavach.post(CHECKOUT, {"priceId": "price_pro_y"})
    kavach.stripe.pay(answer.json["url"])

    assert [(row["plan"], row["billingInterval"]) for row in kavach.rows()] == [("pro", "year")]


@pytest.mark.parametrize("path", [CHECKOUT, PORTAL])
def test_a_body_that_is_wrong(kavach: Shop, path: str) -> None:
    """400 with kavachOS's words, after who is signed in is known."""
    needed = f"Missing required field: {'priceId' if path == CHECKOUT else 'returnUrl'}"
    sent = {"content-type": "application/json"}
    for body, text in {
        b"": "Invalid JSON body",
        b"{": "Invalid JSON body",
        b'{"a": 1, "a": 2}': "Invalid JSON body",
        b"{}": needed,
        b"[]": needed,
        b"null": needed,
        b'{"priceId": 5, "returnUrl": 5}': needed,
        b'{"priceId": "", "returnUrl": ""}': needed,
        b'{"priceId": null, "returnUrl": null}': needed,
    }.items():
        assert error(kavach.ask("POST", path, body, headers=sent)) == (400, text), body
        assert error(kavach.ask("POST", path, body, by=None, headers=sent)) == (401, "Authentication required")
    assert error(kavach.get(SUBSCRIPTION, by=None)) == (401, "Authentication required")
    assert not kavach.calls("POST", "/v1/checkout")
    assert not kavach.calls("POST", "/v1/billing_portal")


@pytest.mark.parametrize("price", ["price_other", "prod_1", "../prices", "price_free"])
def test_a_price_that_is_not_sold(kavach: Shop, price: str) -> None:
    """A client buys what the application sells, and nothing else that the account has a price for."""
    kavach.stripe.add_price("price_other", 1)
    assert error(kavach.post(CHECKOUT, {"priceId": price})) == (400, "The price is not sold here")
    assert not kavach.calls("POST", "/v1/checkout")


def test_a_client_says_nothing_about_money(kavach: Shop) -> None:
    """A trial, a discount or a customer that a client asks for is not passed on; members of wrong types are ignored."""
    money = {"trialDays": 365, "customer": "cus_1", "discounts": [{"coupon": "c"}]}
    buy(kavach, successUrl=5, cancelUrl=["x"], metadata="m", **money)

    (row,) = kavach.rows()
    assert (row["status"], row["trialEnd"]) == ("active", None)
    (sent,) = kavach.calls("POST", "/v1/checkout/sessions")
    assert "coupon" not in str(sent.params)
    assert "cus_1'" not in str(sent.params)


def test_a_redirect_elsewhere(kavach: Shop) -> None:
    """Refused before Stripe is asked."""
    for members in ({"successUrl": "https://evil.example/"}, {"cancelUrl": "//evil.example"}):
        assert error(kavach.post(CHECKOUT, {"priceId": "price_pro", **members})) == (403, "Invalid callbackURL")
    assert error(kavach.post(PORTAL, {"returnUrl": "https://evil.example"})) == (403, "Invalid callbackURL")
    assert not kavach.calls("POST", "/v1/checkout")
    assert not kavach.calls("POST", "/v1/billing_portal")


def test_metadata(kavach: Shop) -> None:
    """A client's own is kept, ours cannot be overridden."""
    answer = kavach.post(CHECKOUT, {"priceId": "price_pro", "metadata": {"campaign": "x"}})
    (sent,) = kavach.calls("POST", "/v1/checkout/sessions")

    assert answer.status == 200
    assert "campaign" in str(sent.params)
    refused = error(kavach.post(CHECKOUT, {"priceId": "price_pro", "metadata": {"referenceId": "org_1"}}))
    assert refused == (400, "metadata.referenceId is reserved")


def test_a_second_purchase(kavach: Shop) -> None:
    """Who is subscribed is sold nothing twice."""
    buy(kavach)

    assert error(kavach.post(CHECKOUT, {"priceId": "price_pro"})) == (409, "You're already subscribed to this plan")


def test_no_portal_without_a_customer(kavach: Shop) -> None:
    """Opening the portal makes nobody a customer."""
    answer = kavach.post(PORTAL, {"returnUrl": "/billing"})

    assert error(answer) == (404, "No Stripe customer for user ann")
    assert not kavach.calls("POST", "/v1/customers")


def test_a_cookie_alone_changes_nothing(kavach: Shop) -> None:
    """Another page cannot make a browser buy, with kavachOS's shape of refusal."""
    refused = kavach.ask("POST", CHECKOUT, {"priceId": "price_pro"}, origin="https://evil.example")
    form = kavach.ask("POST", CHECKOUT, b"priceId=price_pro", headers={"content-type": "text/plain"})

    assert error(refused) == (403, "Invalid origin")
    assert error(form)[0] == 415


def test_wrong_methods_and_paths(kavach: Shop) -> None:
    """They are refused in the same shape."""
    assert error(kavach.get(CHECKOUT))[0] == 405
    assert kavach.get(CHECKOUT).headers["allow"] == "POST"
    assert error(kavach.post(SUBSCRIPTION))[0] == 405
    assert error(kavach.get("/auth/stripe/nothing"))[0] == 404


def test_elsewhere_errors_are_ours(kavach: Shop) -> None:
    """The shape is that of these routes only."""
    assert set(kavach.post("/subscription/upgrade", {}).json) >= {"code", "message", "requestId"}


def test_the_routes_are_there_where_they_are_asked_for(open_shop: OpenShop) -> None:
    """Without the option nobody finds them, and the webhook's path is one more of our own."""
    shop = open_shop()

    assert {shop.post(CHECKOUT, {}).status, shop.post(PORTAL, {}).status, shop.get(SUBSCRIPTION).status} == {404}
    assert webhook(shop, b"{}", None).json["code"] == "INVALID_SIGNATURE"


def test_webhooks(open_shop: OpenShop) -> None:
    """A signed event is taken in, once; the answer is the same when it comes again."""
    shop = open_shop(kavach_routes=True, deliver="manual")
    opened = shop.post(CHECKOUT, {"priceId": "price_pro"})
    shop.stripe.pay(opened.json["url"])
    for event in [*shop.stripe.events, *shop.stripe.events]:
        body = json.dumps(event).encode()
        answer = webhook(shop, body, shop.stripe.sign(body))
        assert (answer.status, answer.json) == (200, {"received": True})
    assert shop.get(SUBSCRIPTION).json["subscription"]["status"] == "active"


def test_webhooks_that_nobody_signed(kavach: Shop) -> None:
    """Each fault has kavachOS's words, here and by the function."""
    body = b'{"id": "evt_1"}'
    good = kavach.stripe.sign(body)
    stamp, _, digest = good.partition(",v1=")
    old = f"t={int(stamp.removeprefix('t=')) - 301},v1={digest}"
    ahead = f"t={int(stamp.removeprefix('t=')) + 301},v1={digest}"
    for signature, text in (
        (None, "Missing Stripe-Signature header"),
        ("nonsense", "Invalid Stripe-Signature header"),
        (f"v1={digest}", "Invalid Stripe-Signature header"),
        ("t=abc,v1=abc", "Invalid Stripe-Signature header"),
        (stamp, "Invalid Stripe-Signature header"),
        (old, "Stripe webhook timestamp is too old"),
        (ahead, "Stripe webhook timestamp is too old"),
        (f"{stamp},v1={'0' * 64}", "Stripe webhook signature verification failed"),
        (good, "Stripe webhook signature verification failed"),
    ):
        assert error(webhook(kavach, body, signature)) == (400, text), signature
        told = kavach.billing.kavach.handle_webhook(body, signature)
        assert (told.status, told.body) == (400, {"error": text})


def test_the_functions(kavach: Shop) -> None:
    """What code calls that was written for kavachOS, for users without a session."""
    billing = kavach.billing.kavach
    assert billing.get_customer_id("bob") is None
    assert billing.get_subscription("bob") is None
    with pytest.raises(NotFound):
        billing.create_portal_session("bob", "/billing")

    customer = billing.create_customer("bob", "bob@shop.example", "Bob")
    assert customer.startswith("cus_")
    assert billing.create_customer("bob", "other@shop.example") == billing.get_customer_id("bob") == customer

    opened = billing.create_checkout_session("bob", "price_pro", success_url="/ok", cancel_url="/no")
    kavach.stripe.pay(opened.url)
    info = billing.get_subscription("bob")
    assert (info.status, info.price_id, info.cancel_at_period_end) == ("active", "price_pro", False)
    assert timedelta(days=27) < info.current_period_end - kavach.stripe.now < timedelta(days=32)
    assert billing.create_portal_session("bob", "/billing").url.startswith("https://billing.stripe.com/")
    with pytest.raises(Conflict):
        billing.create_checkout_session("bob", "price_starter", success_url="/ok", cancel_url="/no")
    body = json.dumps(kavach.stripe.events[0]).encode()
    assert billing.handle_webhook(body, kavach.stripe.sign(body)).body == {"received": True}


def test_nobody_is_made_a_customer_where_that_is_off(open_shop: OpenShop) -> None:
    """`auto_create_customer=False` sells to who is a customer already."""
    shop = open_shop(kavach_routes=True, auto_create_customer=False)
    text = "No Stripe customer for user ann. Set autoCreateCustomer: true."

    assert error(shop.post(CHECKOUT, {"priceId": "price_pro"})) == (404, text)
    shop.billing.kavach.create_customer("ann", "ann@shop.example")
    assert shop.post(CHECKOUT, {"priceId": "price_pro"}).status == 200


def test_changes_are_told_once_each(open_shop: OpenShop) -> None:
    """`on_subscription_change` hears of every change of what it is told, of nothing else, and of each once."""
    told: list[tuple[str, SubscriptionInfo]] = []

    def change(user: str, info: SubscriptionInfo) -> None:
        told.append((user, info))

    shop = open_shop(kavach_routes=True, on_subscription_change=change)
    buy(shop)
    shop.stripe.advance(months=1, days=1)
    (row,) = shop.rows()
    shop.billing.sync.reference("ann")
    for event in shop.stripe.events:
        assert shop.webhook(event).status == 200

    seen = [(info.status, info.current_period_end) for _, info in told]
    assert len(seen) == len(set(seen))
    assert {user for user, _ in told} == {"ann"}
    assert seen[-1][0] == "active"
    assert told[-1][1].id == row["stripeSubscriptionId"]
    assert len({end for _, end in seen}) == 2


def test_a_callback_that_fails_hears_again(open_shop: OpenShop) -> None:
    """What it was to hear is kept until it took it, and nothing that was stored is lost by that."""
    told: list[Any] = []
    failing = [True]

    def change(user: str, info: SubscriptionInfo) -> None:
        if failing[0]:
            raise RuntimeError(user)
        told.append((user, info.status))

    shop = open_shop(kavach_routes=True, on_subscription_change=change)
    buy(shop)
    assert shop.get(SUBSCRIPTION).json["subscription"]["status"] == "active"
    assert told == []
    failing[0] = False
    shop.stripe.advance(hours=2)
    shop.billing.jobs.run()

    assert told[-1] == ("ann", "active")
    assert len(told) == len(set(told))
