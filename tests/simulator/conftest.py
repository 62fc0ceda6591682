"""One shop per test, whose client never broke a rule that the test did not mean to break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from tests.simulator.shop import Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop on an empty account."""
    opened = Shop()
    yield opened
    opened.http.close()


@pytest.fixture
def http(shop: Shop) -> Any:
    """The official package's httpx client, on the simulator's transports."""
    client: Any = stripe.HTTPXClient(allow_sync_methods=True)
    client._client = httpx.Client(transport=shop.stripe.transport)
    asyncio.run(client._client_async.aclose())
    client._client_async = httpx.AsyncClient(transport=shop.stripe.async_transport)
    return client


@pytest.fixture
def client(shop: Shop, http: Any) -> Any:
    """The official package's `StripeClient`. Its types are not used, so that plain maps can be given."""
    return stripe.StripeClient(shop.stripe.api_key, http_client=http, max_network_retries=0)
