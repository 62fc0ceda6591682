"""Webhooks: verified, stored before they are acknowledged, worked on once, and kept until something became of them."""

from __future__ import annotations

import json
from contextlib import suppress

from attrs import evolve, frozen

from ..domain.answers import Receipt
from ..domain.customers import CustomerRow
from ..domain.envelopes import Envelope, read_envelope
from ..domain.instants import DAY, HOUR, MINUTE, SECOND, Instant
from ..domain.webhooks import InboxRow, InboxStatus
from ..errors import BillingError, InvalidInput, InvalidSignature, ProviderNotConfigured
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from . import traces
from .core import Core
from .event_types import RECORD, TREATMENTS, invoice_paid_by, is_about_nothing
from .handling import Claimed, claimed, finish, foreign, work
from .haste import hasty
from .outbox import Handover, event
from .projections.owners import customer_of

MAX_ATTEMPTS = 12
"""After so many failures an event is `dead`: kept with its error, and no longer retried by itself. While Stripe or the
database is down, only once it has waited three days too."""
_LEASE = 5 * MINUTE
_LONGEST_WAIT = 6 * HOUR
_PATIENCE = 3 * DAY
"""So long Stripe repeats an event (Stripe, "Webhooks: retries"); before that an outage is not held against it."""
_OPEN = ("received", "failed", "processing")


@frozen
class _Taken:
    """An event after it was stored: `new` unless it was there before; `work` where it is ours to work on now."""

    row: InboxRow
    new: bool
    work: Claimed | None


async def receive(core: Core, body: bytes, signature: str) -> Receipt:
    """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

    It is stored before anything else happens, so that a crash loses nothing. An event that was taken in before is
    `skipped`. A failing handler leaves the event stored, to be worked on again when Stripe repeats it or by `jobs.run`.
    In the mode "worker" it is stored and `queued`: `jobs.run` does the rest, as it does where the work takes too long
    for whoever waits for the answer.

    Raises:
        InvalidSignature: none of the secrets signed these bytes recently, or they are not an event. Nothing is stored.
        Unavailable: Stripe or the database did not answer; Stripe will repeat the event.
    """
    if core.verifier is None:
        raise ProviderNotConfigured("No stripe_webhook_secrets are configured: webhooks are off")
    now = core.now()
    with traces.verification(core):
        core.verifier.verify(body, signature, now)
        try:
            told: object = json.loads(body.decode("utf-8"))
            envelope = read_envelope(told, now)
        except (ValueError, RecursionError, InvalidInput) as broken:
            raise InvalidSignature from broken
    return await _take_in(hasty(core, now), envelope)


async def take_listed(core: Core, event: StripeObject) -> Receipt:
    """Take in an event that Stripe lists (GET /v1/events), exactly as if it had been sent.

    Raises:
        InvalidInput: it is no event; `field` names the member that is wrong.
        Whatever the handler raised, after it was noted with the event.
    """
    return await _take_in(core, read_envelope(event, core.now(), "list"))


async def _take_in(core: Core, envelope: Envelope) -> Receipt:
    taken = await core.store.transaction(lambda tx: _store(core, tx, envelope))
    row, reason = taken.row, foreign(core, taken.row)
    if taken.new and reason is not None:
        core.telemetry.log("warning", "webhook.ignored", {"event": row.event_id, "type": row.type, "reason": reason})
    handover = Handover(core)
    if taken.work is not None:
        receipt = await _work(core, taken.work, handover)
    elif taken.new:
        if row.status == "received":
            return Receipt(row.event_id, "queued")
        if reason is not None:
            return Receipt(row.event_id, "ignored")
        receipt = Receipt(row.event_id, "ignored" if row.status == "ignored" else "applied")
    elif row.status in _OPEN and core.webhook_mode == "inline":
        receipt = await process(core, row.account, row.event_id)
    else:
        return Receipt(row.event_id, "skipped")
    await handover.finish()
    return receipt


def _store(core: Core, tx: Transaction, envelope: Envelope) -> _Taken:
    """Store an event; in the same commit note that hooks are to hear of it, and take it to work on."""
    reason = foreign(core, envelope.row)
    row = _first_state(core, envelope.row, reason)
    if not tx.inbox.add(row):
        return _Taken(tx.inbox.get(row.account, row.event_id) or row, new=False, work=None)
    if reason is None:
        _tell(core, tx, row, envelope)
    return _Taken(row, new=True, work=claimed(core, tx, row) if row.status == "processing" else None)


