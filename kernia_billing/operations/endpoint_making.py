"""Making the webhook endpoint at Stripe: one for a URL, with the types that are handled, in our calls' version."""

from __future__ import annotations

from ..domain.endpoints import Endpoint
from ..domain.reading import entries, own_id, text
from ..domain.secret import Secret
from ..ports.stripe import StripeObject
from .core import Core
from .endpoint import all_endpoints
from .event_types import HANDLED
from .intents import INTENT, create, intent_key


async def make(core: Core, url: str, version: str) -> Endpoint:
    """Make an endpoint that sends to `url`, an absolute URL, unless Stripe has one that does.

    Raises:
        StripeRefused: Stripe takes no such URL: it must be https with a live key.
        Unavailable: Stripe does not answer; the next call finds what this one made.
    """
    for each in await all_endpoints(core):
        if text(each.get("url")) == url and each.get("status") == "enabled":
            return _endpoint(each, created=False)
    key = intent_key("webhook_endpoint", core.ids.new("endpoint"))
    made = await create(
        core,
        "webhook_endpoint",
        key,
        "",
        "/v1/webhook_endpoints",
        {"url": url, "enabled_events": list(HANDLED), "api_version": version, "metadata": {INTENT: key}},
    )
    return _endpoint(made, created=True)


def _endpoint(theirs: StripeObject, *, created: bool) -> Endpoint:
    secret = text(theirs.get("secret"))
    return Endpoint(
        id=own_id(theirs),
        url=text(theirs.get("url")) or "",
        api_version=text(theirs.get("api_version")) or "",
        events=tuple(str(each) for each in entries(theirs.get("enabled_events"))),
        created=created,
        secret=None if secret is None else Secret(secret),
    )
