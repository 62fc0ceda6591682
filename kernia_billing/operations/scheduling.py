"""Changes of plan at the end of a period: a Stripe subscription schedule of ours, of two phases.

The first phase is what runs, the second what comes; a day after that the schedule lets go of its subscription. It takes
two calls to Stripe to make one. What the first leaves behind where the second fails is known by the intent that was
written down before, and is taken away by whoever comes next: the same change, another one, or `restore`.

A schedule of somebody else's is never released: what it will do was agreed with somebody we do not know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve

from ..domain.instants import Instant
from ..domain.item_moves import phase_params
from ..domain.phases import phase_as_sent
from ..domain.reading import instant, listed, members, text, texts
from ..errors import BillingError, Conflict, NotFound, StripeRefused
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .change_progress import forget
from .core import Core
from .intents import create, fresh_key, intent_key, made_from
from .projections import sync_object, sync_subscription
from .switches import Switch, busy, facts, facts_before, proration_of

SCHEDULES = "/v1/subscription_schedules"
SOURCE = "kernia_billing"
_OURS = (SOURCE, "@better-auth/stripe")
"""Who marks schedules as ours: this library, and the one that an application may have come from."""
_ALIVE = ("active", "not_started")
_ATTEMPTS = 3


async def schedule(core: Core, switch: Switch, *, cause: str = "change") -> None:
    """Let the change take place when the period ends, in the place of one that was to take place before.

    Raises:
        Conflict: the subscription is set to end before (SUBSCRIPTION_CANCELS), or follows a schedule that we did not
            make (SCHEDULE_NOT_OURS).
        StripeRefused: Stripe does not take the change; nothing of it is left, and what was to come is back.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    if switch.ends:
        raise Conflict("The subscription is set to end before: restore it first", code="SUBSCRIPTION_CANCELS")
    subscription_id, before_id = switch.theirs.id, switch.theirs.schedule_id
    before = None if before_id is None else await core.provider().request("GET", f"{SCHEDULES}/{before_id}")
    if not await drop(core, subscription_id, before_id, before):
        raise Conflict("The subscription follows a schedule that was made elsewhere", code="SCHEDULE_NOT_OURS")
    made = await _made(core, switch)
    running = _running(made)
    try:
        await _set_phases(core, made, [phase_as_sent(running), _next(core, switch, running)])
    except (StripeRefused, NotFound):
        if not await _is_alive(core, str(made["id"])):
            raise busy() from None  # Another change took its place.
        with suppress(BillingError):
            await _put_back(core, switch, made, before)
        raise
    await sync_object(core, "schedule", str(made["id"]))
    await sync_subscription(core, subscription_id)
    after = {**facts(switch), "cause": cause, "at": switch.theirs.period_end}

    def unit(tx: Transaction) -> None:
        row = switch.row
        record(tx, core, "change.scheduled", row.customer_id, row.id, facts_before(switch), after)
        forget(tx, row)

    await core.store.transaction(unit)


async def _put_back(core: Core, switch: Switch, made: StripeObject, before: StripeObject | None) -> None:
    """Let a schedule do what the one before it was to do, or nothing where there was none."""
    running = _running(made)
    starts = instant(running.get("end_date")) or 0
    phases = None if before is None or not is_alive(before) else before.get("phases")
    coming = [each for each in listed(phases) if (instant(each.get("start_date")) or 0) >= starts]
    if coming:
        await _set_phases(core, made, [phase_as_sent(each) for each in (running, *coming)])
        await sync_object(core, "schedule", str(made["id"]))
        await sync_subscription(core, switch.theirs.id)
    else:
        await release(core, switch.theirs.id, str(made["id"]))


async def drop(core: Core, subscription_id: str, schedule_id: str | None, theirs: StripeObject | None = None) -> bool:
    """Release the schedule that a subscription follows, if it is ours; whether it follows none afterwards.

    The ids are Stripe's; `theirs` is the schedule, if it was read already.
    """
    if schedule_id is None:
        return True
    if theirs is None:
        theirs = await core.provider().request("GET", f"{SCHEDULES}/{schedule_id}")
    if not is_alive(theirs):
        return True
    if not await is_ours(core, subscription_id, theirs):
        return False
    await release(core, subscription_id, schedule_id)
    return True


