"""Periods: anchored, half-open stretches of time that tile it without gap or overlap.

Every boundary is counted from the anchor, never from the boundary before it: a month that starts on the 31st falls on
the 28th in February and on the 31st again in March, as Stripe's `billing_cycle_anchor` does. No boundary depends on
when it was asked for.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from attrs import frozen

from ..errors import InvalidInput
from .instants import DAY, HOUR, Instant
from .plans import Reset

Unit = Literal["hour", "day", "week", "month", "year"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_FIXED: dict[str, int] = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
_MONTHS: dict[str, int] = {"month": 1, "year": 12}
_MEAN_MONTH = 2_629_746 * 1_000_000
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MAX_COUNT = 1_000
_UTC_NAMES = frozenset({"UTC", "Etc/UTC"})


@frozen
class Interval:
    """How long a period is: `count` times `unit`. A quarter is three months."""

    unit: Unit
    count: int = 1

    def __attrs_post_init__(self) -> None:
        if self.unit not in _FIXED and self.unit not in _MONTHS:
            raise InvalidInput("must be one of hour, day, week, month, year", field="interval")
        if type(self.count) is not int or not 1 <= self.count <= _MAX_COUNT:
            raise InvalidInput(f"must be between 1 and {_MAX_COUNT}", field="interval_count")


@frozen
class Period:
    """One period: `start <= instant < end`. `number` counts from the one that starts at the anchor, which is 0."""

    number: int
    start: Instant
    end: Instant


@frozen
class Rhythm:
    """An endless row of periods: its anchor, how long each is, and the time zone whose wall clock it follows."""

    anchor: Instant
    interval: Interval
    timezone: str = "UTC"

    def start(self, number: int) -> Instant:
        """When period `number` starts, which is when the one before it ends."""
        return boundary(self.anchor, number, self.interval, self.timezone)

    def period(self, now: Instant) -> Period:
        """The period that `now` lies in."""
        return period_at(self.anchor, now, self.interval, self.timezone)


_RESETS: dict[str, Interval | None] = {
    "hour": Interval("hour"),
    "day": Interval("day"),
    "week": Interval("week"),
    "month": Interval("month"),
    "quarter": Interval("month", 3),
    "year": Interval("year"),
    "never": None,
}


def interval_of(reset: Reset) -> Interval | None:
    """The interval of a plan's `reset`; None for "never".

    Raises:
        InvalidInput: there is no such reset.
    """
    try:
        return _RESETS[reset]
    except (KeyError, TypeError):
        raise InvalidInput(f"must be one of {', '.join(_RESETS)}", field="reset") from None


def time_zone(name: object, field: str = "timezone") -> str:
    """The name of a time zone in the IANA database, such as `Europe/Berlin`, as it was given.

    Raises:
        InvalidInput: not a text, or no such zone.
    """
    if not isinstance(name, str):
        raise InvalidInput("must be a text", field=field)
    _zone(name, field)
    return name


def boundary(anchor: Instant, n: int, interval: Interval, tz: str = "UTC") -> Instant:
    """The instant at which period `n` starts (and period `n - 1` ends), counted from the anchor; `n` may be negative.

    Hours are absolute. Days, weeks, months and years move the wall clock of `tz`, and a month too short for the
    anchor's day ends it on its last day. A wall clock time that a change of the clocks skips moves forward by what was
    skipped; one that occurs twice is the first.

    Raises:
        InvalidInput: there is no such time zone.
    """
    if n == 0:
        return anchor
    return _boundary(anchor, n * interval.count, interval.unit, tz)


@lru_cache(maxsize=10_000)
def _boundary(anchor: Instant, steps: int, unit: Unit, tz: str) -> Instant:
    if unit == "hour":
        return anchor + steps * HOUR
    zone = _zone(tz)
    if zone is not None:
        return _to_instant(_add(_to_wall(anchor, zone), steps, unit), zone)
    if unit in _FIXED:
        return anchor + steps * _FIXED[unit]
    return _add_months(anchor, steps * _MONTHS[unit])


def period_at(anchor: Instant, now: Instant, interval: Interval, tz: str = "UTC") -> Period:
    """The period that `now` lies in: the number is estimated and then corrected, in constant time.

    Raises:
        InvalidInput: there is no such time zone.
    """
    period = _stretch(anchor, (now - anchor) // _mean_length(interval), interval, tz)
    while period.start > now:
        period = _stretch(anchor, period.number - 1, interval, tz)
    while period.end <= now:
        period = _stretch(anchor, period.number + 1, interval, tz)
    return period


@lru_cache(maxsize=4096)
def _stretch(anchor: Instant, number: int, interval: Interval, tz: str) -> Period:
    """The period of a number. The same few are asked for over and over, by every use of a customer."""
    return Period(number, boundary(anchor, number, interval, tz), boundary(anchor, number + 1, interval, tz))


def calendar_anchor(interval: Interval, now: Instant, tz: str = "UTC") -> Instant:
    """An anchor at or before `now` whose periods follow the calendar of `tz`.

    They start with the hour, the day, the ISO week (Monday), the month, the quarter (three months) or the year. It is
    the start of the current one, or an earlier one where the clocks skipped that start (some zones change at midnight),
    so that later periods start on time again. Whatever `now` is, the boundaries are the same (hours in a zone whose
    offset changes by less than an hour excepted, since hours are absolute).

    Raises:
        InvalidInput: there is no such time zone.
    """
    zone = _zone(tz)
    if interval.unit == "hour":
        offset = 0 if zone is None else _offset(now, zone)
        return (now + offset) // (interval.count * HOUR) * (interval.count * HOUR) - offset
    wall = _floor(_to_wall(now, zone or UTC), interval)
    while True:
        anchor = _to_instant(wall, zone or UTC)
        if anchor <= now and _to_wall(anchor, zone or UTC) == wall:
            return anchor
        wall = _add(wall, -interval.count, interval.unit)


@lru_cache(maxsize=1024)
def _zone(tz: str, field: str = "timezone") -> ZoneInfo | None:
    """The time zone, or None for UTC, which needs no table."""
    if tz in _UTC_NAMES:
        return None
    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        raise InvalidInput("must be the name of a time zone, such as Europe/Berlin", field=field) from None


def _mean_length(interval: Interval) -> int:
    fixed = _FIXED.get(interval.unit)
    return interval.count * (fixed if fixed is not None else _MONTHS[interval.unit] * _MEAN_MONTH)


def _days_in_month(year: int, month: int) -> int:
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return _MONTH_DAYS[month - 1]


def _shift(year: int, month: int, day: int, months: int) -> tuple[int, int, int]:
    year, index = divmod(year * 12 + month - 1 + months, 12)
    return year, index + 1, min(day, _days_in_month(year, index + 1))


def _add_months(anchor: Instant, months: int) -> Instant:
    days, time_of_day = divmod(anchor, DAY)
    start = date.fromordinal(days + _EPOCH_ORDINAL)
    moved = date(*_shift(start.year, start.month, start.day, months))
    return (moved.toordinal() - _EPOCH_ORDINAL) * DAY + time_of_day


def _add(wall: datetime, steps: int, unit: Unit) -> datetime:
    if unit in _MONTHS:
        year, month, day = _shift(wall.year, wall.month, wall.day, steps * _MONTHS[unit])
        return wall.replace(year=year, month=month, day=day)
    return wall + timedelta(days=7 * steps if unit == "week" else steps)


def _floor(wall: datetime, interval: Interval) -> datetime:
    """The start of the calendar's current interval, counted from fixed points: the year 0, Monday 1970-01-05."""
    today = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval.unit in _MONTHS:
        size = interval.count * _MONTHS[interval.unit]
        year, index = divmod((wall.year * 12 + wall.month - 1) // size * size, 12)
        return today.replace(year=year, month=index + 1, day=1)
    days = (today - _NAIVE_EPOCH).days
    if interval.unit == "week":
        return today - timedelta(days=(days - 4) % (7 * interval.count))
    return today - timedelta(days=days % interval.count)


def _to_wall(instant: Instant, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: Instant, zone: ZoneInfo) -> int:
    return (_to_wall(instant, zone) - _NAIVE_EPOCH) // _MICROSECOND - instant


def _to_instant(wall: datetime, zone: tzinfo) -> Instant:
    # With fold=0 a skipped time takes the offset before the gap, and an ambiguous one is the first (PEP 495).
    return (wall.replace(tzinfo=zone) - _EPOCH) // _MICROSECOND
