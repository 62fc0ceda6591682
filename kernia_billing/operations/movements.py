"""The ledger of a reference, listed: what moved, what gave it, and what it was for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import get_args

from ..domain.answers import LedgerEntry, Page
from ..domain.grants import Entry, Movement, Source
from ..domain.ids import MAX_INTEGER, Property, event_properties, feature_key, quantity
from ..domain.instants import to_datetime, to_instant
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core
from .writes import last_write

MAX_PAGE = 200


async def page(
    core: Core,
    reference: Ref,
    feature: str | None = None,
    *,
    source: Source | None = None,
    entry: Entry | None = None,
    properties: Mapping[str, Property] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[LedgerEntry]:
    """One page of the movements with start ≤ at < end, newest first. `limit` is 1 to 200.

    A page is found by its place in the ledger, so that what is written meanwhile moves none of the others.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    who = core.reference(reference)
    key = None if feature is None else core.offer.feature(feature_key(feature)).key
    _one_of(source, get_args(Source), "source")
    _one_of(entry, get_args(Entry), "entry")
    wanted = event_properties(properties) or None
    quantity(limit, "limit", maximum=MAX_PAGE)
    since = None if start is None else to_instant(start, field="start")
    until = None if end is None else to_instant(end, field="end")
    before = (MAX_INTEGER, 0) if cursor is None else _position(cursor)

    def read(tx: Transaction) -> Sequence[Movement]:
        customer = tx.customers.get(who)
        if customer is None:
            return ()
        first = 0 if since is None else last_write(tx, customer, since - 1)
        last = before if until is None else min(before, (last_write(tx, customer, until - 1) + 1, 0))
        return tx.usage.movements(
            customer.id,
            feature=key,
            source=source,
            entry=entry,
            properties=wanted,
            first=first,
            before=last,
            limit=limit + 1,
        )

    rows = await core.store.read(read)
    shown = tuple(map(_entry, rows[:limit]))
    return Page(shown, shown[-1].id if len(rows) > limit else None)


def _one_of(value: object, known: Sequence[str], field: str) -> None:
    if value is not None and value not in known:
        raise InvalidInput(f"must be one of {', '.join(known)}", field=field)


def _position(cursor: str) -> tuple[int, int]:
    seq, _, line = cursor.partition(".")
    if not all(each.isascii() and each.isdigit() and len(each) <= 15 for each in (seq, line)):
        raise InvalidInput("must be a next_cursor that was given out", field="cursor")
    return int(seq), int(line)


def _entry(row: Movement) -> LedgerEntry:
    line = row.line
    return LedgerEntry(
        id=f"{line.seq}.{line.line}",
        at=to_datetime(line.moved_at),
        entry=line.entry,
        source=row.source,
        feature=row.feature,
        entity=row.entity or None,
        amount=line.amount,
        held=line.held,
        units=line.units,
        used_after=line.used_after,
        held_after=line.held_after,
        included_after=line.included_after,
        grant_id=row.grant_id,
        event_id=line.event_id or None,
        properties=row.properties or {},
    )
