"""Calls to Stripe that create something: written down before they are made, so that they cannot double.

The intent and its idempotency key are committed first. Whoever repeats the operation, in this process or another, now
or after a crash, finds the intent and sends the very same request under the very same key, which Stripe answers with
the first result (Stripe, "Idempotent requests"). Stripe keeps keys for 24 hours, and keeps a 500 under its key although
the work may have been done: an older intent, and one whose outcome is unknown, is looked for among Stripe's objects by
the `kernia_intent` in their metadata, and never sent under a fresh key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import count
from typing import Any

from ..domain.instants import HOUR, SECOND
from ..domain.outbound import IntentRow
from ..errors import NotFound, StripeRefused, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core

INTENT = "kernia_intent"
"""The metadata key under which Stripe's objects name the intent that made them."""
KEY_LIFE = 23 * HOUR
"""How long a key is trusted to be known by Stripe: an hour less than Stripe promises."""
_PAGES = 10


def intent_key(*parts: str) -> str:
    """The idempotency key of a logical operation: the same parts give the same key, on every machine."""
    text = "\x1f".join(parts)
    return "kernia-" + hashlib.sha256(text.encode()).hexdigest()[:48]


async def create(
    core: Core, operation: str, key: str, customer_id: str, path: str, params: Mapping[str, Any]
) -> StripeObject:
    """Create a Stripe object once for `key`, and give it.

    `params` must carry the key under `metadata.kernia_intent`. Where the intent exists already, the stored parameters
    are sent, not these.

    Raises:
        Unavailable: Stripe does not answer; the next call with this key goes on where this one ended.
        StripeRefused, NotFound: Stripe will not create it, now or later: the intent has failed, and is sent no more.
    """
    row = IntentRow(key, operation, customer_id, path, params, "pending", None, core.now())
    intent = await core.store.transaction(lambda tx: tx.intents.add(row))
    stripe = core.provider()
    if intent.stripe_id is not None:
        return await stripe.request("GET", f"{intent.path}/{intent.stripe_id}")
    made = await find(core, intent) if core.now() - intent.created_at > KEY_LIFE else None
    if made is None:
        try:
            made = await _send(core, intent)
        except (StripeRefused, NotFound):
            await core.store.transaction(lambda tx: tx.intents.finish(intent.key, "failed", None))
            raise
    stripe_id = str(made["id"])
    await core.store.transaction(lambda tx: tx.intents.finish(intent.key, "done", stripe_id))
    return made


async def fresh_key(core: Core, *parts: str) -> str:
    """The key of these parts, of the first attempt at it that Stripe has not refused."""

    def unit(tx: Transaction) -> str:
        for attempt in count():
            key = intent_key(*parts) if attempt == 0 else intent_key(*parts, str(attempt))
            known = tx.intents.get(key)
            if known is None or known.state != "failed":
                return key
        raise AssertionError("unreachable")  # pragma: no cover

    return await core.store.read(unit)


async def _send(core: Core, intent: IntentRow) -> StripeObject:
    try:
        return await core.provider().request("POST", intent.path, intent.params, idempotency_key=intent.key)
    except Unavailable as failure:
        found = await find(core, intent) if failure.outcome_unknown else None
        if found is None:
            raise
        return found


async def find(core: Core, intent: IntentRow) -> StripeObject | None:
    """The object that an intent made, looked for among Stripe's objects created since shortly before the intent."""
    since = (intent.created_at - HOUR) // SECOND
    params: dict[str, Any] = {"created": {"gte": since}}
    customer = intent.params.get("customer")
    if customer is not None:
        params["customer"] = customer
    after: str | None = None
    for _ in range(_PAGES):
        page = await core.provider().page(intent.path, params, after=after)
        for each in page.data:
            metadata: Mapping[str, Any] = each.get("metadata") or {}
            if metadata.get(INTENT) == intent.key:
                return each
        if not page.has_more:
            return None
        after = str(page.data[-1]["id"])
    raise Unavailable("Stripe has too many new objects to find ours among them", outcome_unknown=True)
