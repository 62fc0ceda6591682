"""What somebody does in Stripe's dashboard."""

from __future__ import annotations

from typing import Any

import httpx

from kernia_billing import Billing
from kernia_billing.testing import StripeSimulator

_API = "https://api.stripe.com/v1"


def change_subscription(billing: Billing, stripe: StripeSimulator, reference: str, **values: str) -> None:
    """Change the subscription of a reference; what Stripe says of it is still to be delivered."""
    subscription = billing.subscriptions.get(reference)
    assert subscription is not None
    with httpx.Client(transport=stripe.transport, headers={"Authorization": f"Bearer {stripe.api_key}"}) as client:
        answer = client.post(f"{_API}/subscriptions/{subscription.stripe_id}", data=values)
    assert 200 == answer.status_code, answer.text


def end_subscription(billing: Billing, stripe: StripeSimulator, reference: str) -> None:
    """Cancel the subscription of a reference at once."""
    subscription = billing.subscriptions.get(reference)
    assert subscription is not None
    with httpx.Client(transport=stripe.transport, headers={"Authorization": f"Bearer {stripe.api_key}"}) as client:
        assert 200 == client.delete(f"{_API}/subscriptions/{subscription.stripe_id}").status_code
    stripe.flush()


def change_seats(billing: Billing, stripe: StripeSimulator, reference: str, price: str, seats: int) -> None:
    """Sell a reference another number of seats."""
    subscription = billing.subscriptions.get(reference)
    assert subscription is not None
    with httpx.Client(transport=stripe.transport, headers={"Authorization": f"Bearer {stripe.api_key}"}) as client:
        items: Any = client.get(f"{_API}/subscription_items", params={"subscription": subscription.stripe_id}).json()
        (item,) = [each["id"] for each in items["data"] if each["price"]["id"] == price]
        assert 200 == client.post(f"{_API}/subscription_items/{item}", data={"quantity": str(seats)}).status_code
    stripe.flush()


def forget_cards(billing: Billing, stripe: StripeSimulator, reference: str) -> None:
    """Take away everything that a reference could pay with."""
    customer = billing.customers.get(reference)
    assert customer is not None
    with httpx.Client(transport=stripe.transport, headers={"Authorization": f"Bearer {stripe.api_key}"}) as client:
        found: Any = client.get(f"{_API}/customers/{customer.stripe_id}/payment_methods").json()
        for each in found["data"]:
            assert 200 == client.post(f"{_API}/payment_methods/{each['id']}/detach").status_code


def change_price(billing: Billing, stripe: StripeSimulator, reference: str, price: str) -> None:
    """Sell another price to a reference under its subscription, which keeps its period."""
    subscription = billing.subscriptions.get(reference)
    assert subscription is not None
    with httpx.Client(transport=stripe.transport, headers={"Authorization": f"Bearer {stripe.api_key}"}) as client:
        items: Any = client.get(f"{_API}/subscription_items", params={"subscription": subscription.stripe_id}).json()
        answer = client.post(
            f"{_API}/subscriptions/{subscription.stripe_id}",
            data={"items[0][id]": items["data"][0]["id"], "items[0][price]": price},
            headers={"Idempotency-Key": f"{subscription.stripe_id} to {price}"},
        )
    assert 200 == answer.status_code, answer.text
    stripe.flush()
