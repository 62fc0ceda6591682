"""Webhooks as Stripe sends them: a signed POST to a URL, which counts as received when a 2xx comes back in time."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from ..errors import SimulatorError
from ..receiver import OpenedCheckout

TIMEOUT_SECONDS = 10.0
"""So long a receiver may take, as on Stripe's checkout page, which waits that long before it sends the buyer back."""


class PostingReceiver:
    """Posts each event to one URL. `between_steps` is called whenever time has passed and events were offered."""

    def __init__(self, url: str, between_steps: Callable[[], object]) -> None:
        self.url = url
        self._between_steps = between_steps
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)

    def receive(self, body: bytes, signature: str) -> object:
        """Post an event.

        Raises:
            SimulatorError: no answer, or another one than 2xx.
        """
        headers = {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": signature,
            "user-agent": "Stripe/1.0 (simulated)",
        }
        try:
            response = self._client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise SimulatorError(f"the webhook could not be delivered: {type(error).__name__}") from error
        if not response.is_success:
            raise SimulatorError(f"the webhook was answered with {response.status_code}")
        return None

    def run_jobs(self) -> object:
        """While time passes: let the receiver hear of each step before the next one."""
        return self._between_steps()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def upgrade(self, reference: str, plan: str, *, annual: bool, seats: int | None) -> OpenedCheckout:
        """Nobody's to answer here: the application opens its checkouts itself."""
        raise SimulatorError(f"the application behind {self.url} opens its checkouts itself")

    def subscription(self, reference: str) -> object | None:
        """Not known here."""
        return None

    def stripe_customer(self, reference: str) -> str | None:
        """Not known here: give Stripe's customer id."""
        return None