def _first_state(core: Core, row: InboxRow, reason: str | None) -> InboxRow:
    """How an event is stored: done with where nothing is to be done, else taken or, for a worker, waiting."""
    if reason is not None:
        return evolve(row, status="ignored", note=reason)
    if core.webhook_mode == "worker":
        return row
    if is_about_nothing(row):
        return evolve(row, status="ignored", attempts=1, note=f"{row.type}: ignored")
    if TREATMENTS[row.type] == RECORD:
        return evolve(row, status="processed", attempts=1)
    return evolve(row, status="processing", attempts=1, lease_until=row.received_at + _LEASE)


def _tell(core: Core, tx: Transaction, row: InboxRow, envelope: Envelope) -> None:
    """Hand an event of Stripe's own to hooks. One whose data is still to be fetched is handed over with them."""
    treatment = TREATMENTS.get(row.type)
    if treatment is not None and treatment.reader is not None:
        return
    facts = dict(envelope.facts)
    if "invoice" in facts and facts["invoice"] is None:
        facts["invoice"] = invoice_paid_by(tx, row)
    data = {"id": row.event_id, "object": row.object_kind, "object_id": row.object_id, **facts}
    owner = _owner(tx, row, facts.get("invoice"))
    if owner is not None and "customer" in facts:
        data["customer"] = facts["customer"] or owner.stripe_customer_id
    tx.outbox.add([event(core, owner, row.type, row.received_at, data=data)])


def _owner(tx: Transaction, row: InboxRow, invoice_id: object) -> CustomerRow | None:
    """Our customer that an event is about, by its customer or else by the invoice that was paid."""
    if row.customer:
        return customer_of(tx, row.customer)
    invoice = tx.invoices.get(invoice_id) if isinstance(invoice_id, str) else None
    return None if invoice is None else tx.customers.by_id(invoice.customer_id)


async def process(core: Core, account: str, event_id: str) -> Receipt:
    """Work on one stored event, unless another worker has it or it is done.

    Raises:
        Whatever the handler raised, after it was noted with the event.
    """
    now = core.now()

    def claim(tx: Transaction) -> Claimed | None:
        row = tx.inbox.claim(account, event_id, now, now + _LEASE)
        return None if row is None else claimed(core, tx, row)

    taken = await core.store.transaction(claim)
    return Receipt(event_id, "skipped") if taken is None else await _work(core, taken)


async def _work(core: Core, taken: Claimed, handover: Handover | None = None) -> Receipt:
    row = taken.row
    try:
        return Receipt(row.event_id, await traces.webhook(core, row, work(core, taken, handover)))
    except Exception as failure:
        now = core.now()
        status, note = _failed(row, failure, now)
        await core.store.transaction(lambda tx: finish(tx, row, status, note, again_at=now + _wait(row)))
        raise


def _failed(row: InboxRow, failure: Exception, now: Instant) -> tuple[InboxStatus, str]:
    """What becomes of an event whose handler raised, and the error as a code and a class: never its text."""
    outage = isinstance(failure, BillingError) and failure.retryable and now - row.received_at < _PATIENCE
    status: InboxStatus = "dead" if row.attempts >= MAX_ATTEMPTS and not outage else "failed"
    name = type(failure).__name__
    return status, f"{failure.code} {name}" if isinstance(failure, BillingError) else name


def _wait(row: InboxRow) -> int:
    return min(SECOND << min(row.attempts, 16), _LONGEST_WAIT)


async def retry_due(core: Core, limit: int = 100) -> int:
    """Work on the events that wait: queued ones, failed ones whose time has come, and those that a crash left behind.

    Says how many it looked at, `limit` at most, oldest first.
    """
    due = await core.store.read(lambda tx: tx.inbox.due(core.now(), limit))
    for number, row in enumerate(due):
        if core.stopping():
            return number
        # Whatever it is, it stands with the event now, and must not keep the others waiting.
        with suppress(Exception):
            await process(core, row.account, row.event_id)
    return len(due)
