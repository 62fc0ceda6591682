"""Reported usage: looked at, and sent once more where Stripe did not count it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from attrs import evolve

from ..domain.answers import Page
from ..domain.ids import quantity
from ..domain.instants import Instant, to_datetime
from ..domain.meters import MeterEvent, MeterHealth
from ..domain.reading import entries, members, text
from ..domain.references import Reference
from ..domain.upkeep import MeterEventRow, MeterEventState
from ..errors import Conflict, InvalidInput, NotFound
from ..ports.store import Transaction
from .audit import record
from .core import Core
from .meter_sender import KEY, OLDEST, tell_hooks
from .metered import CANCEL, row_of

MAX_PAGE = 200
_STATES: tuple[MeterEventState, ...] = get_args(MeterEventState)


async def page(
    core: Core, *, state: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[MeterEvent]:
    """One page of the events in one state, or in all, in the order in which they were made. `limit` is 1 to 200.

    Raises:
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    wanted: MeterEventState | None = next((each for each in _STATES if each == state), None)
    if wanted is None and state is not None:
        raise InvalidInput(f"must be one of {', '.join(_STATES)}", field="state")
    quantity(limit, "limit", maximum=MAX_PAGE)
    if cursor is not None and not (0 < len(cursor) <= MAX_PAGE and cursor.isascii() and cursor.isprintable()):
        raise InvalidInput("must be a next cursor that was given out", field="cursor")

    def read(tx: Transaction) -> Page[MeterEvent]:
        rows = tx.meter_events.list(state=wanted, limit=limit + 1, after=cursor)
        shown = rows[:limit]
        owners = {each: tx.customers.by_id(each) for each in {row.customer_id for row in shown}}
        references = {each: owner.reference for each, owner in owners.items() if owner is not None}
        answers = tuple(_answer(row, references.get(row.customer_id)) for row in shown)
        return Page(answers, shown[-1].identifier if len(rows) > limit else None)

    return await core.store.read(read)


def _answer(row: MeterEventRow, reference: Reference | None) -> MeterEvent:
    return MeterEvent(
        identifier=row.identifier,
        reference=reference,
        feature=row.feature,
        meter=row.event_name,
        value=row.value,
        occurred_at=to_datetime(row.occurred_at),
        state=row.state,
        attempts=row.attempts,
        reason=row.note,
        sent_at=None if row.sent_at is None else to_datetime(row.sent_at),
    )


async def health(core: Core) -> MeterHealth:
    """How reporting is doing."""

    def read(tx: Transaction) -> MeterHealth:
        counts, (_, oldest) = tx.meter_events.counts(), tx.meter_events.lag()
        numbers = {state: counts.get(state, 0) for state in _STATES}
        return MeterHealth(**numbers, oldest_waiting_at=None if oldest is None else to_datetime(oldest))

    return await core.store.read(read)


async def retry(core: Core, identifier: str, *, not_counted: bool = False) -> MeterEvent:
    """Send again what Stripe did not count, as a new event of the same time and value; gives the new event.

    Of a quarantined event nobody knows whether Stripe counted it: look at the meter's event summaries, and say
    `not_counted=True` where it is missing there.

    Raises:
        NotFound: there is no such event (METER_EVENT_NOT_FOUND).
        Conflict: it is neither rejected nor quarantined (METER_EVENT_NOT_FAILED), nobody knows whether it was counted
            (METER_EVENT_IN_DOUBT), or it is more than 35 days old (METER_EVENT_TOO_OLD).
    """

    def unit(tx: Transaction) -> MeterEvent:
        now = core.now()
        known = tx.meter_events.get(identifier)
        owner = None if known is None else tx.customers.lock(known.customer_id)
        if known is None or owner is None:
            raise NotFound("There is no such meter event", code="METER_EVENT_NOT_FOUND")
        _check(known, now, not_counted=not_counted)
        if tx.meter_events.get(f"{CANCEL}{identifier}") is not None:
            raise Conflict("The use was given back", code="METER_EVENT_NOT_FAILED")
        fresh = row_of(
            owner, known.feature, core.ids.new("meter"), known.event_name, known.value, known.occurred_at, now
        )
        # It stays a report of the period in which it was used.
        again = evolve(fresh, created_at=known.created_at)
        if not tx.meter_events.retire(identifier, f"sent again as {again.identifier}"):
            raise _not_failed()
        tx.meter_events.add([again])
        record(
            tx, core, "meter.retried", owner.id, identifier, {"state": known.state}, {"identifier": again.identifier}
        )
        return _answer(again, owner.reference)

    return await core.store.transaction(unit)


def _check(known: MeterEventRow, now: Instant, *, not_counted: bool) -> None:
    if known.state not in ("rejected", "quarantined"):
        raise _not_failed()
    if now - known.occurred_at > OLDEST:
        raise Conflict("Stripe counts nothing that is more than 35 days old", code="METER_EVENT_TOO_OLD")
    if known.state == "quarantined" and not not_counted:
        raise Conflict("Stripe may have counted the event", code="METER_EVENT_IN_DOUBT")


def _not_failed() -> Conflict:
    return Conflict("The meter event did not fail", code="METER_EVENT_NOT_FAILED")


def note_errors(core: Core, tx: Transaction, facts: Mapping[str, object]) -> Sequence[MeterEventRow]:
    """Note which events Stripe did not count after it took them, as far as its report names them; gives these.

    A report gives at most five examples of each error; its counts are handed to hooks with it. What was taken back
    meanwhile needs no counting, and is canceled.
    """
    now = core.now()
    rejected: list[MeterEventRow] = []
    for identifier, code in _samples(facts):
        if not tx.meter_events.reject(identifier, code):
            continue
        taken_back = tx.meter_events.get(f"{CANCEL}{identifier}")
        if taken_back is not None:
            tx.meter_events.retire(identifier, code)
            _drop(tx, taken_back, code)
            continue
        known = tx.meter_events.get(identifier)
        if known is not None:
            tell_hooks(core, tx, known, now)
            rejected.append(known)
    return rejected


def _drop(tx: Transaction, row: MeterEventRow, note: str) -> None:
    """Cancel an event that has nothing to do any more, sent or not."""
    if not tx.meter_events.amend(row.identifier, row.value, 0) and tx.meter_events.reject(row.identifier, note):
        tx.meter_events.retire(row.identifier, note)


def _samples(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The identifiers of a report's examples, each with the code of its error."""
    for each in entries(members(facts.get("reason")).get("error_types")):
        kind = members(each)
        code = text(kind.get("code")) or "unknown"
        for sample in entries(kind.get("sample_errors")):
            named = text(members(members(sample).get("request")).get("identifier"))
            if named:
                # Stripe names the request: by its idempotency key, or by the identifier that was in it.
                yield (named.removeprefix(KEY).rpartition("/")[0] if named.startswith(KEY) else named), code
