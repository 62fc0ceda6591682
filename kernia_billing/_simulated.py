"""Joining a Stripe simulator to a facade, without knowing the simulator's package."""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeGuard

from .domain.references import Ref
from .ports.clock import Clock


class Simulated(Protocol):
    """What a simulator brings: a key, a signing secret, a clock, and transports that lead to it."""

    api_key: str
    webhook_secret: str

    @property
    def clock(self) -> Clock:
        """The simulator's time, which the library then goes by too."""
        ...

    @property
    def transport(self) -> Any:
        """An `httpx.BaseTransport`."""
        ...

    @property
    def async_transport(self) -> Any:
        """An `httpx.AsyncBaseTransport`."""
        ...

    def attach(self, receiver: Any) -> None:
        """Deliver events to this receiver from now on."""
        ...

    def ensure_price(self, id: str, *, interval: Literal["month", "year"] | None, metered: bool) -> None:
        """Make a price up if nobody added it."""
        ...

    def ensure_meter(self, event_name: str) -> None:
        """Make a meter that adds up, if nobody added one of that event name."""
        ...


def is_simulated(client: object) -> TypeGuard[Simulated]:
    """Whether a `stripe_client` is a simulator."""
    return hasattr(client, "attach") and hasattr(client, "webhook_secret")


def receiver(billing: Any, *, asynchronous: bool) -> object:
    """What a simulator calls: the facade's own methods, blocking or to be awaited as the facade is."""
    return _AsyncReceiver(billing) if asynchronous else _Receiver(billing)


class _Receiver:
    def __init__(self, billing: Any) -> None:
        self._billing = billing

    def receive(self, body: bytes, signature: str) -> object:
        """Deliver one event."""
        return self._billing.webhooks.receive(body, signature)

    def upgrade(self, reference: Ref, plan: str, *, annual: bool = False, seats: int | None = None) -> object:
        """Open a checkout page."""
        return self._billing.subscriptions.upgrade(
            reference, plan, annual=annual, seats=seats, success_url="/", cancel_url="/"
        )

    def subscription(self, reference: Ref) -> object:
        """What the reference is subscribed to."""
        return self._billing.subscriptions.get(reference)

    def stripe_customer(self, reference: Ref) -> str | None:
        """The reference's customer at Stripe."""
        customer = self._billing.customers.get(reference)
        return None if customer is None else customer.stripe_id

    def run_jobs(self) -> object:
        """Run what is due."""
        return self._billing.jobs.run()


class _AsyncReceiver(_Receiver):
    async def stripe_customer(self, reference: Ref) -> str | None:  # type: ignore[override]  # awaited, like the facade
        """The reference's customer at Stripe."""
        customer = await self._billing.customers.get(reference)
        return None if customer is None else customer.stripe_id
