"""Pausing the collection of a subscription's invoices, and going on with it.

Stripe has two kinds of pause. `pause_collection` stops nothing but payments: the status stays what it was, and invoices
are voided, kept as drafts or given up. The status "paused" stops the subscription itself: it comes by itself, where a
trial ends without a payment method, or from Stripe's Dashboard. We set the first, and end both.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args

from ..domain.answers import Subscription
from ..domain.instants import SECOND, to_instant
from ..domain.references import Ref
from ..domain.subscriptions import TERMINAL, PauseBehavior
from ..errors import Conflict, InvalidInput
from ..ports.actor import because_of
from .core import Core
from .steering import change, live, look


async def pause(
    core: Core,
    reference: Ref,
    *,
    resumes_at: datetime | None = None,
    behavior: PauseBehavior = "void",
    subscription_id: str | None = None,
) -> Subscription:
    """Stop collecting payments, until `resumes_at` or until `resume`. Again it changes how and until when.

    Raises:
        NotFound: the reference has no such subscription (SUBSCRIPTION_NOT_FOUND).
        Conflict: it has ended, or was never paid (SUBSCRIPTION_NOT_ACTIVE).
        InvalidInput: a value is wrong; nothing was changed.
        Unavailable: Stripe or the database does not answer.
    """
    if behavior not in get_args(PauseBehavior):
        raise InvalidInput(f"must be one of {', '.join(get_args(PauseBehavior))}", field="behavior")
    until = None if resumes_at is None else _seconds(core, resumes_at)
    with because_of("pause"):
        found = await look(core, reference, subscription_id, live)
        status = found.row.status
        if status in TERMINAL or status == "incomplete" or not found.is_known:
            raise Conflict("Subscription is not active", code="SUBSCRIPTION_NOT_ACTIVE")
        if status != "paused":
            pausing: dict[str, Any] = {"behavior": behavior, "resumes_at": until}
            await change(core, found, "pause", {"pause_collection": pausing})
        return await found.now_is(core)


async def resume(core: Core, reference: Ref, *, subscription_id: str | None = None) -> Subscription:
    """Go on with a subscription that is paused; one that is not stays as it is.

    One of the status "paused" begins a new period, which is charged; it is active as soon as that is paid.

    Raises:
        NotFound: the reference has no such subscription (SUBSCRIPTION_NOT_FOUND).
        Conflict: it has ended (SUBSCRIPTION_NOT_ACTIVE).
        PaymentFailed: the new period could not be charged.
        Unavailable: Stripe or the database does not answer.
    """
    with because_of("resume"):
        found = await look(core, reference, subscription_id, live)
        if found.row.status in TERMINAL or not found.is_known:
            raise Conflict("Subscription is not active", code="SUBSCRIPTION_NOT_ACTIVE")
        if found.row.pause_behavior is not None:
            await change(core, found, "resume", {"pause_collection": ""})
        if found.row.status == "paused":
            await change(core, found, "resume", {}, "/resume")
        return await found.now_is(core)


def _seconds(core: Core, resumes_at: object) -> int:
    if not isinstance(resumes_at, datetime) or resumes_at.tzinfo is None:
        raise InvalidInput("must be a datetime with a time zone", field="resumes_at")
    moment = to_instant(resumes_at)
    if moment <= core.now():
        raise InvalidInput("must be in the future", field="resumes_at")
    return moment // SECOND
