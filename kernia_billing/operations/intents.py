"""Calls to Stripe that create something: written down before they are made, so that they cannot double.

The intent and its idempotency key are committed first. Whoever repeats the operation, in this process or another, now
or after a crash, finds the intent and sends the very same request under the very same key, which Stripe answers with
the first result (Stripe, "Idempotent requests"). Stripe keeps keys for 24 hours, and keeps a 500 under its key although
the work may have been done: an older intent, and one whose outcome is unknown, is looked for among Stripe's objects by
the `kernia_intent` in their metadata, and never sent under a fresh key.

Nothing is sent by itself. `recover` looks for the objects of intents that nobody finished: one that is found is done,
one that is not is parked, and told of. Whoever repeats the operation of a parked intent has it looked for once more,
and sent under its own key only where Stripe has no such object. After a day Stripe has forgotten the key, so that what
is not there then was not made: such an intent is thrown away, and with it what it says of a person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain, count
from typing import Any, Literal

from attrs import evolve

from ..domain.instants import DAY, HOUR, MINUTE, SECOND, Instant
from ..domain.outbound import IntentRow
from ..domain.reading import id_of
from ..errors import BillingError, Conflict, NotFound, PaymentFailed, StripeRefused, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import Facts, record
from .core import Core

INTENT = "kernia_intent"
"""The metadata key under which Stripe's objects name the intent that made them."""
KEY_LIFE = 23 * HOUR
"""How long a key is trusted to be known by Stripe: an hour less than Stripe promises."""
UNDER_WAY = MINUTE
"""So long an intent is left to whoever made it: more than twice as long as the client tries."""
_WHOLE_LISTS = frozenset({"/v1/webhook_endpoints", "/v1/billing_portal/configurations"})
"""Lists that Stripe does not narrow down by time; they are short (Stripe, "List all webhook endpoints")."""
_PAGES = 10
_FURTHEST_BACK = 30 * DAY


class TooMany(Unavailable):
    """Stripe has so many new objects that ours was not found among those that were looked at."""

    def __init__(self) -> None:
        super().__init__("Stripe has too many new objects to find ours among them", outcome_unknown=True)


def intent_key(*parts: str) -> str:
    """The idempotency key of a logical operation: the same parts give the same key, on every machine."""
    text = "\x1f".join(parts)
    return "kernia-" + hashlib.sha256(text.encode()).hexdigest()[:48]


async def create(
    core: Core, operation: str, key: str, customer_id: str, path: str, params: Mapping[str, Any]
) -> StripeObject:
    """Create a Stripe object once for `key`, and give it.

    `params` must carry the key under `metadata.kernia_intent`, but for those of a schedule `from_subscription`. Where
    the intent exists already, the stored parameters are sent, not these; but for one that Stripe refused or that was
    parked for long, whose parameters are forgotten.

    Raises:
        Unavailable: Stripe does not answer; the next call with this key goes on where this one ended.
        StripeRefused, NotFound, PaymentFailed: Stripe will not create it, now or later: the intent has failed, and is
            sent no more.
    """
    row = IntentRow(key, operation, customer_id, path, params, "pending", None, core.now())
    intent = await core.store.transaction(lambda tx: tx.intents.add(row))
    made: StripeObject | None = None
    if intent.stripe_id is None and _is_forgotten(intent, core.now()):
        known = evolve(intent, params=intent.params or params)
        made = await find(core, known, pages=_PAGES)
        if made is None:
            intent = await _begun_anew(core, intent, known.params)
    if intent.stripe_id is not None:
        return await core.provider().request("GET", f"{intent.path}/{intent.stripe_id}")
    if made is None:
        intent = evolve(intent, params=intent.params or params)
        try:
            made = await _send(core, intent)
        except (StripeRefused, NotFound, PaymentFailed):
            await core.store.transaction(lambda tx: tx.intents.finish(intent.key, "failed", None))
            raise
    stripe_id = str(made["id"])
    await core.store.transaction(lambda tx: tx.intents.finish(intent.key, "done", stripe_id))
    return made


def _is_forgotten(intent: IntentRow, now: Instant) -> bool:
    """Whether Stripe may have forgotten the key, so that sending again could act again.

    Where the clock went back nobody knows how old the intent is; what was parked has a history.
    """
    return intent.state == "parked" or not 0 <= now - intent.created_at <= KEY_LIFE


async def _begun_anew(core: Core, intent: IntentRow, params: Mapping[str, Any]) -> IntentRow:
    """An intent that has made nothing, as one of now: the key lives for a day from when it is first carried out.

    Of two callers the second goes on with what the first one wrote.
    """

    def unit(tx: Transaction) -> IntentRow:
        if tx.intents.get(intent.key) == intent:
            tx.intents.remove(intent.key)
        return tx.intents.add(evolve(intent, params=params, state="pending", created_at=core.now()))

    return await core.store.transaction(unit)


_Fate = Literal["done", "parked", "not_made"]


