"""A Stripe that has what the test says, for objects and changes that no shop can bring about."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, field

from kernia_billing.errors import NotFound
from kernia_billing.ports.stripe import StripePage
from tests.webhooks.shop import Shop


@define(eq=False)
class CannedStripe:
    """Objects by path, and lists by path; everything else is missing."""

    objects: dict[str, Mapping[str, Any]] = field(factory=dict[str, Mapping[str, Any]])
    lists: dict[str, list[Mapping[str, Any]]] = field(factory=dict[str, list[Mapping[str, Any]]])
    asked: list[str] = field(factory=list[str])

    async def request(
        self, method: str, path: str, params: object = None, *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """The object at a path."""
        self.asked.append(f"{method} {path}")
        if path not in self.objects:
            raise NotFound("No such object", code="RESOURCE_MISSING")
        return dict(self.objects[path])

    async def page(self, path: str, params: object = None, *, after: str | None = None) -> StripePage:
        """The whole list."""
        self.asked.append(f"LIST {path}")
        return StripePage(self.lists.get(path, []), has_more=False)

    def in_background(self) -> CannedStripe:
        """The same: nothing is limited."""
        return self

    async def close(self) -> None:
        """Nothing is open."""


@contextmanager
def canned(shop: Shop) -> Generator[CannedStripe]:
    """Let the shop ask a canned Stripe for a while."""
    wiring = shop.billing._wiring
    real, stripe = wiring.core, CannedStripe()
    wiring.core = evolve(real, stripe=stripe)
    try:
        yield stripe
    finally:
        wiring.core = real
