"""Who wants to leave, and comes from a browser: to Stripe's page for it, or cancelled at once where the host wants."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from ..domain.answers import Subscription
from ..domain.references import Ref
from ..domain.subscriptions import TERMINAL, CancelWhen, SubscriptionRow
from ..errors import StripeRefused
from .cancelling import cancel, is_pending
from .core import Core
from .portal import meant, portal
from .steering import Steered, look
from .switches import not_found
from .trying import find_trial


@frozen
class Leaving:
    """Where the browser is to go, None where nothing is left to do there, and the subscription as it is."""

    url: str | None
    subscription: Subscription


async def leave(
    core: Core, reference: Ref, *, return_url: str, subscription_id: str | None, direct: CancelWhen | None
) -> Leaving:
    """Cancel `direct`ly, or open Stripe's page on which a subscription is cancelled. `return_url` is absolute.

    One that ends already stays as it is, and there is no page for it. Stripe has none for a trial without Stripe
    either, which ends at its end unless it is cancelled `direct`ly now.

    Raises:
        NotFound: the reference has no such subscription that could end (SUBSCRIPTION_NOT_FOUND).
        StripeRefused, PortalNotConfigured: Stripe opens no page.
        Unavailable: Stripe or the database does not answer.
    """
    trial = await find_trial(core, reference, subscription_id, _leavable)
    if trial is not None:
        if not trial.runs(core.now()):
            raise not_found()
        return Leaving(None, await cancel(core, reference, when=direct or "period_end", subscription_id=trial.id))
    found = await look(core, reference, subscription_id, _leavable)
    if not found.is_known or found.row.status in TERMINAL or found.row.status == "incomplete":
        raise not_found()
    if direct is not None:
        return Leaving(None, await cancel(core, reference, when=direct, subscription_id=found.row.id))
    if is_pending(found.row):
        return Leaving(None, await found.now_is(core))
    return await _page(core, reference, found, return_url)


async def _page(core: Core, reference: Ref, found: Steered, return_url: str) -> Leaving:
    try:
        opened = await portal(core, reference, return_url=return_url, flow="cancel", subscription_id=found.row.id)
    except StripeRefused:
        # Stripe opens no page for one that was cancelled since we looked.
        again = await look(core, reference, found.row.id)
        if not is_pending(again.row):
            raise
        return Leaving(None, await again.now_is(core))
    return Leaving(opened.url, await found.now_is(core))


def _leavable(rows: Sequence[SubscriptionRow]) -> SubscriptionRow | None:
    return meant(rows, None)
