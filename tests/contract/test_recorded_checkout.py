"""Recorded defects of other implementations, as checkout has to do it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from attrs import evolve

from kernia_billing import AsyncBilling, Conflict, Plan
from kernia_billing.domain.answers import Checkout
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.contract.test_checkout import SESSIONS, asked, dashboard
from tests.integrations.sites import ORIGIN, Answer
from tests.webhooks.shop import hurry

FOREIGN = (
    "https://evil.example/x",
    "//evil.example",
    "/\\evil.example",
    "https://shop.example@evil.example/",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "javascript:alert(1)",
)


def pages(shop: Shop) -> list[dict[str, Any]]:
    """The pages that Stripe has, newest first."""
    found: list[dict[str, Any]] = dashboard(shop, "GET", "/v1/checkout/sessions")["data"]
    return found


@scenario(208)
@pytest.mark.parametrize("member", ["successUrl", "cancelUrl", "returnUrl"])
def test_no_browser_is_sent_to_a_foreign_origin(shop: Shop, member: str) -> None:
    """Every foreign address is refused before Stripe is asked for anything, and leaves no row."""
    for url in FOREIGN:
        answer = shop.upgrade(**{member: url})
        assert answer.status in (400, 403), url
    assert shop.calls() == []
    assert shop.billing.customers.get("ann") is None


@scenario(209)
def test_relative_addresses_become_absolute(shop: Shop) -> None:
    """Query, fragment and the placeholder of the session stay as they are."""
    shop.upgrade(successUrl="/done?a=b&s={CHECKOUT_SESSION_ID}#top", cancelUrl="/plans?x=1")
    sent = asked(shop)
    assert sent["cancel_url"] == f"{ORIGIN}/plans?x=1"
    assert "{CHECKOUT_SESSION_ID}" in sent["success_url"]
    assert sent["success_url"].startswith(f"{ORIGIN}/")


@scenario(213)
@pytest.mark.parametrize("order", [{"plan": "nonsense"}, {"subscriptionId": "sub_other"}, {"referenceId": "org_other"}])
def test_what_is_unknown_or_foreign_asks_stripe_nothing(shop: Shop, order: dict[str, Any]) -> None:
    """Unknown plan, foreign subscription, foreign reference: 4xx, without one call to Stripe."""
    assert 400 <= shop.upgrade(**order).status < 500
    assert shop.calls() == []


@scenario(215)
def test_a_refused_page_leaves_the_customer_and_no_open_order(shop: Shop) -> None:
    """Stripe refuses the first page: the customer is kept, and the next order opens a page of its own."""
    shop.stripe.faults.append(Fault("status", 400, path=SESSIONS, method="POST"))
    assert shop.upgrade().status == 400
    assert shop.billing.customers.get("ann").stripe_id is not None
    assert shop.rows() == []
    assert shop.upgrade().status == 200
    assert len([each for each in shop.calls("POST", "/v1/customers") if each.path == "/v1/customers"]) == 1


@scenario(216)
def test_another_order_expires_the_older_page(shop: Shop) -> None:
    """The same order gives the same page; another one leaves one page that can be paid."""
    first = shop.upgrade().json["url"]
    assert shop.upgrade().json["url"] == first
    second = shop.upgrade("starter").json["url"]
    assert second != first
    assert [each["status"] for each in pages(shop)] == ["open", "expired"]


@scenario(217, 218)
@pytest.mark.parametrize("order", [{"plan": "monthly", "annual": True}, {"plan": "keyed"}])
def test_what_has_no_price_is_not_sold_at_another(open_shop: OpenShop, order: dict[str, Any]) -> None:
    """A plan without the price of the interval, or without any, is refused without a page."""
    shop = open_shop(plans=(*PLANS, Plan("monthly", price_id="price_m"), Plan("keyed", lookup_key="nobody_has_it")))
    answer = shop.upgrade(**order)
    assert 400 <= answer.status < 500
    assert answer.json["message"] == "Price ID not found for the selected plan"
    assert shop.calls("POST", SESSIONS) == []


@scenario(219)
@pytest.mark.parametrize("seats", [0, -1, 2.5, 10**9, True, "3"])
def test_numbers_of_seats(shop: Shop, seats: Any) -> None:
    """What is no number of seats is refused before Stripe is asked."""
    assert shop.upgrade(seats=seats).status == 400
    assert shop.calls() == []


@scenario(220)
@pytest.mark.parametrize(
    "metadata",
    [
        {"a": 5},
        {"a": {"b": "c"}},
        {"a": None},
        {f"k{number}": "v" for number in range(51)},
        {"a": "x" * 501},
        {"a b": "v"},
    ],
)
def test_metadata_that_stripe_would_not_take(shop: Shop, metadata: dict[str, Any]) -> None:
    """What is not flat text within Stripe's limits is refused before Stripe is asked."""
    assert shop.upgrade(metadata=metadata).status == 400
    assert shop.calls() == []


