"""Instants: the one form in which the engine and every stored row keep time.

An `Instant` is a whole number of microseconds since 1970-01-01T00:00:00Z. It compares, adds and stores the same on
every database, and fits a JSON number exactly.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ..errors import InvalidInput

Instant = int
"""UTC microseconds since 1970-01-01T00:00:00Z."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

FARTHEST_WAIT = DAY
"""Nothing that is worked on, or tried again, waits longer than this: a later time was noted by a clock that went wrong,
and counts as come."""

FOREVER: Instant = 2**53 - 1
"""Never: later than every real instant. The largest integer that a JSON number holds exactly (the year 2255)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)


def to_instant(value: datetime, field: str = "datetime") -> Instant:
    """The instant of an aware datetime, exact to the microsecond.

    Raises:
        InvalidInput: not a datetime, a naive one, or one outside of the years 1685 to 2255.
    """
    if not isinstance(value, datetime):
        raise InvalidInput("must be a datetime", field=field)
    if value.utcoffset() is None:
        raise InvalidInput("must be an aware datetime: give it a tzinfo, such as datetime.UTC", field=field)
    since = value - _EPOCH
    return _bounded((since.days * 86_400 + since.seconds) * SECOND + since.microseconds, field)


def to_datetime(instant: Instant) -> datetime:
    """The aware UTC datetime of an instant. `FOREVER` has none: see `to_datetime_or_none`.

    Raises:
        ValueError: the instant is `FOREVER`.
    """
    if instant == FOREVER:
        raise ValueError("FOREVER is not a date")
    return _EPOCH + timedelta(microseconds=instant)


@lru_cache(maxsize=10_000)
def to_datetime_or_none(instant: Instant) -> datetime | None:
    """The aware UTC datetime of an instant, or None for `FOREVER`: the form that public answers have."""
    return None if instant == FOREVER else _EPOCH + timedelta(microseconds=instant)


def from_seconds(seconds: int, field: str = "timestamp") -> Instant:
    """The instant of a Unix time in whole seconds, which is how Stripe writes time.

    Raises:
        InvalidInput: not an `int` (a bool, float or text is refused), or outside of the years 1685 to 2255.
    """
    if type(seconds) is not int:
        raise InvalidInput("must be a whole number of seconds", field=field)
    return _bounded(seconds * SECOND, field)


def to_iso_ms(instant: Instant) -> str:
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`, with exactly three digits, cut rather than rounded.

    The form that `Date.prototype.toISOString` writes and that browser clients turn back into a `Date`.
    """
    return (_NAIVE_EPOCH + timedelta(microseconds=instant)).isoformat(timespec="milliseconds") + "Z"


def _bounded(instant: Instant, field: str) -> Instant:
    if not -FOREVER < instant < FOREVER:
        raise InvalidInput("must be between the years 1685 and 2255", field=field)
    return instant
