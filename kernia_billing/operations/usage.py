"""The recorded uses, listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..domain.answers import Page, UsageEvent
from ..domain.grants import UsageRow
from ..domain.ids import Property, event_properties, feature_key, quantity
from ..domain.instants import Instant, to_datetime, to_instant
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core

MAX_PAGE = 200


async def page(
    core: Core,
    reference: Ref,
    feature: str | None = None,
    *,
    properties: Mapping[str, Property] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[UsageEvent]:
    """One page of the uses with start ≤ occurred_at < end, newest first. `limit` is 1 to 200.

    What was given back is listed with a negative quantity. With `properties`, those that have all of these.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    who = core.reference(reference)
    key = None if feature is None else core.offer.feature(feature_key(feature)).key
    wanted = event_properties(properties) or None
    quantity(limit, "limit", maximum=MAX_PAGE)
    since = None if start is None else to_instant(start, field="start")
    until = None if end is None else to_instant(end, field="end")
    before = None if cursor is None else _position(cursor)

    def read(tx: Transaction) -> list[UsageRow]:
        customer = tx.customers.get(who)
        if customer is None:
            return []
        return list(
            tx.usage.page(
                customer.id,
                feature=key,
                properties=wanted,
                start=since,
                end=until,
                limit=limit + 1,
                before=before,
            )
        )

    rows = await core.store.read(read)
    shown = rows[:limit]
    following = f"{shown[-1].occurred_at}.{shown[-1].id}" if len(rows) > limit else None
    return Page(tuple(map(listed, shown)), following)


def _position(cursor: str) -> tuple[Instant, str]:
    when, _, event_id = cursor.partition(".")
    if not (when.isascii() and when.isdigit() and len(when) <= 16 and 0 < len(event_id) <= 64 and event_id.isascii()):
        raise InvalidInput("must be a nextCursor that was given out", field="cursor")
    return int(when), event_id


def listed(row: UsageRow) -> UsageEvent:
    """A use as its owner sees it."""
    return UsageEvent(row.id, row.feature, row.quantity, to_datetime(row.occurred_at), row.properties, row.mode)
