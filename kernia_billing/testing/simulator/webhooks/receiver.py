"""What the library gives to a simulator that is attached to it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class OpenedCheckout(Protocol):
    """What an upgrade answers: where to send the browser, and which session that is."""

    @property
    def url(self) -> str | None:
        """None when nothing is to be shown."""
        ...

    @property
    def session_id(self) -> str | None:
        """Stripe's id of the session."""
        ...


class Receiver(Protocol):
    """The library's side under `StripeSimulator`; every method blocks."""

    def receive(self, body: bytes, signature: str) -> object:
        """Take a webhook; an exception means that it was not accepted and is to be sent again."""
        ...

    def upgrade(self, reference: str, plan: str, *, annual: bool, seats: int | None) -> OpenedCheckout:
        """Open a checkout for a plan."""
        ...

    def subscription(self, reference: str) -> object | None:
        """The library's subscription of a reference."""
        ...

    def stripe_customer(self, reference: str) -> str | None:
        """The Stripe customer id of a reference."""
        ...

    def run_jobs(self) -> object:
        """Run the library's due jobs once."""
        ...


class AsyncReceiver(Protocol):
    """The library's side under `AsyncStripeSimulator`; every method is awaited."""

    def receive(self, body: bytes, signature: str) -> Awaitable[object]:
        """As `Receiver.receive`."""
        ...

    def upgrade(self, reference: str, plan: str, *, annual: bool, seats: int | None) -> Awaitable[OpenedCheckout]:
        """As `Receiver.upgrade`."""
        ...

    def subscription(self, reference: str) -> Awaitable[object | None]:
        """As `Receiver.subscription`."""
        ...

    def stripe_customer(self, reference: str) -> Awaitable[str | None]:
        """As `Receiver.stripe_customer`."""
        ...

    def run_jobs(self) -> Awaitable[object]:
        """As `Receiver.run_jobs`."""
        ...
