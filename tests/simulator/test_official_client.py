"""The official package as a witness: its own client drives the simulator and reads what it answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import stripe

from tests.simulator.shop import Shop

# The package gives httpx its form text in a way that httpx deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def test_the_whole_story(shop: Shop, client: Any) -> None:
    """Catalog, customer, checkout, subscription, portal: made and read by the official client."""
    product = client.v1.products.create({"name": "Pro", "marketing_features": [{"name": "5 projects"}]})
    price = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1_500, "recurring": {"interval": "month"}}
    )
    customer = client.v1.customers.create({"email": "jane@example.com", "metadata": {"org": "org_1"}})
    session = client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price.id, "quantity": 2}],
            "success_url": "https://shop.example/ok",
            "subscription_data": {"metadata": {"org": "org_1"}},
        }
    )
    shop.stripe.pay(session.url)

    session = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    assert ("complete", "active") == (session.status, session.subscription.status)
    assert 3_000 == session.subscription.latest_invoice.amount_paid
    assert {"org": "org_1"} == session.subscription.metadata.to_dict()
    listed = client.v1.subscriptions.list({"customer": customer.id})
    assert [session.subscription.id] == [row.id for row in listed.auto_paging_iter()]
    portal = client.v1.billing_portal.sessions.create({"customer": customer.id, "return_url": "https://shop.example"})
    assert portal.url.startswith("https://billing.stripe.com/p/session/bps_")
    canceled = client.v1.subscriptions.cancel(session.subscription.id)
    assert "canceled" == canceled.status
    assert not shop.stripe.violations


def test_it_pages_through_everything(shop: Shop, client: Any) -> None:
    """`auto_paging_iter` sees every object once."""
    ids = [shop.customer() for _ in range(25)]

    assert ids[::-1] == [row.id for row in client.v1.customers.list({"limit": 7}).auto_paging_iter()]


def test_it_reads_events(shop: Shop, client: Any) -> None:
    """Events come with their objects typed."""
    subscription = shop.buy()

    events = client.v1.events.list({"types": ["customer.subscription.created"]}).data

    assert [subscription["id"]] == [event.data.object.id for event in events]


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (("customers", "retrieve", "cus_0"), stripe.InvalidRequestError, "resource_missing"),
        (("customers", "create", {"emial": "x"}), stripe.InvalidRequestError, "parameter_unknown"),
        (("invoices", "pay", "in_0"), stripe.InvalidRequestError, "resource_missing"),
    ],
)
def test_refusals_become_its_errors(
    client: Any, call: tuple[str, str, object], error: type[stripe.StripeError], code: str
) -> None:
    """The official client recognises status, type and code, and keeps the request's id."""
    noun, verb, argument = call
    with pytest.raises(error) as raised:
        getattr(getattr(client.v1, noun), verb)(argument)

    assert code == raised.value.code
    assert str(raised.value.request_id).startswith("req_")


def test_card_and_key_errors_become_its_errors(shop: Shop, http: Any, client: Any) -> None:
    """A declined card, a wrong key and a reused idempotency key are its own classes."""
    customer, price = shop.customer(), shop.price()
    shop.stripe.use_card(customer, "4000000000000002")
    params = {"customer": customer, "items": [{"price": price}], "payment_behavior": "error_if_incomplete"}
    with pytest.raises(stripe.CardError) as declined:
        client.v1.subscriptions.create(params)
    body: Any = declined.value.json_body
    assert "generic_decline" == body["error"]["decline_code"]

    stranger: Any = stripe.StripeClient("sk_test_other", http_client=http, max_network_retries=0)
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.list()

    client.v1.customers.create({"email": "a@b.c"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"email": "x@y.z"}, {"idempotency_key": "k"})


def test_its_async_client_is_served(http: Any, client: Any) -> None:
    """The async half of the client goes through the async transport."""

    async def story() -> list[str]:
        await client.v1.customers.create_async({"email": "a@b.c"})
        page = await client.v1.customers.list_async()
        emails = [row.email async for row in page.auto_paging_iter()]
        await http._client_async.aclose()
        return emails

    assert ["a@b.c"] == asyncio.run(story())
