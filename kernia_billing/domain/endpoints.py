"""Where Stripe sends its events."""

from __future__ import annotations

from attrs import frozen

from .secret import Secret


@frozen
class Endpoint:
    """A webhook endpoint at Stripe.

    `secret` is what it signs with, for `stripe_webhook_secrets`: Stripe tells it once, when the endpoint is `created`.
    Of one that was there before, and where that answer was lost, it is None, and the dashboard shows it.
    """

    id: str
    url: str
    api_version: str
    events: tuple[str, ...]
    created: bool
    secret: Secret | None
