"""`billing.webhooks`.

Generated from `_aio/webhooks.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Page, Receipt, WebhookEvent, WebhookHealth
from ..domain.endpoints import Endpoint
from ..domain.reports import Finding


class Webhooks:
    """What Stripe tells us."""

    def __init__(self, inner: _aio.Webhooks) -> None:
        self._inner = inner

    def receive(self, body: bytes, signature: str) -> Receipt:
        """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

        Stored before anything else happens, so that a crash loses nothing; applied once, however often it comes.

        Raises:
            InvalidSignature: none of the secrets signed these bytes recently. Nothing was stored.
            Unavailable: answer 500 or 503, and Stripe will repeat the event.
        """
        return run_blocking(self._inner.receive(body, signature))

    def replay(self, event_id: str) -> Receipt:
        """Work on one stored event once more, now. Its object is fetched anew; hooks hear of changes only.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; the event stays stored, and is tried again.
        """
        return run_blocking(self._inner.replay(event_id))

    def replay_range(
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
        return run_blocking(self._inner.replay_range(types=types, since=since, until=until, status=status))

    def retry(self, event_id: str | None = None) -> int:
        """Put what failed, dead or not, back into the queue, for `jobs.run()`: one event, or all; says how many.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
        """
        return run_blocking(self._inner.retry(event_id))

    def list(
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
        return run_blocking(
            self._inner.list(status=status, type=type, since=since, until=until, limit=limit, cursor=cursor)
        )

    def health(self) -> WebhookHealth:
        """How webhooks are doing: what waits and for how long, and what failed. One look at the database."""
        return run_blocking(self._inner.health())

    def create_endpoint(self, url: str | None = None) -> Endpoint:
        """Make an endpoint at Stripe that sends all that is handled to `url`, unless there is one that sends there.

        Without a `url` it is the route of this library on `base_url`. The answer has the signing secret only where the
        endpoint was made now: Stripe tells it once.

        Raises:
            StripeRefused: Stripe takes no such URL.
            Unavailable: Stripe does not answer; the next call finds what this one made.
        """
        return run_blocking(self._inner.create_endpoint(url))

    def check_endpoint(self) -> Sequence[Finding]:
        """What is wrong with the endpoints at Stripe that send to `base_url`; nothing where all is well.

        Raises:
            Unavailable: Stripe does not answer.
        """
        return run_blocking(self._inner.check_endpoint())
