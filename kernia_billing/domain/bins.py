"""Time in equal pieces of the calendar: the hours, days and months of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import gcd
from typing import Literal
from zoneinfo import ZoneInfo

from .instants import DAY, HOUR, Instant
from .period import Interval, calendar_anchor, period_at, time_zone

Bin = Literal["hour", "day", "month"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def edges(bin: Bin, start: Instant, end: Instant, tz: str, most: int) -> list[Instant]:
    """Where the pieces begin that have a part in [start, end), and where the last of them ends.

    `most` pieces at the most are found, and one more where there are more. An hour is one on the clocks of the zone: it
    is shorter where they are moved by half of one.

    Raises:
        InvalidInput: there is no such time zone.
    """
    if bin == "hour":
        zone = ZoneInfo(time_zone(tz, "tz"))
        found = [start - (start + _offset(start, zone)) % HOUR]
        while found[-1] < end and len(found) <= most + 1:
            found.append(found[-1] + HOUR - (found[-1] + _offset(found[-1], zone)) % HOUR)
        return found
    interval = Interval(bin)
    time_zone(tz, "tz")
    anchor = calendar_anchor(interval, start, tz)
    period = period_at(anchor, start, interval, tz)
    found = [period.start, period.end]
    while found[-1] < end and len(found) <= most + 1:
        found.append(period_at(anchor, found[-1], interval, tz).end)
    return found


def grain(found: list[Instant]) -> int:
    """The longest time, a day at most, that every edge is a multiple of: in any zone a quarter of an hour."""
    return gcd(DAY, *found)


def _offset(instant: Instant, zone: ZoneInfo) -> int:
    offset = (_EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND
