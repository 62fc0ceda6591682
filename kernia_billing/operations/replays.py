"""Stored events: looked at, and worked on once more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import get_args

from ..domain.answers import Page, Receipt, WebhookEvent, WebhookHealth
from ..domain.ids import quantity
from ..domain.instants import SECOND, Instant, to_datetime, to_instant
from ..domain.webhooks import InboxRow, InboxStatus
from ..errors import InvalidInput, NotFound
from ..ports.mirror import Position
from ..ports.store import Transaction
from .audit import Facts, record
from .core import Core
from .inbox import process
from .outbox import dispatch

MAX_PAGE = 200
_STATUSES: tuple[InboxStatus, ...] = get_args(InboxStatus)
_WAITING = ("received", "processing", "failed")
_UNDONE: tuple[InboxStatus, ...] = ("dead", "failed")
_TYPE = re.compile(r"[a-z0-9_.]{0,249}(?:\*|[a-z0-9_.])")
_BATCH = 100


async def replay(core: Core, event_id: str) -> Receipt:
    """Work on one stored event once more, now. Its object is fetched anew; hooks hear of changes, not of the event.

    Raises:
        NotFound: no such event is stored (EVENT_NOT_FOUND).
        Whatever the handler raised, after it was noted with the event.
    """
    if not isinstance(event_id, str):
        raise InvalidInput("must be the id of an event", field="event_id")
    now = core.now()

    def unit(tx: Transaction) -> bool:
        row = tx.inbox.get("", event_id)
        if row is None:
            return False
        _put_back(core, tx, row, "webhook.replayed", now)
        return True

    if not await core.store.transaction(unit):
        raise NotFound("No such event was received", code="EVENT_NOT_FOUND")
    receipt = await process(core, "", event_id)
    await dispatch(core)
    return receipt


async def replay_range(
    core: Core,
    *,
    types: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str | None = None,
) -> int:
    """Put stored events back into the queue, for `jobs.run` to work on; says how many.

    Those received with since ≤ received_at < until, of these types (one that ends in `*` stands for all that begin so)
    and with this status; all where nothing is said. What waits, or is worked on, is left as it is.

    Raises:
        InvalidInput: a value is out of range; nothing was changed.
    """
    asked = None if status is None else _status(status)
    begin, end = _window(since, until)
    wanted = [None] if types is None else [_type(each, "types") for each in _texts(types)]
    return sum([await _requeue(core, "webhook.replayed", asked, kind, begin, end) for kind in wanted])


def _put_back(core: Core, tx: Transaction, row: InboxRow, action: str, now: Instant) -> bool:
    """Put one event back into the queue, and note who wanted it; nothing where it waits already."""
    if not tx.inbox.requeue(row.account, row.event_id, now):
        return False
    before: Facts = {"type": row.type, "status": row.status, "attempts": row.attempts}
    record(tx, core, action, "", row.event_id, before, {"type": row.type, "status": "received", "attempts": 0})
    return True


async def _requeue(
    core: Core,
    action: str,
    status: InboxStatus | None,
    kind: str | None,
    since: Instant | None = None,
    until: Instant | None = None,
) -> int:
    """Put back what is listed, page by page, each in a transaction of its own."""
    now = core.now()
    after: Position | None = None
    moved = 0
    while True:

        def unit(tx: Transaction, after: Position | None = after) -> tuple[Sequence[InboxRow], int]:
            rows = tx.inbox.list(status=status, type=kind, since=since, until=until, limit=_BATCH, after=after)
            return rows, sum(_put_back(core, tx, row, action, now) for row in rows)

        rows, number = await core.store.transaction(unit)
        moved += number
        if len(rows) < _BATCH:
            return moved
        after = (rows[-1].received_at, rows[-1].event_id)


async def retry(core: Core, event_id: str | None = None) -> int:
    """Put what failed, dead or not, back into the queue with no attempt made; one event, or all; says how many.

    Raises:
        NotFound: no such event is stored (EVENT_NOT_FOUND).
    """
    if event_id is None:
        return sum([await _requeue(core, "webhook.retried", each, None) for each in _UNDONE])
    now = core.now()

    def unit(tx: Transaction) -> int | None:
        row = tx.inbox.get("", event_id)
        if row is None:
            return None
        return int(row.status in _UNDONE and _put_back(core, tx, row, "webhook.retried", now))

    moved = await core.store.transaction(unit)
    if moved is None:
        raise NotFound("No such event was received", code="EVENT_NOT_FOUND")
    return moved


async def page(
    core: Core,
    *,
    status: str | None = None,
    type: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[WebhookEvent]:
    """One page of the stored events with since ≤ received_at < until, newest first. `limit` is 1 to 200.

    A `type` that ends in `*` stands for all that begin so.

    Raises:
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    quantity(limit, "limit", maximum=MAX_PAGE)
    asked = None if status is None else _status(status)
    kind = None if type is None else _type(type, "type")
    begin, end = _window(since, until)
    after = None if cursor is None else _position(cursor)
    rows = await core.store.read(
        lambda tx: tx.inbox.list(status=asked, type=kind, since=begin, until=end, limit=limit + 1, after=after)
    )
    shown = rows[:limit]
    following = f"{shown[-1].received_at}.{shown[-1].event_id}" if len(rows) > limit else None
    return Page(tuple(_event(row) for row in shown), following)


