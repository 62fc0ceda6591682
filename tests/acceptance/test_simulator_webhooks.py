"""Webhooks of a served simulator: to the endpoints of the command line and to those that an application makes."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import datetime
from typing import Any

import httpx
import pytest
import stripe
from attrs import frozen

from kernia_billing.testing import StripeSimulator
from tests.acceptance.simulators import Inbox, Simulator, at_hand, receiving, running


@frozen
class Office:
    """A served simulator, its official client, and the client's own server."""

    made: StripeSimulator
    simulator: Simulator
    client: Any
    inbox: Inbox

    def endpoint(self, *types: str, **more: Any) -> Any:
        """An endpoint at the inbox that the application makes."""
        return self.client.v1.webhook_endpoints.create({"url": self.inbox.url, "enabled_events": [*types], **more})

    def settle(self) -> None:
        """Wait until everything so far was sent."""
        self.simulator.control("deliver")


@pytest.fixture
def office(inbox: Inbox) -> Generator[Office]:
    """One without endpoints, whose clock stands."""
    made = StripeSimulator()
    with at_hand(made) as simulator, simulator.client() as client:
        yield Office(made, simulator, client, inbox)


def test_endpoints_of_both_kinds_are_served() -> None:
    """Two URLs on the command line share the printed secret; one made by the API has its own, and its own types."""
    with receiving() as first, receiving() as second, receiving() as third:
        options = ("--webhook-url", first.url, "--webhook-url", second.url, "--webhook-secret", "whsec_known")
        with running(*options) as simulator, simulator.client() as client:
            made = client.v1.webhook_endpoints.create({"url": third.url, "enabled_events": ["customer.created"]})
            listed = client.v1.webhook_endpoints.list().data
            client.v1.products.create({"name": "Pro"})
            client.v1.customers.create({"email": "jane@example.com"})

            for inbox, secret in ((first, "whsec_known"), (second, "whsec_known"), (third, made.secret)):
                body, header = inbox.wait_for("customer.created")
                assert stripe.Webhook.construct_event(body, header, secret)

    assert [first.url, second.url, third.url] == [row.url for row in reversed(listed)]
    assert ["product.created", "customer.created"] == first.types == second.types
    assert ["customer.created"] == third.types


def test_an_endpoint_moves_rests_and_goes(office: Office) -> None:
    """A new URL is used from then on; a disabled or deleted endpoint gets nothing."""
    endpoint = office.endpoint("product.created")
    with receiving() as other:
        office.client.v1.webhook_endpoints.update(endpoint.id, {"url": other.url})
        office.client.v1.products.create({"name": "moved"})
        other.wait_for("product.created")
        office.client.v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
        office.client.v1.products.create({"name": "rests"})
        office.client.v1.webhook_endpoints.update(endpoint.id, {"disabled": False})
        office.client.v1.products.create({"name": "again"})
        office.settle()
        office.client.v1.webhook_endpoints.delete(endpoint.id)
        office.client.v1.products.create({"name": "gone"})
        office.settle()

        names = [json.loads(body)["data"]["object"]["name"] for body, _ in other.received]

    assert ["moved", "again"] == names
    assert [] == office.inbox.received


def test_each_endpoint_has_its_version(office: Office) -> None:
    """The shape of an event is that of the endpoint; without a version, that of the account."""
    office.simulator.control("settings", event_version="2025-03-31.basil")
    office.simulator.control("prices", id="price_pro", amount=1_000)
    old = "2024-04-10"
    customer = office.client.v1.customers.create({"payment_method": "pm_card_visa"})
    (method,) = office.client.v1.payment_methods.list({"customer": customer.id}).data
    with receiving() as other:
        office.endpoint("customer.subscription.created", api_version=old)
        office.client.v1.webhook_endpoints.create(
            {"url": other.url, "enabled_events": ["customer.subscription.created"]}
        )
        office.client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": "price_pro"}], "default_payment_method": method.id}
        )
        (first, _), (second, _) = (each.wait_for("customer.subscription.created") for each in (office.inbox, other))
        old_shape, new_shape = json.loads(first), json.loads(second)

    assert (old, True) == (old_shape["api_version"], "current_period_end" in old_shape["data"]["object"])
    assert ("2025-03-31.basil", False) == (
        new_shape["api_version"],
        "current_period_end" in new_shape["data"]["object"],
    )


def test_each_step_of_time_is_told_before_the_next(office: Office) -> None:
    """While months pass, the endpoint hears of each renewal in the month of it, and may ask the API about it."""
    office.simulator.control("prices", id="price_pro", amount=1_000)
    customer = office.client.v1.customers.create({"payment_method": "pm_card_visa"})
    (method,) = office.client.v1.payment_methods.list({"customer": customer.id}).data
    office.client.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": "price_pro"}], "default_payment_method": method.id}
    )
    office.endpoint("invoice.paid")
    heard: list[datetime] = []

    def ask() -> None:
        headers = {"authorization": f"Bearer {office.made.api_key}"}
        httpx.get(f"{office.simulator.url}/v1/customers/{customer.id}", headers=headers).raise_for_status()
        heard.append(office.made.now)

    office.inbox.on_arrival = ask
    told = office.simulator.control("advance", months=3, hours=2)

    assert [2, 3, 4] == [moment.month for moment in heard]
    assert {"delivered": 3, "waiting": 0} == told["webhooks"]


def test_mishaps_from_outside(office: Office) -> None:
    """Rules that lose and repeat events are set over HTTP; what was lost is sent on request, and rules are removed."""
    office.endpoint("product.created")
    office.simulator.control("mishaps", kind="drop", type="product.*", times=1)
    office.simulator.control("mishaps", kind="repeat", copies=2, skip=1)
    office.simulator.control("products", name="Lost")
    assert [] == office.inbox.received
    office.simulator.control("products", name="Told three times")
    assert 3 == len(office.inbox.received)

    (lost, _) = httpx.get(f"{office.simulator.url}/_simulator/events").json()["data"]
    office.simulator.control("deliver", events=[lost["id"]])

    assert lost["id"] == json.loads(office.inbox.received[-1][0])["id"]
    assert httpx.delete(f"{office.simulator.url}/_simulator/mishaps").is_success
    assert [] == office.made.delivery.mishaps


def test_a_secret_is_rolled(office: Office) -> None:
    """For a day both sign, the old one and the new one, so that an application can change over."""
    endpoint = office.endpoint("product.created")
    fresh = office.simulator.control("roll_secret", endpoint=endpoint.id)["secret"]
    office.simulator.control("products", name="Pro")

    body, header = office.inbox.wait_for("product.created")

    assert fresh != endpoint.secret
    for secret in (fresh, endpoint.secret):
        assert stripe.Webhook.construct_event(body, header, secret)
    refusal = office.simulator.control("roll_secret", 400, endpoint="we_unknown")
    assert "nobody serves we_unknown" == refusal["error"]["message"]
