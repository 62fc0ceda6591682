"""What the host publishes: written down with its own change, then handed to us and to the bus."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import Any

from ..domain.ids import idempotency_key
from ..domain.outbound import OutboxRow
from ..domain.references import Reference
from ..errors import InvalidInput, Unavailable
from ..ports.store import DuplicateKey, Transaction
from .core import Core
from .incoming import TOPICS
from .outbox import Handover
from .relaying import relay

_TOPIC = re.compile(r"[a-z][a-z0-9_]{0,49}(\.[a-z0-9_]{1,50}){1,4}")
_OURS = frozenset(
    {
        *("balance", "bus", "charge", "checkout", "credits", "customer", "dunning", "entitlements", "invoice"),
        *("invoiceitem", "meter", "payment", "payment_intent", "payment_method", "plan", "price", "product", "refund"),
        *("seat", "setup_intent", "subscription", "subscription_schedule", "trial", "v1", "v2"),
    }
)
_MAX_BYTES = 64 * 1024


async def publish(
    core: Core, topic: str, data: Mapping[str, Any], *, key: str | None = None, transaction: object | None = None
) -> str:
    """Publish an event of the host; gives its id, the same one for a key that was used before.

    Raises:
        InvalidInput: the topic is none or one of ours, or the data has not the shape that the topic asks for.
        Unavailable: the database does not answer.
    """
    row = _row(core, topic, data, key)
    handover = Handover(core)

    def unit(tx: Transaction) -> None:
        customer = None if "reference" not in row.payload else tx.customers.get(Reference(*row.payload["reference"]))
        own = "" if customer is None else customer.id
        tx.outbox.add([OutboxRow(row.id, row.topic, own, row.payload, row.created_at)])
        if transaction is None:
            handover.claim(tx)

    try:
        await core.store.transaction(unit, host=transaction)
    except DuplicateKey:
        return row.id
    if transaction is None:
        # It is stored: whatever fails from here on is done by the worker.
        with suppress(Unavailable):
            await handover.finish()
            await relay(core)
    return row.id


def _row(core: Core, topic: str, data: Mapping[str, Any], key: str | None) -> OutboxRow:
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise InvalidInput('must be words with dots between them, such as "user.created"', field="topic")
    if topic.partition(".")[0] in _OURS:
        raise InvalidInput("is one that only the library publishes", field="topic")
    payload: dict[str, Any] = {"data": _json(data)}
    if (known := TOPICS.get(topic)) is not None:
        reference, _ = known.read(data)
        payload["reference"] = [reference.id, reference.type]
    return OutboxRow(_id(core, topic, key), topic, "", payload, core.now())


def _id(core: Core, topic: str, key: str | None) -> str:
    if key is None:
        return core.ids.new("event")
    return f"event_{sha256(f'{topic} {idempotency_key(key)}'.encode()).hexdigest()[:32]}"


def _json(data: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        told = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidInput("must be what JSON can hold", field="data") from None
    if not isinstance(data, Mapping) or len(told) > _MAX_BYTES:
        raise InvalidInput(f"must be an object of at most {_MAX_BYTES} bytes", field="data")
    kept: Mapping[str, Any] = json.loads(told)
    return kept
