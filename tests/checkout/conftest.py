"""The fixtures of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.checkout.trials import OPTIONS
from tests.webhooks.fixtures import each_shop, honest_client, open_shop, quiet_shop, shop
from tests.webhooks.shop import Shop, opened

__all__ = ["each_shop", "each_trial", "honest_client", "open_shop", "quiet_shop", "shop"]


@pytest.fixture
def each_trial(engine_url: str) -> Iterator[Shop]:
    """An application with trials without Stripe on each database."""
    with opened(Shop(engine_url, options=OPTIONS)) as shop:
        yield shop