def is_coming(theirs: StripeObject, now: Instant) -> bool:
    """Whether a schedule changes something yet, or was not finished when it was made."""
    starts = [instant(each.get("start_date")) or 0 for each in listed(theirs.get("phases"))]
    marked = texts(theirs.get("metadata")).get("source") in _OURS
    return is_alive(theirs) and (not marked or any(each > now for each in starts))


async def is_ours(core: Core, subscription_id: str, theirs: StripeObject) -> bool:
    """Whether we made a schedule: it says so, or we were about to make one and this is it."""
    if texts(theirs.get("metadata")).get("source") in _OURS:
        return True
    key = await fresh_key(core, "schedule", subscription_id)
    intent = await core.store.read(lambda tx: tx.intents.get(key))
    if intent is None:
        return False
    if intent.stripe_id is not None:
        return intent.stripe_id == theirs.get("id")
    return made_from(evolve(intent, params={"from_subscription": subscription_id}), theirs)


async def release(core: Core, subscription_id: str, schedule_id: str) -> None:
    """Let a subscription go on without its schedule, and know it here."""
    path = f"{SCHEDULES}/{schedule_id}/release"
    try:
        await core.provider().request("POST", path, {}, idempotency_key=intent_key("release", schedule_id))
    except (StripeRefused, NotFound):
        # Somebody else released it, or it ended: anything but that is an error.
        if await _is_alive(core, schedule_id):
            raise
    await _close(core, subscription_id)
    # In this order what is told of the subscription has the change that was to come before, and none afterwards.
    await sync_subscription(core, subscription_id)
    await sync_object(core, "schedule", schedule_id)


def is_alive(theirs: StripeObject) -> bool:
    """Whether a schedule still drives its subscription, or is to."""
    return text(theirs.get("status")) in _ALIVE


async def _is_alive(core: Core, schedule_id: str) -> bool:
    return is_alive(await core.provider().request("GET", f"{SCHEDULES}/{schedule_id}"))


async def _close(core: Core, subscription_id: str) -> None:
    """The schedule that we made is done with: the next one is another."""
    key = await fresh_key(core, "schedule", subscription_id)

    def unit(tx: Transaction) -> None:
        if tx.intents.get(key) is not None:
            tx.intents.finish(key, "failed", None)

    await core.store.transaction(unit)


async def _made(core: Core, switch: Switch) -> StripeObject:
    """A schedule of one phase, made from the subscription as it is."""
    for _ in range(_ATTEMPTS):
        key = await fresh_key(core, "schedule", switch.theirs.id)
        params = {"from_subscription": switch.theirs.id}
        made = await create(core, "schedule", key, switch.row.customer_id, SCHEDULES, params)
        # What Stripe gives again for the key may be one that was released since.
        current = await core.provider().request("GET", f"{SCHEDULES}/{made['id']}")
        if is_alive(current):
            return current
        await _close(core, switch.theirs.id)
    raise busy()


async def _set_phases(core: Core, made: StripeObject, phases: list[dict[str, Any]]) -> None:
    """Let a schedule of ours have these phases, and say that it is ours."""
    params = {
        "end_behavior": "release",
        "metadata": {"source": SOURCE},
        "phases": phases,
        "proration_behavior": "none",
    }
    key = _key("phases", str(made["id"]), params)
    await core.provider().request("POST", f"{SCHEDULES}/{made['id']}", params, idempotency_key=key)


def _running(made: StripeObject) -> StripeObject:
    """The phase that runs."""
    now = members(made.get("current_phase"))
    phases = listed(made.get("phases"))
    return next((each for each in phases if each.get("start_date") == now.get("start_date")), phases[-1])


def _next(core: Core, switch: Switch, running: StripeObject) -> dict[str, Any]:
    """What comes when the running phase ends; without a trial, which ends with that."""
    return {
        "items": phase_params(switch.moves),
        "start_date": running.get("end_date"),
        # By then it is what the subscription sells, and nothing is left for a schedule to do.
        "duration": {"interval": "day", "interval_count": 1},
        "metadata": {"plan": switch.plan.key},
        "proration_behavior": proration_of(switch, core.plan_change.proration_behavior),
    }


def _key(what: str, id: str, params: Mapping[str, Any]) -> str:
    told = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return intent_key(what, id, hashlib.sha256(told.encode()).hexdigest())
