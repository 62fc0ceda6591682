"""The same request for a change of plan once more: known by the idempotency key that came with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ..domain.outbound import IntentRow
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow
from ..errors import IdempotencyMismatch, InvalidInput
from .core import Core
from .intents import intent_key

_MAX_KEY = 255
Asked = Sequence[str | int | bool | None]
"""What was asked for, as the caller said it."""


def request_key(core: Core, reference: Ref, idempotency_key: str) -> str:
    """Under which a request of a reference is remembered.

    Raises:
        InvalidInput: it is no key.
    """
    if not isinstance(idempotency_key, str) or not 0 < len(idempotency_key) <= _MAX_KEY:
        raise InvalidInput(f"must be a text of at most {_MAX_KEY} characters", field="idempotency_key")
    who = core.reference(reference)
    return intent_key("change-request", who.type, who.id, idempotency_key)


async def is_repeated(core: Core, key: str, asked: Asked) -> bool:
    """Whether the change was made under this key already.

    Raises:
        IdempotencyMismatch: another change was.
    """
    known = await core.store.read(lambda tx: tx.intents.get(key))
    if known is None:
        return False
    if known.params.get("asked") != _digest(asked):
        raise IdempotencyMismatch
    return True


async def note(core: Core, key: str, asked: Asked, changed: SubscriptionRow) -> None:
    """Remember that the change was made."""
    stripe_id = changed.stripe_subscription_id
    told = {"asked": _digest(asked)}
    path = f"/v1/subscriptions/{stripe_id}"
    row = IntentRow(key, "change", changed.customer_id, path, told, "done", stripe_id, core.now())
    await core.store.transaction(lambda tx: tx.intents.add(row))


def _digest(asked: Asked) -> str:
    return hashlib.sha256(json.dumps(list(asked), separators=(",", ":")).encode()).hexdigest()
