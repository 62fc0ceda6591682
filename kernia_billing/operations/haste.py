"""Work that somebody waits for: after a while no more of it is begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, frozen

from ..domain.instants import SECOND, Instant
from ..ports.stripe import Method, StripeObject, StripePage, StripePort
from .core import Core

AT_ONCE = 8 * SECOND
"""So long the request that brings an event goes on with it: Stripe lets a buyer wait for ten seconds before the browser
is sent back (Stripe, "Fulfill orders")."""


class OutOfTime(Exception):
    """It took too long by now: the rest is to be done when nobody waits."""


@frozen
class _HastyStripe:
    """Stripe, until it is too late. A call that was begun is not cut short."""

    stripe: StripePort
    is_late: Callable[[], bool]

    async def request(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> StripeObject:
        """As the port; `OutOfTime` where it is too late."""
        self._look()
        return await self.stripe.request(method, path, params, idempotency_key=idempotency_key)

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """As the port; `OutOfTime` where it is too late."""
        self._look()
        return await self.stripe.page(path, params, after=after)

    def in_background(self) -> StripePort:
        """The same in the background."""
        return evolve(self, stripe=self.stripe.in_background())

    async def close(self) -> None:
        """Close the connections."""
        await self.stripe.close()

    def _look(self) -> None:
        if self.is_late():
            raise OutOfTime


def hasty(core: Core, since: Instant) -> Core:
    """The same for work that somebody waits for since an instant: once that was long enough it stops.

    Stripe is not called any more (`OutOfTime`), and whatever asks `stopping` leaves the rest to the next run.
    """

    def is_late() -> bool:
        # Where the clock went back nobody knows how long it was.
        return not since <= core.now() < since + AT_ONCE

    stripe = None if core.stripe is None else _HastyStripe(core.stripe, is_late)
    return evolve(core, stripe=stripe, stopping=lambda: core.stopping() or is_late())
