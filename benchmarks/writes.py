"""The rows that one `track` writes, as plain statements."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

from attrs import field, frozen
from sqlalchemy import Table

from kernia_billing.storage import tables

from .drivers import Cursor
from .shop import Seed, Shop

_LOCK = "UPDATE billing_customer SET ledger_seq = ledger_seq + 1 WHERE id = {customer} RETURNING ledger_seq AS seq"
_DRAW = "UPDATE billing_bucket SET used = used + 1 WHERE id = {bucket} RETURNING used"
_VARYING = ("customer", "bucket", "event", "key", "seq", "used")
_EVENT = {"id": "event", "customer_id": "customer", "seq": "seq", "idempotency_key": "key"}
_LINE = {"customer_id": "customer", "seq": "seq", "bucket_id": "bucket", "used_after": "used", "event_id": "event"}


@frozen
class Writes:
    """One use as four statements: the customer's sequence, the bucket, the event and its ledger line."""

    event: Mapping[str, object] = field(repr=False)
    line: Mapping[str, object] = field(repr=False)

    @classmethod
    def like(cls, one: Seed) -> Writes:
        """The writes that left the seed's rows, as long as those in every column."""
        return cls(one.stored(tables.usage_event), one.stored(tables.ledger))

    def statements(self, known: Mapping[str, str], constant: Callable[[str, object], str]) -> Sequence[str]:
        """The statements; `known` says how the values that differ are written, `constant` writes the others."""
        return (
            _LOCK.format(**known),
            _DRAW.format(**known),
            _insert(tables.usage_event, self.event, _EVENT, known, constant),
            _insert(tables.ledger, self.line, _LINE, known, constant),
        )


def _insert(
    table: Table,
    row: Mapping[str, object],
    varying: Mapping[str, str],
    known: Mapping[str, str],
    constant: Callable[[str, object], str],
) -> str:
    columns = [column.name for column in table.columns]
    values = [
        known[varying[each]] if each in varying else constant(f"{table.name}_{each}", row[each]) for each in columns
    ]
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join(values)})"  # noqa: S608 - names of ours


def sqlite_track(shop: Shop, cursor: Cursor) -> Callable[[int], None]:
    """Counts one unit for the customer of a number, in one transaction."""
    constants: dict[str, object] = {}

    def constant(name: str, value: object) -> str:
        constants[name] = value
        return f":{name}"

    lock, draw, event, line = Writes.like(shop.seed).statements({name: f":{name}" for name in _VARYING}, constant)
    customer, bucket = shop.seed.one(tables.customer)["id"], shop.seed.one(tables.bucket)["id"]

    def track(number: int) -> None:
        unique = _time_ordered()
        values = {"event": f"use_{unique}", "key": f"auto_{unique}"}
        values |= {"customer": f"{customer}_{number}", "bucket": f"{bucket}_{number}"}
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute(lock, values)
        ((seq,),) = cursor.fetchall()
        cursor.execute(draw, values)
        ((used,),) = cursor.fetchall()
        written = {**constants, **values, "seq": seq, "used": used}
        cursor.execute(event, written)
        cursor.execute(line, written)
        cursor.execute("COMMIT")

    return track


def _time_ordered() -> str:
    """An identifier that rises with time, as the library's do, so that it lands at the end of an index too."""
    return f"{time.time_ns():016x}{os.urandom(5).hex()}"
