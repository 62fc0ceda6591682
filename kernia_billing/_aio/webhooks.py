"""`billing.webhooks`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..compose import Wiring
from ..domain.answers import (
    Page,
    Receipt,
    WebhookEvent,
    WebhookHealth,
)
from ..domain.endpoints import Endpoint
from ..domain.reports import Finding
from ..operations import (
    endpoint,
    endpoint_making,
    inbox,
    replays,
)
from ..stripe.versions import STRIPE_API_VERSION


class Webhooks:
    """What Stripe tells us."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def receive(self, body: bytes, signature: str) -> Receipt:
        """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

        Stored before anything else happens, so that a crash loses nothing; applied once, however often it comes.

        Raises:
            InvalidSignature: none of the secrets signed these bytes recently. Nothing was stored.
            Unavailable: answer 500 or 503, and Stripe will repeat the event.
        """
        return await inbox.receive(self._wiring.core, body, signature)

    async def replay(self, event_id: str) -> Receipt:
        """Work on one stored event once more, now. Its object is fetched anew; hooks hear of changes only.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; the event stays stored, and is tried again.
        """
        return await replays.replay(self._wiring.core, event_id)

    async def replay_range(
        self,
        *,
        types: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        status: str | None = None,
    ) -> int:
        """Put stored events back into the queue, for `jobs.run()` to work on; says how many.

        Those received with since ≤ received_at < until, of these types ("invoice.*" stands for all that begin so), with
        this status; all where nothing is said. What waits or is worked on is left as it is.

        Raises:
            InvalidInput: a value is out of range; nothing was changed.
        """
        return await replays.replay_range(self._wiring.core, types=types, since=since, until=until, status=status)

    async def retry(self, event_id: str | None = None) -> int:
        """Put what failed, dead or not, back into the queue, for `jobs.run()`: one event, or all; says how many.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
        """
        return await replays.retry(self._wiring.core, event_id)

    async def list(
        self,
        *,
        status: str | None = None,
        type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[WebhookEvent]:
        """One page of the stored events with since ≤ received_at < until, newest first. `limit` is 1 to 200.

        `status` is one of received, processing, processed, ignored, unmatched, failed, dead; a `type` such as
        "invoice.*" stands for all that begin so.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return await replays.page(
            self._wiring.core, status=status, type=type, since=since, until=until, limit=limit, cursor=cursor
        )

    async def health(self) -> WebhookHealth:
        """How webhooks are doing: what waits and for how long, and what failed. One look at the database."""
        return await replays.health(self._wiring.core)

    async def create_endpoint(self, url: str | None = None) -> Endpoint:
        """Make an endpoint at Stripe that sends all that is handled to `url`, unless there is one that sends there.

        Without a `url` it is the route of this library on `base_url`. The answer has the signing secret only where the
        endpoint was made now: Stripe tells it once.

        Raises:
            StripeRefused: Stripe takes no such URL.
            Unavailable: Stripe does not answer; the next call finds what this one made.
        """
        target = self._wiring.config.webhook_url if url is None else url
        return await endpoint_making.make(self._wiring.core, target, STRIPE_API_VERSION)

    async def check_endpoint(self) -> Sequence[Finding]:
        """What is wrong with the endpoints at Stripe that send to `base_url`; nothing where all is well.

        Raises:
            Unavailable: Stripe does not answer.
        """
        return await endpoint.look_at(self._wiring.core, self._wiring.endpoint)