async def recover(core: Core, limit: int = 100) -> Mapping[str, int]:
    """Find out what became of intents that nobody finished, oldest first, at most `limit` of them.

    Says how many are `done`, `parked`, `not_made` and still `waiting`. Looked at is what is older than a minute, and
    what was parked once more after a day, from when on Stripe makes nothing of it any more. Nothing is sent to Stripe
    but lists. While Stripe does not answer, intents wait for the next run.
    """
    now = core.now()

    def unfinished(tx: Transaction) -> list[IntentRow]:
        pending = list(tx.intents.unfinished(now - UNDER_WAY, limit))
        left = limit - len(pending)
        return [*pending, *(tx.intents.parked(now - DAY, left) if left else ())]

    intents = await core.store.read(unfinished)
    counts = {"done": 0, "parked": 0, "not_made": 0, "waiting": 0}
    for number, intent in enumerate(intents):
        old = core.now() - intent.created_at > DAY
        try:
            found = await find(core, intent)
        except (NotFound, StripeRefused) as failure:
            await _settle(core, intent, "parked", None, failure)
            counts["parked"] += intent.state == "pending"
        except BillingError:
            counts["waiting"] = len(intents) - number
            break
        else:
            fate: _Fate = "done" if found is not None else "not_made" if old else "parked"
            await _settle(core, intent, fate, None if found is None else str(found["id"]), None)
            counts[fate] += 1
    return counts


async def _settle(
    core: Core, intent: IntentRow, fate: _Fate, stripe_id: str | None, failure: BillingError | None
) -> None:
    """Note what was found out about an intent, unless somebody finished it or began it anew meanwhile."""

    def unit(tx: Transaction) -> bool:
        if tx.intents.get(intent.key) != intent:
            return False
        if fate == "not_made":
            tx.intents.remove(intent.key)
        elif fate == "done":
            tx.intents.finish(intent.key, "done", stripe_id)
        elif intent.state == "parked":
            if failure is None:
                return False
            # Refused once more, as the next look would be: nobody looks by itself any more.
            tx.intents.forget(intent.key)
        else:
            tx.intents.finish(intent.key, "parked", None)
            facts: Facts = {"operation": intent.operation, "created_at": intent.created_at}
            record(tx, core, "intent.parked", intent.customer_id, intent.key, None, facts)
        return True

    if await core.store.transaction(unit):
        told = {
            "operation": intent.operation,
            "key": intent.key,
            "customer_id": intent.customer_id,
            "stripe_id": stripe_id,
            "reason": None if failure is None else failure.code,
        }
        core.telemetry.log("warning" if fate == "parked" else "info", f"intent.{fate}", told)


async def fresh_key(core: Core, *parts: str) -> str:
    """The key of these parts, of the first attempt at it that Stripe has not refused."""

    def unit(tx: Transaction) -> str:
        attempts = chain([intent_key(*parts)], (intent_key(*parts, str(attempt)) for attempt in count(1)))
        return next(key for key in attempts if not _has_failed(tx.intents.get(key)))

    return await core.store.read(unit)


def _has_failed(known: IntentRow | None) -> bool:
    return known is not None and known.state == "failed"


async def _send(core: Core, intent: IntentRow) -> StripeObject:
    try:
        return await core.provider().request("POST", intent.path, intent.params, idempotency_key=intent.key)
    except (Unavailable, Conflict) as failure:
        found: StripeObject | None = None
        if _is_unknown(failure):
            # What the caller is to hear of is the call, not the look for what became of it.
            with suppress(Unavailable):
                found = await find(core, intent, pages=_PAGES)
        if found is None:
            raise
        return found


def _is_unknown(failure: Unavailable | Conflict) -> bool:
    """Whether the object may exist: Stripe may have acted, or knows the key by another request than this one."""
    return failure.outcome_unknown if isinstance(failure, Unavailable) else failure.code == "STRIPE_IDEMPOTENCY"


async def find(core: Core, intent: IntentRow, *, pages: int | None = None) -> StripeObject | None:
    """The object that an intent made, looked for among Stripe's objects created since a day before the intent.

    The day is for hosts whose clocks differ. With `pages` no more of them, of a hundred objects, are read.

    Raises:
        TooMany: it is not among those that were looked at.
        Unavailable: Stripe does not answer, or this process is to stop.
    """
    params = _narrowed(intent, core.now())
    after: str | None = None
    number = 0
    while True:
        if number == pages:
            raise TooMany
        if core.stopping():
            raise Unavailable("This process is to stop", outcome_unknown=True)
        if pages is None and number % _PAGES == _PAGES - 1:
            await core.store.transaction(lambda _tx: None)  # so that a lease under which this is done lasts
        page = await core.provider().page(intent.path, params, after=after)
        for each in page.data:
            metadata: Mapping[str, Any] = each.get("metadata") or {}
            if metadata.get(INTENT) == intent.key or made_from(intent, each):
                return each
        if not page.has_more:
            return None
        after = str(page.data[-1]["id"])
        number += 1


def made_from(intent: IntentRow, each: StripeObject) -> bool:
    """Whether an object is the schedule that an intent was to make from a subscription.

    Stripe takes no metadata with `from_subscription`; but a subscription follows one schedule at a time.
    """
    subscription_id, created = intent.params.get("from_subscription"), each.get("created")
    if subscription_id is None or type(created) is not int:
        return False
    # So much may the clocks of two machines differ.
    return created * SECOND >= intent.created_at - MINUTE and id_of(each.get("subscription")) == subscription_id


def _narrowed(intent: IntentRow, now: Instant) -> dict[str, Any]:
    """The parameters of a list that shows what an intent made, and little else."""
    if intent.path in _WHOLE_LISTS:
        return {}
    # Where our clock went back since, the intent's time says nothing.
    since = intent.created_at - DAY if intent.created_at <= now else now - _FURTHEST_BACK
    return {"created": {"gte": since // SECOND}, "customer": intent.params.get("customer")}
