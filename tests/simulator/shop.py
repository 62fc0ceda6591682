"""A simulator with a client on it, as the tests of this folder use it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
from attrs import define, field

from kernia_billing.testing import StripeSimulator

VERSION = "2026-10-28.endive"
DAY = 86_400
_numbers = count()


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    """UTC seconds of a moment."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


@define
class Refusal:
    """What Stripe answers to a request that it refuses."""

    status: int
    type: str
    code: str | None
    param: str | None
    message: str


@define
class Shop:
    """A simulated account, and a client that sends real httpx requests to it."""

    stripe: StripeSimulator = field(factory=StripeSimulator)
    http: httpx.Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.http = httpx.Client(
            transport=self.stripe.transport,
            base_url="https://api.stripe.com",
            headers={"Authorization": f"Bearer {self.stripe.api_key}", "Stripe-Version": VERSION},
        )

    def send(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> httpx.Response:
        """Send a request; a POST gets a fresh idempotency key unless one is given."""
        if method != "POST":
            return self.http.request(method, path, params=dict(params or {}))
        headers = {"Idempotency-Key": key or f"key_{next(_numbers)}"}
        return self.http.post(path, data=dict(params or {}), headers=headers)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object or list at a path."""
        return _ok(self.send("GET", path, params))

    def post(self, path: str, params: Mapping[str, Any] | None = None, *, key: str | None = None) -> dict[str, Any]:
        """What a write answers."""
        return _ok(self.send("POST", path, params, key=key))

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a deletion answers."""
        return _ok(self.send("DELETE", path, params))

    def refused(self, method: str, path: str, params: Mapping[str, Any] | None = None) -> Refusal:
        """The refusal of a request that must not pass."""
        response = self.send(method, path, params)
        assert response.status_code >= 400, response.text
        error = response.json()["error"]
        return Refusal(response.status_code, error["type"], error.get("code"), error.get("param"), error["message"])

    def customer(self, **params: str) -> str:
        """A new customer's id."""
        return str(self.post("/v1/customers", {"email": "jane@example.com", **params})["id"])

    def price(self, amount: int = 1_000, **more: Any) -> str:
        """A new price's id; a month's unless told otherwise."""
        price_id = f"price_{next(_numbers)}"
        self.stripe.add_price(price_id, amount, **more)
        return price_id

    def checkout(self, price: str | None = None, **params: Any) -> dict[str, Any]:
        """A new checkout session for one unit of a price."""
        return self.post("/v1/checkout/sessions", self.checkout_params(price, **params))

    def checkout_params(self, price: str | None = None, **params: Any) -> dict[str, Any]:
        """The parameters of a good checkout session; None leaves one out."""
        good: dict[str, Any] = {
            "mode": "subscription",
            "line_items[0][price]": price or self.price(),
            "line_items[0][quantity]": "1",
            "success_url": "https://shop.example/ok?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://shop.example/pricing",
            **params,
        }
        return {name: value for name, value in good.items() if value is not None}

    def buy(self, price: str | None = None, *, card: str = "4242424242424242", **params: Any) -> dict[str, Any]:
        """The subscription that comes from paying a new checkout session."""
        params.setdefault("customer", self.customer())
        session = self.checkout(price, **params)
        self.stripe.pay(session["id"], card=card)
        session = self.get(f"/v1/checkout/sessions/{session['id']}")
        return self.get(f"/v1/subscriptions/{session['subscription']}")

    def subscription(self, id: str) -> dict[str, Any]:
        """A subscription as it is now."""
        return self.get(f"/v1/subscriptions/{id}")

    def invoices(self, subscription: str) -> list[dict[str, Any]]:
        """A subscription's invoices, newest first."""
        return list(self.get("/v1/invoices", {"subscription": subscription})["data"])

    def types(self, since: int = 0) -> list[str]:
        """The types of the events after the first `since`."""
        return [str(event["type"]) for event in self.stripe.events[since:]]

    @property
    def now(self) -> int:
        """The simulator's time in seconds."""
        return self.stripe.clock.seconds()


def _ok(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert response.status_code == 200, body
    return body
