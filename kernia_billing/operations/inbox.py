"""Webhooks: verified, stored before they are acknowledged, worked on once, and kept until something became of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve

from ..domain.answers import Receipt
from ..domain.instants import DAY, HOUR, MINUTE, SECOND, Instant, from_seconds
from ..domain.subscriptions import id_of, subscription_of_invoice
from ..domain.webhooks import InboxRow, InboxStatus
from ..errors import BillingError, InvalidInput, InvalidSignature, ProviderNotConfigured
from ..ports.store import Transaction
from .checkout import sync_session
from .core import Core
from .outbox import dispatch, event
from .projections import Outcome, sync_catalog_object, sync_subscription

HANDLED = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "product.created",
    "product.updated",
    "product.deleted",
    "price.created",
    "price.updated",
    "price.deleted",
)
"""The event types that change something here; an endpoint at Stripe has to be subscribed to them."""
MAX_ATTEMPTS = 12
"""After so many failures an event is `dead`: kept with its error, and no longer retried by itself. While Stripe or the
database is down, only once it has waited three days too."""
_LEASE = 5 * MINUTE
_LONGEST_WAIT = 6 * HOUR
_PATIENCE = 3 * DAY
"""So long Stripe repeats an event (Stripe, "Webhooks: retries"); before that an outage is not held against it."""
_EVENT_ID = re.compile(r"evt_[A-Za-z0-9_]{1,250}")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,250}")


async def receive(core: Core, body: bytes, signature: str) -> Receipt:
    """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

    It is stored before anything else happens, so that a crash loses nothing. An event that was taken in before is
    `skipped`. A failing handler leaves the event stored, to be worked on again when Stripe repeats it or by `jobs.run`.

    Raises:
        InvalidSignature: none of the secrets signed these bytes recently, or they are not an event. Nothing is stored.
        Unavailable: Stripe or the database did not answer; Stripe will repeat the event.
    """
    if core.verifier is None:
        raise ProviderNotConfigured("No stripe_webhook_secrets are configured: webhooks are off")
    now = core.now()
    core.verifier.verify(body, signature, now)
    row = _read(body, now)
    note = _foreign(core, row)
    if note is not None:
        row = evolve(row, status="ignored", note=note)
    if not await core.store.transaction(lambda tx: _add(core, tx, row)):
        stored = await core.store.read(lambda tx: tx.inbox.get(row.account, row.event_id))
        if stored is None or stored.status not in ("received", "failed", "processing"):
            return Receipt(row.event_id, "skipped")
    elif note is not None:
        return Receipt(row.event_id, "ignored")
    receipt = await process(core, row.account, row.event_id)
    await dispatch(core)
    return receipt


def _foreign(core: Core, row: InboxRow) -> str | None:
    """Why an event is none of ours, although it was signed for us; None where it is."""
    if core.livemode is not None and row.livemode != core.livemode:
        return "livemode mismatch"
    return "of a connected account" if row.account else None


def _add(core: Core, tx: Transaction, row: InboxRow) -> bool:
    """Store an event, and in the same commit that hooks are to hear of it."""
    if not tx.inbox.add(row):
        return False
    if row.status == "received":
        owner = row.payload.get("customer")
        customer = tx.customers.by_stripe_id(owner) if isinstance(owner, str) else None
        data = {"id": row.event_id, "object": row.object_kind, "object_id": row.object_id}
        tx.outbox.add([event(core, customer, row.type, row.received_at, data=data)])
    return True


def _read(body: bytes, now: int) -> InboxRow:
    """The inbox row of a verified body; what is no event is refused like a wrong signature."""
    try:
        told: object = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as broken:
        raise InvalidSignature from broken
    envelope = _object(told)
    event_id, kind = envelope.get("id"), _word(envelope.get("type"))
    subject = _object(_object(envelope.get("data")).get("object"))
    if (
        envelope.get("object") != "event"
        or not isinstance(event_id, str)
        or not _EVENT_ID.fullmatch(event_id)
        or not kind
        or (envelope.get("account") is not None and not _word(envelope["account"]))
    ):
        raise InvalidSignature
    try:
        created = from_seconds(envelope.get("created", 0))
        kept = _subject(subject)
    except (InvalidInput, AttributeError) as broken:
        raise InvalidSignature from broken
    return InboxRow(
        account=_word(envelope.get("account")),
        event_id=event_id,
        type=kind,
        livemode=envelope.get("livemode") is True,
        api_version=_word(envelope.get("api_version"))[:50] or None,
        object_kind=_word(subject.get("object")),
        object_id=_word(subject.get("id")),
        payload=kept,
        created_at=created,
        received_at=now,
        status="received",
        attempts=0,
        lease_until=0,
        note=None,
    )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSignature
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def _word(value: object) -> str:
    """A name or an id that can be stored anywhere and stand in a path; "" for everything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _subject(subject: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the object: the ids that processing needs. Its state is always fetched, never taken from here."""
    owner = subject.get("id") if subject.get("object") == "customer" else subject.get("customer")
    kept = {"customer": id_of(owner), "subscription": None}
    if subject.get("object") == "invoice":
        kept["subscription"] = subscription_of_invoice(subject)
    elif subject.get("object") == "checkout.session":
        kept["subscription"] = id_of(subject.get("subscription"))
    return {name: value for name, value in kept.items() if _word(value)}


async def process(core: Core, account: str, event_id: str) -> Receipt:
    """Work on one stored event, unless another worker has it or it is done.

    Raises:
        Whatever the handler raised, after it was noted with the event.
    """
    now = core.now()
    row = await core.store.transaction(lambda tx: tx.inbox.claim(account, event_id, now, now + _LEASE))
    if row is None:
        return Receipt(event_id, "skipped")
    try:
        outcome = await _handle(core, row)
    except Exception as failure:
        await _finish(core, row, *_failed(row, failure, now), lease_until=now + _wait(row))
        raise
    if outcome in ("ignored", "unmatched"):
        await _finish(core, row, outcome, f"{row.type}: {outcome}")
        return Receipt(event_id, outcome)
    await _finish(core, row, "processed", None)
    return Receipt(event_id, "applied")


def _failed(row: InboxRow, failure: Exception, now: Instant) -> tuple[InboxStatus, str]:
    outage = isinstance(failure, BillingError) and failure.retryable and now - row.received_at < _PATIENCE
    status: InboxStatus = "dead" if row.attempts >= MAX_ATTEMPTS and not outage else "failed"
    code = failure.code if isinstance(failure, BillingError) else type(failure).__name__
    return status, code


def _wait(row: InboxRow) -> int:
    return min(SECOND << min(row.attempts, 16), _LONGEST_WAIT)


async def _finish(core: Core, row: InboxRow, status: InboxStatus, note: str | None, *, lease_until: int = 0) -> None:
    await core.store.transaction(
        lambda tx: tx.inbox.finish(row.account, row.event_id, status, note=note, lease_until=lease_until)
    )


async def _handle(core: Core, row: InboxRow) -> Outcome:
    """Bring what the event is about up to date. The type says which object, never which state."""
    if row.type not in HANDLED or not row.object_id:
        return "ignored"
    noun = row.type.split(".", 1)[0]
    if row.type.startswith("customer.subscription."):
        return await sync_subscription(core, row.object_id)
    if noun == "checkout":
        return await sync_session(core, row.object_id)
    if noun == "product":
        return await sync_catalog_object(core, "product", row.object_id)
    if noun == "price":
        return await sync_catalog_object(core, "price", row.object_id)
    subscription = row.payload.get("subscription")
    return await sync_subscription(core, subscription) if isinstance(subscription, str) else "ignored"


async def retry_due(core: Core, limit: int = 100) -> int:
    """Work on the events that wait: failed ones whose time has come, and those that a crash left behind."""
    due = await core.store.read(lambda tx: tx.inbox.due(core.now(), limit))
    for row in due:
        # Whatever it is, it stands with the event now, and must not keep the others waiting.
        with suppress(Exception):
            await process(core, row.account, row.event_id)
    return len(due)
