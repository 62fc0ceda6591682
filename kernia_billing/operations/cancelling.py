"""Ending a subscription: at the end of its period, or at once. Stripe is asked first what it is, and told then."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, get_args

from ..domain.answers import Subscription
from ..domain.references import Ref
from ..domain.subscriptions import TERMINAL, CancelFeedback, CancelWhen, SubscriptionRow
from ..errors import Conflict, InvalidInput, NotFound
from ..ports.actor import because_of
from .core import Core
from .projections import sync_subscription
from .scheduling import drop
from .steering import Steered, change, look
from .switches import one_at_a_time
from .trying import cancel_trial, find_trial

_LONGEST_REASON = 500


async def cancel(
    core: Core,
    reference: Ref,
    *,
    when: CancelWhen = "period_end",
    subscription_id: str | None = None,
    reason: str | None = None,
    feedback: CancelFeedback | None = None,
    invoice_now: bool = False,
    prorate: bool = False,
) -> Subscription:
    """End a subscription, and give it as it is then. One that ends already, or has ended, stays as it is.

    `reason` is a text of at most 500 characters that only Stripe keeps. `prorate` credits unused time and
    `invoice_now` bills what is open; both are for "now". What Stripe does not know any more ends here only, and so does
    a trial without Stripe, of which nothing is billed.

    Raises:
        NotFound: the reference never had such a subscription (SUBSCRIPTION_NOT_FOUND).
        Conflict: at the period's end is not possible, because it follows a schedule that we did not make
            (SCHEDULE_NOT_OURS), or because its plan is changed at this moment (CHANGE_IN_PROGRESS, retryable).
        InvalidInput: a value is wrong; nothing was changed.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    details = _details(when, reason, feedback, invoice_now=invoice_now, prorate=prorate)
    with because_of("cancel"):
        trial = await find_trial(core, reference, subscription_id)
        if trial is not None:
            return await cancel_trial(core, trial, when, feedback)
        found = await look(core, reference, subscription_id)
        if found.is_known and not _is_done(found.row, when):
            if when == "now" or found.row.status == "incomplete":
                params: dict[str, Any] = {"invoice_now": invoice_now or None, "prorate": prorate or None}
                await _end(core, found, {**params, "cancellation_details": details or None})
            else:
                await one_at_a_time(core, found.row, partial(_end_later, found=found, details=details))
        return await found.now_is(core)


async def _end_later(core: Core, found: Steered, details: Mapping[str, str]) -> None:
    """Let it end with its period. It is looked at anew: until now somebody else may have been at it."""
    found = await look(core, found.customer.reference, found.row.id)
    if not found.is_known or _is_done(found.row, "period_end"):
        return
    if found.row.schedule_id is not None:
        # While a schedule drives a subscription Stripe takes no other end for it.
        if not await drop(core, found.row.stripe_subscription_id, found.row.schedule_id):
            raise Conflict("The subscription follows a schedule made elsewhere", code="SCHEDULE_NOT_OURS")
        found = await look(core, found.customer.reference, found.row.id)
    params = {"cancel_at_period_end": True, "cancellation_details": details or None}
    await change(core, found, "cancel", params)


def _details(
    when: object, reason: object, feedback: object, *, invoice_now: object, prorate: object
) -> Mapping[str, str]:
    if when not in get_args(CancelWhen):
        raise InvalidInput("must be 'period_end' or 'now'", field="when")
    if reason is not None and not (isinstance(reason, str) and 0 < len(reason) <= _LONGEST_REASON):
        raise InvalidInput(f"must be a text of 1 to {_LONGEST_REASON} characters", field="reason")
    if feedback is not None and feedback not in get_args(CancelFeedback):
        raise InvalidInput(f"must be one of {', '.join(get_args(CancelFeedback))}", field="feedback")
    for field, flag in (("invoice_now", invoice_now), ("prorate", prorate)):
        if not isinstance(flag, bool):
            raise InvalidInput("must be true or false", field=field)
        if flag and when != "now":
            raise InvalidInput("is for when='now' only: nothing is billed before the period ends", field=field)
    told: dict[str, Any] = {"comment": reason, "feedback": feedback}
    return {name: value for name, value in told.items() if value is not None}


def _is_done(row: SubscriptionRow, when: CancelWhen) -> bool:
    """Whether it has ended, or ends by itself as soon as it is asked to."""
    if row.status in TERMINAL or when == "now":
        return row.status in TERMINAL
    return is_pending(row)


def is_pending(row: SubscriptionRow) -> bool:
    """Whether a subscription ends by itself when its period does, at the latest."""
    if row.cancel_at_period_end:
        return True
    return row.cancel_at is not None and (row.period_end is None or row.cancel_at <= row.period_end)


async def _end(core: Core, found: Steered, params: Mapping[str, Any]) -> None:
    path = f"/v1/subscriptions/{found.row.stripe_subscription_id}"
    with suppress(NotFound):  # Somebody else ended it meanwhile: the look that follows says so.
        await core.provider().request("DELETE", path, params, idempotency_key=found.key("cancel-now", params))
    await sync_subscription(core, found.row.stripe_subscription_id)
