"""Everything that is recorded of uses, page by page, for other systems."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..domain.answers import Page, UsageRecord
from ..domain.grants import UsageRow
from ..domain.ids import Property, event_properties, feature_key, quantity
from ..domain.instants import FOREVER, to_datetime, to_instant
from ..domain.references import Ref, Reference
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core

MAX_PAGE = 5_000


async def page(
    core: Core,
    reference: Ref | None = None,
    *,
    feature: str | None = None,
    properties: Mapping[str, Property] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 1_000,
    cursor: str | None = None,
) -> Page[UsageRecord]:
    """One page of the uses with start ≤ occurred_at < end, customer by customer, each in the order of recording.

    With `properties`, those that have all of these.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    who = None if reference is None else core.reference(reference)
    key = None if feature is None else core.offer.feature(feature_key(feature)).key
    wanted = event_properties(properties) or None
    quantity(limit, "limit", maximum=MAX_PAGE)
    since = -FOREVER if start is None else to_instant(start, field="start")
    until = FOREVER if end is None else to_instant(end, field="end")
    after = ("", 0) if cursor is None else _position(cursor)

    def read(tx: Transaction) -> list[tuple[Reference, UsageRow]]:
        customer = None if who is None else tx.customers.get(who)
        if who is not None and customer is None:
            return []
        customer_id = None if customer is None else customer.id
        if customer_id is not None and after[0] not in ("", customer_id):
            raise _not_ours()
        found = tx.history.export(
            customer_id=customer_id,
            feature=key,
            properties=wanted,
            start=since,
            end=until,
            after=after,
            limit=limit + 1,
        )
        return list(found)

    rows = await core.store.read(read)
    shown = rows[:limit]
    following = f"{shown[-1][1].customer_id}.{shown[-1][1].seq}" if len(rows) > limit else None
    return Page(tuple(_record(who, row) for who, row in shown), following)


def _position(cursor: str) -> tuple[str, int]:
    customer_id, _, seq = cursor.rpartition(".")
    if not (
        seq.isascii() and seq.isdigit() and len(seq) <= 16 and 0 < len(customer_id) <= 64 and customer_id.isascii()
    ):
        raise _not_ours()
    return customer_id, int(seq)


def _not_ours() -> InvalidInput:
    return InvalidInput("must be a next_cursor that was given out", field="cursor")


def _record(reference: Reference, row: UsageRow) -> UsageRecord:
    return UsageRecord(
        id=row.id,
        reference=reference,
        feature=row.feature,
        entity=row.entity or None,
        quantity=row.quantity,
        funded=row.funded,
        unfunded=row.unfunded,
        refunded=row.refunded,
        mode=row.mode,
        refund_of=row.refund_of or None,
        hold_id=row.hold_id or None,
        idempotency_key=row.idempotency_key,
        occurred_at=to_datetime(row.occurred_at),
        received_at=to_datetime(row.received_at),
        properties=row.properties,
    )
