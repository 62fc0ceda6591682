"""Stand-ins for the library that a simulator is attached to: they keep what they get."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import stripe
from attrs import define, field

from tests.simulator.shop import Shop


@define
class Opened:
    """What an upgrade answers."""

    url: str | None
    session_id: str | None


@define
class Library:
    """Verifies each webhook with the official package, opens checkouts through the API, and keeps everything."""

    shop: Shop
    received: list[dict[str, Any]] = field(factory=list[dict[str, Any]], init=False)
    jobs_at: list[int] = field(factory=list[int], init=False)
    fails: Callable[[dict[str, Any]], bool] = field(default=lambda _event: False)
    on_event: Callable[[dict[str, Any]], object] = field(default=lambda _event: None)
    customers: dict[str, str] = field(factory=dict[str, str], init=False)

    def receive(self, body: bytes, signature: str) -> object:
        """Take a webhook, or refuse it when `fails` says so."""
        secret = self.shop.stripe.webhook_secret
        verified = stripe.Webhook.construct_event(body, signature, secret, tolerance=0)
        event: dict[str, Any] = json.loads(body)
        assert verified.id == event["id"]
        if self.fails(event):
            raise RuntimeError(f"not now: {event['type']}")
        self.received.append(event)
        self.on_event(event)
        return None

    def upgrade(self, reference: str, plan: str, *, annual: bool, seats: int | None) -> Opened:
        """Open a checkout for a price that is named like the plan."""
        customer = self.customers.get(reference) or self.shop.customer()
        self.customers[reference] = customer
        price = f"price_{plan}_y" if annual else f"price_{plan}"
        params = {"customer": customer, "line_items[0][quantity]": str(seats or 1), "client_reference_id": reference}
        session = self.shop.checkout(price, **params)
        return Opened(session["url"], session["id"])

    def subscription(self, reference: str) -> dict[str, Any] | None:
        """The newest subscription that an event told of."""
        customer = self.customers.get(reference)
        subscriptions = [e["data"]["object"] for e in self.received if ".subscription." in e["type"]]
        return next((row for row in reversed(subscriptions) if row["customer"] == customer), None)

    def stripe_customer(self, reference: str) -> str | None:
        """The customer of a reference."""
        return self.customers.get(reference)

    def run_jobs(self) -> object:
        """Note the time."""
        self.jobs_at.append(self.shop.now)
        return None

    def types(self) -> list[str]:
        """The types received, in order."""
        return [str(event["type"]) for event in self.received]


@define
class AsyncLibrary:
    """The same, awaited."""

    inner: Library

    async def receive(self, body: bytes, signature: str) -> object:
        """As `Library.receive`."""
        return self.inner.receive(body, signature)

    async def upgrade(self, reference: str, plan: str, *, annual: bool, seats: int | None) -> Opened:
        """As `Library.upgrade`."""
        return self.inner.upgrade(reference, plan, annual=annual, seats=seats)

    async def subscription(self, reference: str) -> dict[str, Any] | None:
        """As `Library.subscription`."""
        return self.inner.subscription(reference)

    async def stripe_customer(self, reference: str) -> str | None:
        """As `Library.stripe_customer`."""
        return self.inner.stripe_customer(reference)

    async def run_jobs(self) -> object:
        """As `Library.run_jobs`."""
        return self.inner.run_jobs()
