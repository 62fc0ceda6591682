"""Sending what was written down for Stripe's meters: every use is counted once, whatever happens on the way.

An event is safe to send again for as long as Stripe remembers its identifier, 24 hours at least (Stripe, "Meter
events"): a second one does not count. Whether it is refused, and in which words, Stripe does not promise; where an
event may have arrived before, any refusal of its identifier tells that it did. Each attempt has an idempotency key of
its own, because under one and the same Stripe would repeat a failure of its own for a day. An event of which nobody
knows whether it arrived is not sent after 23 hours, and none that is older than 35 days, which Stripe would not count.
These are quarantined, and told of.

Every use is sent for itself. Sums would need fewer requests, but neither corrections nor Stripe's error reports could
then name the use that they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from ..domain.instants import DAY, HOUR, MINUTE, SECOND, Instant
from ..domain.upkeep import MeterEventRow, MeterEventState
from ..errors import BillingError, Conflict, NotFound, StripeRefused, Unavailable
from ..ports.store import Transaction
from . import traces
from .core import Core
from .intents import KEY_LIFE
from .metered import CANCEL, CANCELABLE
from .outbox import event

OLDEST = 35 * DAY
"""How far back Stripe counts (Stripe, "Meter events")."""
KEY = "kernia-meter/"
"""Begins the idempotency keys of meter events; their identifier follows, and the number of the attempt."""
UNKNOWN, TOO_OLD = "outcome_unknown", "too_old"
_BATCH, _AT_ONCE = 50, 8
_LEASE = 5 * MINUTE
_LONGEST_WAIT = HOUR

Request = tuple[str, Mapping[str, Any]]


@frozen
class _Outcome:
    """What became of one attempt.

    `retry` is when to try again, `unsent` that nothing can have reached Stripe, `is_unanswered` that it cannot be asked
    for now.
    """

    row: MeterEventRow
    state: MeterEventState
    note: str | None = None
    retry: Instant = 0
    unsent: bool = False
    is_unanswered: bool = False


async def send_due(core: Core, limit: int = 1_000) -> int:
    """Send the events that wait, `limit` at most, oldest first; says how many Stripe took.

    While Stripe does not answer they wait for the next run.
    """
    sent = looked_at = 0
    while looked_at < limit and not core.stopping():
        outcomes = await _batch(core, min(_BATCH, limit - looked_at))
        if not outcomes:
            break
        looked_at += len(outcomes)
        sent += sum(each.state == "sent" for each in outcomes)
        if any(each.is_unanswered for each in outcomes):
            break
    waiting, _ = await core.store.read(lambda tx: tx.meter_events.lag())
    traces.queue_depth(core, "meter_events", waiting)
    return sent


async def _batch(core: Core, limit: int) -> Sequence[_Outcome]:
    """Send some events. After the first that Stripe does not answer, those that are not under way are put back."""
    now = core.now()
    rows = await core.store.transaction(lambda tx: tx.meter_events.claim(now, now + _LEASE, limit))
    unanswered: list[_Outcome] = []

    async def one(row: MeterEventRow) -> _Outcome:
        if unanswered or core.stopping() or not now <= core.now() < now + _LEASE:
            return _put_back(row, now)
        outcome = await _attempt(core, row, now)
        if outcome.is_unanswered:
            unanswered.append(outcome)
        return outcome

    outcomes = await core.pace.map(one, rows, limit=_AT_ONCE)
    if outcomes:
        noted = await core.store.transaction(lambda tx: [_note(core, tx, each) for each in outcomes])
        for row in filter(None, noted):
            tell_log(core, row)
    return outcomes


def _put_back(row: MeterEventRow, now: Instant) -> _Outcome:
    return _Outcome(row, "waiting", row.note, now, unsent=not _in_doubt(row, now))


def _in_doubt(row: MeterEventRow, claimed_at: Instant) -> bool:
    """Whether an earlier attempt may have reached Stripe."""
    return row.first_sent_at != claimed_at


async def _attempt(core: Core, row: MeterEventRow, claimed_at: Instant) -> _Outcome:
    doubt = _in_doubt(row, claimed_at)
    age = claimed_at - (row.first_sent_at or claimed_at)
    # Where the clock went back nobody knows how long ago the first attempt was.
    if doubt and not 0 <= age <= KEY_LIFE:
        return _Outcome(row, "quarantined", UNKNOWN)
    if claimed_at - row.occurred_at > OLDEST:
        return _Outcome(row, "quarantined", UNKNOWN if doubt else TOO_OLD)
    original = await _original(core, row)
    path, params = _event(row) if original is None else _adjustment(row)
    try:
        await core.provider().request("POST", path, params, idempotency_key=f"{KEY}{row.identifier}/{row.attempts}")
    except BillingError as failure:
        return _failed(row, failure, claimed_at, doubt=doubt, original=original)
    return _Outcome(row, "sent")


async def _original(core: Core, row: MeterEventRow) -> MeterEventRow | None:
    """The event that a row takes back whole; None for all other rows, and where it is too late for that.

    What decides is when it was tried first, so that one row is never sent in two ways.
    """
    if not row.identifier.startswith(CANCEL):
        return None
    known = await core.store.read(lambda tx: tx.meter_events.get(row.identifier.removeprefix(CANCEL)))
    if known is None or (row.first_sent_at or 0) - (known.first_sent_at or 0) > CANCELABLE:
        return None
    return known


def _event(row: MeterEventRow) -> Request:
    params = {
        "event_name": row.event_name,
        "identifier": row.identifier,
        "timestamp": row.occurred_at // SECOND,
        "payload": {"stripe_customer_id": row.stripe_customer_id, "value": str(row.value)},
    }
    return "/v1/billing/meter_events", params


def _adjustment(row: MeterEventRow) -> Request:
    canceled = {"identifier": row.identifier.removeprefix(CANCEL)}
    return "/v1/billing/meter_event_adjustments", {
        "event_name": row.event_name,
        "type": "cancel",
        "cancel": canceled,
    }


def _failed(
    row: MeterEventRow, failure: BillingError, now: Instant, *, doubt: bool, original: MeterEventRow | None
) -> _Outcome:
    if isinstance(failure, Conflict) and failure.code == "STRIPE_DUPLICATE":
        return _Outcome(row, "sent")
    wait = min(SECOND << min(row.attempts, 12), _LONGEST_WAIT)
    if isinstance(failure, (StripeRefused, NotFound)):
        code = (failure.stripe_code if isinstance(failure, StripeRefused) else None) or failure.code
        if not doubt:
            return _Outcome(row, "rejected", code)
        if original is None and isinstance(failure, StripeRefused) and failure.param == "identifier":
            return _Outcome(row, "sent")
        # Stripe takes an event back once. It has what is to be taken back, so it took it back before.
        if original is not None and now - (original.first_sent_at or 0) <= CANCELABLE:
            return _Outcome(row, "sent")
        # It says nothing of the attempts before.
        return _Outcome(row, "waiting", code, now + wait)
    unknown = not isinstance(failure, Unavailable) or failure.outcome_unknown
    if isinstance(failure, Unavailable):
        wait = max(wait, failure.retry_after * SECOND)
    elif failure.status == 503:
        unknown = False
    return _Outcome(row, "waiting", failure.code, now + wait, unsent=not (doubt or unknown), is_unanswered=True)


def _note(core: Core, tx: Transaction, outcome: _Outcome) -> MeterEventRow | None:
    """Note an outcome, unless another worker took the event over; gives the row where somebody is to hear of it."""
    now = core.now()
    row = evolve(outcome.row, state=outcome.state, note=outcome.note)
    ours = tx.meter_events.finish(
        row.identifier,
        row.attempts,
        row.state,
        next_at=outcome.retry,
        note=row.note,
        now=now,
        unsent=outcome.unsent,
    )
    if not ours or row.state not in ("rejected", "quarantined"):
        return None
    tell_hooks(core, tx, row, now)
    return row


def tell_hooks(core: Core, tx: Transaction, row: MeterEventRow, now: Instant) -> None:
    """Have hooks hear that an event was not counted, or that nobody knows: `meter.rejected`, `meter.quarantined`."""
    data = {
        "identifier": row.identifier,
        "feature": row.feature,
        "meter": row.event_name,
        "value": row.value,
        "reason": row.note,
    }
    tx.outbox.add([event(core, tx.customers.by_id(row.customer_id), f"meter.{row.state}", now, data=data)])


def tell_log(core: Core, row: MeterEventRow) -> None:
    """The same for the log. What is quarantined needs somebody to look at it."""
    told = {
        "identifier": row.identifier,
        "customer_id": row.customer_id,
        "feature": row.feature,
        "meter": row.event_name,
        "reason": row.note,
    }
    core.telemetry.log("error" if row.state == "quarantined" else "warning", f"meter.{row.state}", told)
