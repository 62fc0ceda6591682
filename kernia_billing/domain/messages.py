"""Events as other processes get them: one JSON object, under a topic, in the order of whom they are about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from zlib import crc32

import attrs
from attrs import frozen

from .answers import Subscription
from .instants import Instant, to_datetime
from .outbound import OutboxRow

LANES = 8
"""A bus keeps the order within each of so many lanes; what one customer's messages tell of is in one of them."""
_DATES = frozenset(each.name for each in attrs.fields(Subscription) if "datetime" in str(each.type))


@frozen
class Message:
    """What a bus carries: `id` stays the same however often it is delivered, `key` says whose order it is in.

    The messages of one `key` come in the order in which they were published; those of the key "" in any.
    """

    id: str
    topic: str
    key: str
    body: Mapping[str, Any]


@frozen
class Waiting:
    """A message that a group is not done with, and how many seconds it has been on the bus."""

    message: Message
    seconds: float


Handler = Callable[[Message], Awaitable[None] | None]
"""Takes a message. One that raises gets it again after a while; one that raises `InvalidInput` never does."""


def lane_of(message: Message, lanes: int = LANES) -> int:
    """The lane of a message: always the same one for a key."""
    return crc32((message.key or message.id).encode()) % lanes


def message_of(row: OutboxRow) -> Message:
    """What is published of a stored event.

    Stripe's own object stays out: whoever needs more of it than we tell asks Stripe.
    """
    payload = row.payload
    if "message" in payload:
        return Message(payload["id"], payload["topic"], payload["key"], payload["message"])
    reference = payload.get("reference")
    body: dict[str, Any] = {
        "id": row.id,
        "type": row.topic,
        "occurredAt": _iso(row.created_at),
        "reference": None if reference is None else {"id": reference[0], "type": reference[1]},
        "data": payload["data"],
    }
    for name in ("subscription", "previous"):
        if name in payload:
            body[name] = None if payload[name] is None else _subscription(payload[name])
    return Message(row.id, row.topic, "" if reference is None else f"{reference[1]}:{reference[0]}", body)


def raw_row(message: Message, now: Instant) -> OutboxRow:
    """A message that is no event of ours, as it is stored."""
    told = {"id": message.id, "topic": message.topic, "key": message.key, "message": dict(message.body)}
    return OutboxRow(message.id, message.topic, "", told, now)


def _subscription(stored: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        _camel(name): _iso(value) if name in _DATES and value is not None else value for name, value in stored.items()
    }
    shown["reference"] = {"id": stored["reference"][0], "type": stored["reference"][1]}
    return shown


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _iso(when: Instant) -> str:
    return to_datetime(when).isoformat().replace("+00:00", "Z")
