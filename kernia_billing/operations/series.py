"""How much was used over time: sums that the database makes, put into the calendar of a time zone."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import get_args

from ..domain.answers import UsagePoint
from ..domain.bins import Bin, edges, grain
from ..domain.ids import feature_key, property_key
from ..domain.instants import DAY, Instant, to_datetime, to_instant
from ..domain.period import time_zone
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core

MOST_BINS = 10_000
MOST_GROUPS = 1_000
"""So many pieces of time, and so many different values of a property, one answer tells of at most."""
_LAST: dict[Bin, Instant] = {"hour": DAY, "day": 30 * DAY, "month": 365 * DAY}

_Sums = Iterable[tuple[Instant, str | None, int]]


async def usage_series(
    core: Core,
    reference: Ref,
    feature: str,
    *,
    bin: Bin = "day",
    start: datetime | None = None,
    end: datetime | None = None,
    tz: str = "UTC",
    group_by: str | None = None,
) -> Sequence[UsagePoint]:
    """What was used with start ≤ occurred_at < end, for each piece of time and value of the property `group_by`.

    It is net: what was refunded counts no longer where it was used, what was given back counts against the time of
    giving back. Raises what the facade tells.
    """
    who = core.reference(reference)
    key = core.offer.feature(feature_key(feature)).key
    if bin not in get_args(Bin):
        raise InvalidInput("must be 'hour', 'day' or 'month'", field="bin")
    time_zone(tz, "tz")
    name = None if group_by is None else property_key(group_by, "group_by")
    until = core.now() + 1 if end is None else to_instant(end, field="end")
    since = until - _LAST[bin] if start is None else to_instant(start, field="start")
    if until <= since:
        raise InvalidInput("must be after start", field="end")
    found = edges(bin, since, until, tz, MOST_BINS)
    if len(found) > MOST_BINS + 1:
        raise InvalidInput(f"lies more than {MOST_BINS} {bin}s before end", field="start")

    def read(tx: Transaction) -> tuple[Sequence[Instant], _Sums]:
        customer = tx.customers.get(who)
        if customer is None:
            return found, ()
        horizon = tx.horizons.get(customer.id)
        begin = since if horizon is None else max(since, min(horizon.kept_from, until - 1))
        if start is not None and since < begin:
            first = f"{to_datetime(begin):%Y-%m-%d %H:%MZ}"
            raise InvalidInput(f"lies before {first}: older uses were thrown away", field="start")
        told = found if begin == since else edges(bin, begin, until, tz, MOST_BINS)
        most = MOST_GROUPS * len(told)
        rows = tx.history.sums(customer.id, key, begin, until, grain(told), name, most + 1)
        if len(rows) > most:
            raise InvalidInput(f"has more than {MOST_GROUPS} values", field="group_by")
        return told, rows

    return _points(*await core.store.read(read))


def _points(found: Sequence[Instant], sums: _Sums) -> Sequence[UsagePoint]:
    """A point for every piece of time and every group, those without use too."""
    totals: dict[tuple[Instant, str | None], int] = {}
    for at, value, quantity in sums:
        place = found[bisect_right(found, at) - 1], _group(value)
        totals[place] = totals.get(place, 0) + quantity
    groups = sorted({group for _, group in totals}, key=lambda group: (group is None, group or "")) or [None]
    if len(groups) > MOST_GROUPS:
        raise InvalidInput(f"has more than {MOST_GROUPS} values", field="group_by")
    return tuple(
        UsagePoint(to_datetime(begin), totals.get((begin, group), 0), group) for begin in found[:-1] for group in groups
    )


def _group(value: str | None) -> str | None:
    """The text of a value that is JSON: of a text itself, of a number its digits, of a boolean true or false."""
    read: object = None if value is None else json.loads(value)
    return read if read is None or isinstance(read, str) else str(value)
