"""What somebody does in Stripe's dashboard, in the middle of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import httpx

from tests.contract.support import Shop
from tests.webhooks.shop import hurry

_calls = count(1)


def dashboard(shop: Shop, method: str, path: str, params: Mapping[str, Any] | None = None) -> Any:
    """One call to Stripe that is not the library's; the news of it is delivered. Gives the object."""
    headers = {"Authorization": f"Bearer {shop.stripe.api_key}", "Idempotency-Key": f"dashboard {next(_calls)}"}
    named: dict[str, Any] = {"data" if method == "POST" else "params": dict(params or {})}
    with httpx.Client(transport=shop.stripe.transport) as client:
        answer = client.request(method, f"https://api.stripe.com{path}", headers=headers, **named)
    assert answer.status_code == 200, answer.text
    shop.stripe.flush()
    return answer.json()


def hurried(shop: Shop) -> None:
    """Let what Stripe does not answer be repeated without pauses."""
    hurry(getattr(shop.billing, "_behind", shop.billing))
