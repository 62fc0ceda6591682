"""What somebody does in Stripe's dashboard."""

from __future__ import annotations

from typing import Any

import httpx

from kernia_billing import Billing
from kernia_billing.testing import StripeSimulator

_API = "https://api.stripe.com/v1"


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