@scenario(221)
@pytest.mark.parametrize("key", ["userId", "REFERENCEID", "subscriptionId", "customerType", "kernia_intent"])
def test_reserved_metadata_never_wins(shop: Shop, key: str) -> None:
    """A body that names one of our keys, in any case, is refused."""
    assert shop.upgrade(metadata={key: "x"}).status == 400
    assert shop.calls() == []


@scenario(222)
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("status", 402, path="/v1/customers", code="card_declined"), 402, "CARD_DECLINED"),
        (Fault("status", 429, path="/v1/customers", times=None), 503, None),
        (Fault("status", 500, path="/v1/customers", times=None), 503, None),
        (Fault("timeout_before", path="/v1/customers", times=None), 503, None),
    ],
)
def test_failures_of_stripe(shop: Shop, fault: Fault, status: int, code: str | None) -> None:
    """402 stays one, an outage is 503 and may be repeated, and nothing of Stripe's own body is answered."""
    hurry(shop.billing)
    shop.stripe.faults.append(evolve(fault))  # A rule is used up, and the test has other combinations.
    answer = shop.upgrade()
    assert answer.status == status
    assert answer.json["retryable"] is (status == 503)
    if code is not None:
        assert answer.json["code"] == code
    assert set(answer.json) <= {"code", "message", "alias", "requestId", "retryable", "type", "title", "status"}


@scenario(223)
def test_no_page_is_opened_without_a_look_at_what_is_there(shop: Shop) -> None:
    """Stripe does not list the customer's subscriptions: 503, and no page."""
    hurry(shop.billing)
    shop.stripe.faults.append(Fault("status", 503, path="/v1/subscriptions", method="GET", times=None))
    assert shop.upgrade().status == 503
    assert shop.calls("POST", SESSIONS) == []


def _at_once_in_threads(shop: Shop) -> list[str]:
    """What the requests that were not told to wait answer."""
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(shop.upgrade())) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.status for each in answers} <= {200, 409}
    return [each.json["url"] for each in answers if each.status == 200]


def _at_once_in_one_loop(shop: Shop) -> list[str]:
    """The same for two tasks of the loop that the application runs on."""
    billing: AsyncBilling = shop.billing._behind

    async def both() -> list[Checkout | BaseException]:
        orders = (billing.subscriptions.upgrade("ann", "pro", success_url="/", cancel_url="/") for _ in range(2))
        return await asyncio.gather(*orders, return_exceptions=True)

    found: list[Checkout | BaseException] = shop.billing._runner.run(both())
    assert all(isinstance(each, Checkout | Conflict) for each in found), found
    return [str(each.url) for each in found if isinstance(each, Checkout)]


@scenario(228)
def test_two_first_upgrades_at_once_open_one_page(open_shop: OpenShop) -> None:
    """Two requests of a new user: one customer and one page, or the second is told to wait."""
    shop = open_shop()
    urls = _at_once_in_threads(shop) if shop.front == "flask" else _at_once_in_one_loop(shop)
    assert len(set(urls)) == 1
    assert len([each for each in pages(shop) if each["status"] == "open"]) == 1
    assert len(dashboard(shop, "GET", "/v1/customers")["data"]) == 1


@scenario(238)
def test_what_stripe_has_already_is_adopted(open_shop: OpenShop) -> None:
    """A subscription that was made in the dashboard, and of which nothing was heard, is brought in, not doubled."""
    shop = open_shop(deliver="manual")
    shop.upgrade("starter")
    customer = asked(shop)["customer"]
    made = dashboard(
        shop,
        "POST",
        "/v1/subscriptions",
        news=False,
        **{"customer": customer, "items[0][price]": "price_pro", "trial_period_days": "30"},
    )
    assert not shop.billing.subscriptions.list("ann")
    answer = shop.upgrade("pro")
    assert answer.status == 409
    assert [each.stripe_id for each in shop.billing.subscriptions.list("ann")] == [made["id"]]


@pytest.mark.parametrize("path", ["/subscription/upgrade", "/subscription/billing-portal", "/billing/portal"])
def test_pages_are_opened_at_a_bounded_rate(open_shop: OpenShop, path: str) -> None:
    """Two a minute are allowed here: the third is told when to come back, another person is not concerned."""
    shop = open_shop(checkout={"rate_limit": 2})
    shop.billing.customers.ensure("ann")
    shop.billing.customers.ensure("bob")
    body = {"plan": "pro", "successUrl": "/", "cancelUrl": "/", "returnUrl": "/"}
    answers = [shop.post(path, body) for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert (answers[2].json["code"], answers[2].headers["retry-after"]) == ("TOO_MANY_REQUESTS", "60")
    assert shop.post(path, body, by="bob").status == 200
    shop.stripe.advance(hours=1)
    assert shop.post(path, body).status == 200
