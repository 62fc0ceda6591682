"""Undoing what is pending: a cancellation, or a change of plan that has not taken place yet."""

from __future__ import annotations

from typing import Any

from ..domain.answers import Subscription
from ..domain.customers import CustomerRow
from ..domain.reading import text
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow
from ..errors import Conflict
from ..ports.actor import because_of
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .changing import finished
from .core import Core
from .intents import intent_key
from .projections import sync_object, sync_subscription
from .scheduling import SCHEDULES, drop, is_coming
from .steering import live
from .subscriptions import answer
from .switches import CHANGEABLE, find_row, fresh, not_active, not_pending
from .trying import find_trial, keep_trial


async def restore(core: Core, reference: Ref, *, subscription_id: str | None = None) -> Subscription:
    """Undo the pending cancellation of a subscription, else the pending change of it.

    Raises:
        NotFound: there is no subscription (SUBSCRIPTION_NOT_FOUND).
        Conflict: it has ended (SUBSCRIPTION_NOT_ACTIVE): sell the plan anew by `upgrade`; nothing is pending
            (SUBSCRIPTION_NOT_PENDING_CHANGE); what is pending was not made here (SCHEDULE_NOT_OURS).
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    _, found = await restored(core, reference, subscription_id=subscription_id)
    return found


async def restored(
    core: Core, reference: Ref, *, subscription_id: str | None = None
) -> tuple[StripeObject, Subscription]:
    """The same, with the subscription as Stripe shows it afterwards; a trial without Stripe as Stripe would."""
    trial = await find_trial(core, reference, subscription_id, live)
    if trial is not None:
        with because_of("restore"):
            kept = await keep_trial(core, trial)
        return _as_of_stripe(kept), kept
    customer, row = await find_row(core, reference, subscription_id=subscription_id)
    if row.ended_at is not None:
        raise not_active(row.status)

    async def work(core: Core) -> tuple[StripeObject, Subscription]:
        return await _undone(core, customer, row)

    return await finished(core, row, work)


def _as_of_stripe(kept: Subscription) -> StripeObject:
    return {
        "id": kept.id,
        "object": "subscription",
        "status": kept.status,
        "cancel_at_period_end": kept.cancel_at_period_end,
        "cancel_at": None,
        "canceled_at": None,
        "schedule": None,
    }


async def _undone(core: Core, customer: CustomerRow, row: SubscriptionRow) -> tuple[StripeObject, Subscription]:
    before = await fresh(core, row)
    undone = await _drop_change(core, row, before)
    if undone is None and _is_to_end(before):
        undone = "cancel"
        after = await _keep(core, before, _key(before))
        if _is_to_end(after) and after.get("status") in CHANGEABLE:
            # What Stripe said before under this key: the same cancellation was made once more since.
            after = await _keep(core, before, core.ids.new("restore"))
    elif undone is None:
        undone, after = await _untold(core, customer, row), before
    else:
        after = await core.provider().request("GET", f"/v1/subscriptions/{row.stripe_subscription_id}")
    await sync_subscription(core, row.stripe_subscription_id)

    def unit(tx: Transaction) -> Subscription:
        told = {"undone": undone}
        record(tx, core, "change.undone", customer.id, row.id, None, told)
        stored = tx.subscriptions.by_stripe_id(row.stripe_subscription_id) or row
        return answer(core, customer, stored, core.now(), tx)

    return after, await core.store.transaction(unit)


async def _untold(core: Core, customer: CustomerRow, row: SubscriptionRow) -> str:
    """What is pending here and not at Stripe: a call before this one undid it, and did not live to say so.

    Raises:
        Conflict: nothing is (SUBSCRIPTION_NOT_PENDING_CHANGE).
    """

    def read(tx: Transaction) -> tuple[SubscriptionRow, Subscription]:
        stored = tx.subscriptions.by_stripe_id(row.stripe_subscription_id) or row
        return stored, answer(core, customer, stored, core.now(), tx)

    stored, known = await core.store.read(read)
    if stored.schedule_id is not None:
        await sync_subscription(core, stored.stripe_subscription_id)
        await sync_object(core, "schedule", stored.schedule_id)
    if known.pending_change is not None:
        return "change"
    if known.cancel_at_period_end or known.cancel_at is not None:
        return "cancel"
    raise not_pending()


async def _keep(core: Core, before: StripeObject, key: str) -> StripeObject:
    """Take the cancellation back; the subscription as it is then, not as Stripe once answered under the same key."""
    path = f"/v1/subscriptions/{before['id']}"
    await core.provider().request("POST", path, _undo(before), idempotency_key=key)
    return await core.provider().request("GET", path)


async def _drop_change(core: Core, row: SubscriptionRow, before: StripeObject) -> str | None:
    """Release the schedule of a change that is to come; None where no change is."""
    schedule_id = text(before.get("schedule"))
    if schedule_id is None:
        return None
    theirs = await core.provider().request("GET", f"{SCHEDULES}/{schedule_id}")
    if not await drop(core, row.stripe_subscription_id, schedule_id, theirs):
        raise Conflict("The subscription follows a schedule that was made elsewhere", code="SCHEDULE_NOT_OURS")
    return "change" if is_coming(theirs, core.now()) else None


def _is_to_end(theirs: StripeObject) -> bool:
    return theirs.get("cancel_at_period_end") is True or theirs.get("cancel_at") is not None


def _undo(before: StripeObject) -> dict[str, Any]:
    """Only the one that is set: Stripe shows a `cancel_at` beside `cancel_at_period_end`, too, and takes no two."""
    if before.get("cancel_at_period_end") is True:
        return {"cancel_at_period_end": False}
    return {"cancel_at": ""}


def _key(before: StripeObject) -> str:
    return intent_key("restore", str(before["id"]), str(before.get("cancel_at")), str(before.get("canceled_at")))
