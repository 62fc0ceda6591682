"""The fixtures of this folder."""

from __future__ import annotations

from tests.webhooks.fixtures import each_shop, honest_client, open_shop, quiet_shop, shop

__all__ = ["each_shop", "honest_client", "open_shop", "quiet_shop", "shop"]
