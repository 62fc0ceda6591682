"""Stripe as the core sees it: requests, pages and signatures. Objects are Stripe's own JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from attrs import frozen

from ..domain.instants import Instant

Method = Literal["GET", "POST", "DELETE"]
StripeObject = Mapping[str, Any]


@frozen
class StripePage:
    """One page of a list: `after=page.data[-1]["id"]` asks for the next one while `has_more`."""

    data: Sequence[StripeObject]
    has_more: bool


class StripePort(Protocol):
    """Calls Stripe's API. Refused inside a unit of work.

    Every method raises `PaymentFailed` (the card), `NotFound` (code RESOURCE_MISSING), `Conflict` (a reused
    idempotency key, or a state that forbids the request), `Unavailable` (network, rate limit, another request that
    holds the object, Stripe's own failure; `outcome_unknown` says whether the request may have been carried out),
    `StripeRefused` (any other 4xx); an error with the status 503 where Stripe does not accept our key.
    """

    async def request(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> StripeObject:
        """Send one request and give the decoded object. Every POST needs an `idempotency_key`."""
        ...

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """Read one page (100 objects) of a list."""
        ...

    def in_background(self) -> StripePort:
        """The same Stripe for work that nobody waits for: its calls never delay others within the rate budget."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


SignatureFault = Literal["header", "time", "digest"]
"""What is wrong with a signature: its form, its age, or else what was signed, or by which secret."""


class SignatureVerifier(Protocol):
    """Checks that Stripe signed a webhook request."""

    def verify(self, body: bytes, header: str, now: Instant) -> None:
        """Return if one of the configured secrets signed these bytes recently; else raise `InvalidSignature`."""
        ...

    def fault(self, header: str, now: Instant) -> SignatureFault:
        """What is wrong with a header by which `verify` raised."""
        ...
