"""Events as Stripe sends them: snapshots of an object, and thin notifications that only name one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from attrs import frozen

from ..errors import InvalidInput
from .instants import Instant, from_seconds, to_instant
from .payments import payment_facts
from .reading import Json, flag, id_of, members
from .shapes import invoice_of, owner_of, subscription_of
from .webhooks import InboxRow, InboxSource

THIN = "v2.core.event"
"""What the notifications of API v2 call themselves (Stripe, "Event destinations")."""
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,250}")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,250}")
_MAX_VERSION = 50


@frozen
class Envelope:
    """An event that came in: the row to store, and what hooks hear of it beside the ids."""

    row: InboxRow
    facts: Mapping[str, object]


def word(value: object) -> str:
    """A name or an id that can be stored anywhere and stand in a path; "" for everything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def read_envelope(told: object, now: Instant, source: InboxSource = "webhook") -> Envelope:
    """Read an event.

    Of the object only the ids are kept that the work on it needs: its state is always fetched, never taken from here.

    Raises:
        InvalidInput: it is no event; `field` names the member that is wrong.
    """
    envelope = members(told)
    if envelope.get("object") == THIN:
        return _thin(envelope, now)
    if envelope.get("object") != "event":
        raise InvalidInput("must be 'event'", field="object")
    subject: object = members(envelope.get("data")).get("object")
    if not isinstance(subject, Mapping):
        raise InvalidInput("must be an object", field="data.object")
    return _snapshot(envelope, cast("Json", subject), now, source)


def _snapshot(envelope: Json, subject: Json, now: Instant, source: InboxSource) -> Envelope:
    facts = payment_facts(subject)
    row = _row(
        envelope,
        account=envelope.get("account"),
        kind=_type(envelope.get("type")),
        about=subject,
        created_at=from_seconds(envelope.get("created", 0), "created"),
        now=now,
        source=source,
        customer=id_of(subject) if subject.get("object") == "customer" else owner_of(subject),
        payload={
            "subscription": subscription_of(subject),
            "invoice": invoice_of(subject),
            "payment_intent": facts.get("payment_intent") or id_of(subject.get("payment_intent")),
        },
    )
    return Envelope(row, facts)


def _thin(envelope: Json, now: Instant) -> Envelope:
    """A notification: its type without the `v1.` is that of the snapshot, its object is the related one."""
    related = members(envelope.get("related_object"))
    row = _row(
        envelope,
        account=envelope.get("context"),
        kind=_type(envelope.get("type")).removeprefix("v1."),
        about={"object": related.get("type"), "id": related.get("id")},
        created_at=_moment(envelope.get("created")),
        now=now,
        source="thin",
        customer=id_of(related) if related.get("type") == "customer" else None,
        payload={},
    )
    return Envelope(row, {})


def _type(value: object) -> str:
    if not word(value):
        raise InvalidInput("must be the type of an event", field="type")
    return word(value)


def _moment(value: object) -> Instant:
    try:
        return to_instant(datetime.fromisoformat(str(value)), "created")
    except ValueError:
        raise InvalidInput("must be a time such as 2026-11-21T12:00:00Z", field="created") from None


def _row(
    envelope: Json,
    *,
    account: object,
    kind: str,
    about: Json,
    created_at: Instant,
    now: Instant,
    source: InboxSource,
    customer: str | None,
    payload: Mapping[str, Any],
) -> InboxRow:
    event_id = envelope.get("id")
    if not isinstance(event_id, str) or not _EVENT_ID.fullmatch(event_id):
        raise InvalidInput("must be the id of an event", field="id")
    if account is not None and not word(account):
        raise InvalidInput("must be an account", field="account")
    return InboxRow(
        account=word(account),
        event_id=event_id,
        type=kind,
        livemode=flag(envelope.get("livemode")),
        api_version=word(envelope.get("api_version"))[:_MAX_VERSION] or None,
        object_kind=word(about.get("object")),
        object_id=word(about.get("id")),
        payload={name: value for name, value in payload.items() if word(value)},
        created_at=created_at,
        received_at=now,
        status="received",
        attempts=0,
        lease_until=0,
        note=None,
        customer=word(customer),
        source=source,
    )
