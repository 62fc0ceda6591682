"""Webhooks as Stripe sends them: a signed POST to a URL, which counts as received when a 2xx comes back in time."""

from __future__ import annotations

import httpx

from ..world.errors import SimulatorError

TIMEOUT_SECONDS = 10.0
"""So long a receiver may take, as on Stripe's checkout page, which waits that long before it sends the buyer back."""


class PostingReceiver:
    """Posts each event to one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
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

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
