"""The simulator's clock: frozen until somebody moves it, or running from where it was set."""

from __future__ import annotations

import calendar
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_START = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
"""Where a simulator begins that was given no time: the middle of a month, so that no test depends on today's date."""


class SimulatedClock:
    """Tells UTC microseconds; `now()` is what the library under test reads, `seconds()` what Stripe's objects carry."""

    def __init__(self, start: datetime, *, ticking: bool = False) -> None:
        self._micros = to_micros(start)
        self._ticking = ticking
        self._set_at = time.monotonic()

    @classmethod
    def at(cls, seconds: int) -> SimulatedClock:
        """A clock that stands at that UTC second."""
        return cls(_EPOCH + timedelta(seconds=seconds))

    def now(self) -> int:
        """UTC microseconds since 1970."""
        elapsed = int((time.monotonic() - self._set_at) * 1_000_000) if self._ticking else 0
        return self._micros + elapsed

    def monotonic(self) -> float:
        """Seconds for measuring spans; moves with `now()`."""
        return self.now() / 1_000_000

    def seconds(self) -> int:
        """UTC seconds since 1970, rounded down, as Stripe's timestamps are."""
        return self.now() // 1_000_000

    def datetime(self) -> datetime:
        """The current instant, aware."""
        return _EPOCH + timedelta(microseconds=self.now())

    def move_to(self, seconds: int) -> None:
        """Set the clock to that UTC second. It never goes back."""
        micros = max(self.now(), seconds * 1_000_000)
        self._micros, self._set_at = micros, time.monotonic()


def to_micros(moment: datetime) -> int:
    """UTC microseconds of an aware datetime.

    Raises:
        ValueError: the datetime is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("now: give an aware datetime, for example datetime(2026, 3, 1, tzinfo=UTC)")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def add_months(seconds: int, months: int) -> int:
    """The same day and time of day `months` later, or the month's last day where that day does not exist."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return int(moment.replace(year=year, month=month + 1, day=day).timestamp())


def add_interval(seconds: int, interval: str, count: int) -> int:
    """`count` billing intervals after `seconds`; `interval` is day, week, month or year."""
    if interval in ("day", "week"):
        return seconds + count * (86_400 if interval == "day" else 7 * 86_400)
    return add_months(seconds, count * (12 if interval == "year" else 1))


def period_after(anchor: int, interval: str, count: int, moment: int) -> tuple[int, int]:
    """The billing period that holds `moment`: starts are counted from the anchor, so that the 31st comes back.

    The anchor may lie in the future: the periods before it end where those after it begin.
    """
    index = 0
    while add_interval(anchor, interval, index * count) > moment:
        index -= 1
    while add_interval(anchor, interval, (index + 1) * count) <= moment:
        index += 1
    return add_interval(anchor, interval, index * count), add_interval(anchor, interval, (index + 1) * count)