async def health(core: Core) -> WebhookHealth:
    """How webhooks are doing: what waits and for how long, and what failed. One look at the database."""
    now = core.now()
    told, (unheard, oldest) = await core.store.read(lambda tx: (tx.inbox.health(now), tx.outbox.lag(now)))
    return WebhookHealth(
        last_received_at=_when(told.last_received_at),
        last_processed_at=_when(told.last_processed_at),
        waiting=sum(told.counts.get(each, 0) for each in _WAITING),
        lag_seconds=_seconds_since(told.oldest_waiting_at, now),
        dead=told.counts.get("dead", 0),
        unmatched=told.counts.get("unmatched", 0),
        failures_last_day=told.failures_last_day,
        counts=told.counts,
        hooks_waiting=unheard,
        hooks_lag_seconds=_seconds_since(oldest, now),
    )


def _event(row: InboxRow) -> WebhookEvent:
    return WebhookEvent(
        id=row.event_id,
        type=row.type,
        status=row.status,
        source=row.source,
        object=row.object_kind,
        object_id=row.object_id,
        attempts=row.attempts,
        error=row.note,
        created_at=to_datetime(row.created_at),
        received_at=to_datetime(row.received_at),
        next_attempt_at=to_datetime(row.lease_until) if row.status == "failed" else None,
    )


def _when(instant: Instant | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)


def _seconds_since(instant: Instant | None, now: Instant) -> int:
    return 0 if instant is None else max(now - instant, 0) // SECOND


def _window(since: datetime | None, until: datetime | None) -> tuple[Instant | None, Instant | None]:
    begin = None if since is None else to_instant(since, "since")
    return begin, None if until is None else to_instant(until, "until")


def _status(value: str) -> InboxStatus:
    for each in _STATUSES:
        if value == each:
            return each
    raise InvalidInput(f"must be one of {', '.join(_STATUSES)}", field="status")


def _texts(value: Sequence[str]) -> Sequence[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidInput("must be a list of types", field="types")
    return list(dict.fromkeys(value))


def _type(value: str, field: str) -> str:
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        raise InvalidInput("must be a type of events, such as invoice.paid or invoice.*", field=field)
    return value


def _position(cursor: str) -> Position:
    when, _, event_id = cursor.partition(".")
    if not (when.isascii() and when.isdigit() and len(when) <= 16 and event_id.startswith("evt_")):
        raise InvalidInput("must be a next_cursor that was given out", field="cursor")
    return int(when), event_id
