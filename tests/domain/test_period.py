"""Period arithmetic: the worked examples, and what must hold for every anchor, interval and time zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from dateutil import tz as dateutil_tz
from dateutil.relativedelta import relativedelta
from hypothesis import example, given
from hypothesis import strategies as st

from kernia_billing.domain.instants import DAY, HOUR, Instant, to_datetime, to_instant
from kernia_billing.domain.period import (
    Interval,
    Period,
    Unit,
    boundary,
    calendar_anchor,
    interval_of,
    period_at,
    time_zone,
)
from kernia_billing.domain.plans import Reset
from kernia_billing.errors import InvalidInput

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())["period"]
MONTH = Interval("month")

FIRST, LAST = to_instant(datetime(2000, 1, 1, tzinfo=UTC)), to_instant(datetime(2200, 1, 1, tzinfo=UTC))
instants = st.integers(FIRST, LAST)
units = st.sampled_from(get_args(Unit))
intervals = st.builds(Interval, units, st.integers(1, 12))
zones = st.sampled_from(
    [
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "Asia/Beirut",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Pacific/Apia",
        "Pacific/Chatham",
    ]
)


def at(text: str) -> Instant:
    """The instant that an ISO text means."""
    return to_instant(datetime.fromisoformat(text))


@pytest.mark.parametrize("vector", VECTORS, ids=[each["name"] for each in VECTORS])
def test_worked_examples(vector: dict[str, Any]) -> None:
    """Every boundary of the shared worked examples."""
    interval = Interval(vector["unit"], vector["count"])
    expected = {int(n): at(text) for n, text in vector["boundaries"].items()}

    assert expected == {n: boundary(at(vector["anchor"]), n, interval, vector["tz"]) for n in expected}


@pytest.mark.parametrize("vector", VECTORS, ids=[each["name"] for each in VECTORS])
def test_worked_examples_by_instant(vector: dict[str, Any]) -> None:
    """Each boundary of the examples is the first instant of its own period, and the last before it is not."""
    interval, anchor, tz = Interval(vector["unit"], vector["count"]), at(vector["anchor"]), vector["tz"]
    for n, text in vector["boundaries"].items():
        assert period_at(anchor, at(text), interval, tz).number == int(n)
        assert period_at(anchor, at(text) - 1, interval, tz).number == int(n) - 1


@pytest.mark.parametrize(
    ("now", "number"), [("2026-02-28T08:59:59Z", 0), ("2026-02-28T09:00:00Z", 1), ("2026-01-10T00:00:00Z", -1)]
)
def test_the_31st_monthly(now: str, number: int) -> None:
    """Periods are half open, and go on before the anchor."""
    assert period_at(at("2026-01-31T09:00:00Z"), at(now), MONTH).number == number


def test_the_period_before_the_anchor() -> None:
    """Its end is the anchor."""
    period = period_at(at("2026-01-31T09:00:00Z"), at("2026-01-10T00:00:00Z"), MONTH)

    assert Period(-1, at("2025-12-31T09:00:00Z"), at("2026-01-31T09:00:00Z")) == period


def test_leap_february() -> None:
    """The 31st falls on 29 February in a leap year."""
    anchor = at("2028-01-31T00:00:00Z")

    assert [at("2028-02-29T00:00:00Z"), at("2028-03-31T00:00:00Z")] == [boundary(anchor, n, MONTH) for n in (1, 2)]


def test_century_years_are_leap_by_the_gregorian_rule() -> None:
    """2100 has no 29 February, 2000 has."""
    assert at("2100-02-28T00:00:00Z") == boundary(at("2096-02-29T00:00:00Z"), 4, Interval("year"))
    assert at("2000-02-29T00:00:00Z") == boundary(at("1999-12-31T00:00:00Z"), 2, MONTH)


@pytest.mark.parametrize(
    ("anchor", "boundaries"),
    [
        ("2026-03-28T01:30:00Z", ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]),
        ("2026-10-24T00:30:00Z", ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    ],
    ids=["gap", "fold"],
)
def test_daily_at_half_past_two_in_berlin(anchor: str, boundaries: list[str]) -> None:
    """A skipped half past two moves to half past three, a doubled one is the first."""
    found = [boundary(at(anchor), n, Interval("day"), "Europe/Berlin") for n in range(3)]

    assert [at(each) for each in boundaries] == found


def test_a_monthly_quota_under_a_yearly_bill() -> None:
    """The quota has its own interval on the subscription's anchor; the bill renews a year on."""
    anchor = at("2026-01-31T10:00:00Z")

    assert [at(f"2026-{day}T10:00:00Z") for day in ("02-28", "03-31", "04-30")] == [
        boundary(anchor, n, MONTH) for n in (1, 2, 3)
    ]
    assert at("2027-01-31T10:00:00Z") == boundary(anchor, 1, Interval("year")) == boundary(anchor, 12, MONTH)


def test_hours_are_absolute() -> None:
    """An hour is an hour, also while the clocks change."""
    anchor = at("2026-03-29T00:30:00Z")

    assert anchor + 3 * HOUR == boundary(anchor, 3, Interval("hour"), "Europe/Berlin")


def test_an_anchor_in_the_second_of_two_equal_hours_stays() -> None:
    """Period 0 starts at the anchor itself, even where its wall clock time is ambiguous."""
    anchor = at("2026-10-25T01:30:00Z")

    assert Period(0, anchor, at("2026-10-26T01:30:00Z")) == period_at(anchor, anchor, Interval("day"), "Europe/Berlin")


@given(instants, instants, intervals, zones)
@example(at("2011-12-28T22:00:00Z"), at("2011-12-30T22:00:00Z"), Interval("day"), "Pacific/Apia")
def test_every_instant_lies_in_its_period(anchor: Instant, now: Instant, interval: Interval, tz: str) -> None:
    """The period found holds the instant, and its ends are the boundaries of its number."""
    period = period_at(anchor, now, interval, tz)

    assert period.start <= now < period.end
    assert boundary(anchor, period.number, interval, tz) == period.start
    assert boundary(anchor, period.number + 1, interval, tz) == period.end


@given(instants, st.integers(-2000, 2000), intervals, zones)
def test_periods_tile_time(anchor: Instant, n: int, interval: Interval, tz: str) -> None:
    """Boundaries never go back, so periods neither overlap nor leave a gap, and both ends find the period."""
    n //= interval.count * (12 if interval.unit == "year" else 1)
    start, end = boundary(anchor, n, interval, tz), boundary(anchor, n + 1, interval, tz)

    assert start <= end
    if start < end:
        assert (
            Period(n, start, end) == period_at(anchor, start, interval, tz) == period_at(anchor, end - 1, interval, tz)
        )


def test_a_day_that_never_was_is_an_empty_period() -> None:
    """Apia skipped 30 December 2011: both of its ends are one instant, and no instant lies in it."""
    anchor, day = at("2011-12-28T22:00:00Z"), Interval("day")
    ends = [boundary(anchor, n, day, "Pacific/Apia") for n in range(4)]

    assert [at(f"2011-12-{each}T22:00:00Z") for each in (28, 29, 30, 30)] == ends
    assert [0, 1, 3] == [period_at(anchor, each, day, "Pacific/Apia").number for each in (ends[0], ends[1], ends[2])]


@given(instants, st.integers(-600, 600), units)
def test_agrees_with_dateutil_in_utc(anchor: Instant, n: int, unit: Unit) -> None:
    """Adding n intervals to the anchor at once is what relativedelta does."""
    n = n // 12 if unit == "year" else n
    delta = {"hour": "hours", "day": "days", "week": "weeks", "month": "months", "year": "years"}[unit]
    moved = to_datetime(anchor) + relativedelta(**{delta: n})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - months or years

    assert to_instant(moved) == boundary(anchor, n, Interval(unit))


@given(instants, st.integers(-600, 600), st.sampled_from(["day", "week", "month", "year"]), zones)
def test_agrees_with_dateutil_on_the_wall_clock(anchor: Instant, n: int, unit: Unit, tz: str) -> None:
    """Moving the wall clock by relativedelta, and out of a gap by dateutil's own rule, gives the same instant."""
    n = n // 12 if unit == "year" else n or 1
    local = to_datetime(anchor).astimezone(ZoneInfo(tz)).replace(tzinfo=None, fold=0)
    delta = {"day": "days", "week": "weeks", "month": "months", "year": "years"}[unit]
    moved = (local + relativedelta(**{delta: n})).replace(tzinfo=ZoneInfo(tz))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - months or years

    expected = anchor if n == 0 else to_instant(dateutil_tz.resolve_imaginary(moved))
    assert expected == boundary(anchor, n, Interval(unit), tz)


@given(instants, st.integers(-840, 1000), st.integers(1, 12))
def test_utc_needs_no_table(anchor: Instant, n: int, count: int) -> None:
    """The arithmetic without a time zone agrees with the one through a zone that has no offset."""
    for unit in get_args(Unit):
        interval, steps = Interval(unit, count), n // (12 * count if unit == "year" else count)
        assert boundary(anchor, steps, interval) == boundary(anchor, steps, interval, "Africa/Abidjan")


calendar_intervals = st.sampled_from([each for reset in get_args(Reset) if (each := interval_of(reset)) is not None])


@given(instants, calendar_intervals, zones)
def test_a_calendar_anchor_leads_to_the_current_start(now: Instant, interval: Interval, tz: str) -> None:
    """Periods from it start on the calendar's own starts, or right after a start that the clocks skipped."""
    anchor = calendar_anchor(interval, now, tz)
    period = period_at(anchor, now, interval, tz)
    wall = to_datetime(period.start).astimezone(ZoneInfo(tz))

    assert anchor <= period.start
    assert wall.second == wall.microsecond == 0
    if interval.unit != "hour":
        before = to_datetime(period.start - 1).astimezone(ZoneInfo(tz))
        assert (wall.hour, wall.minute) == (0, 0) or before.date() < wall.date()
    if interval.unit == "week":
        assert wall.weekday() == 0
    if interval.unit in ("month", "year"):
        assert wall.day == 1
    if interval.unit == "year":
        assert wall.month == 1
    if interval.count == 3:
        assert wall.month in (1, 4, 7, 10)


@given(instants, st.integers(0, 800 * DAY), calendar_intervals.filter(lambda each: each.unit != "hour"), zones)
def test_calendar_periods_do_not_depend_on_when_they_are_asked_for(
    now: Instant, earlier: int, interval: Interval, tz: str
) -> None:
    """An anchor found long ago and one found now give the same current period."""
    old, new = calendar_anchor(interval, now - earlier, tz), calendar_anchor(interval, now, tz)
    before, after = period_at(old, now, interval, tz), period_at(new, now, interval, tz)

    assert (before.start, before.end) == (after.start, after.end)


@pytest.mark.parametrize(
    ("reset", "tz", "start"),
    [
        ("hour", "UTC", "2026-05-14T15:00:00Z"),
        ("hour", "Asia/Kolkata", "2026-05-14T15:30:00Z"),
        ("day", "UTC", "2026-05-14T00:00:00Z"),
        ("day", "America/New_York", "2026-05-14T04:00:00Z"),
        ("week", "UTC", "2026-05-11T00:00:00Z"),
        ("month", "Europe/Berlin", "2026-04-30T22:00:00Z"),
        ("quarter", "UTC", "2026-04-01T00:00:00Z"),
        ("year", "Pacific/Auckland", "2025-12-31T11:00:00Z"),
    ],
)
def test_calendar_starts(reset: Reset, tz: str, start: str) -> None:
    """The start of the current hour, day, ISO week, month, quarter and year on the wall clock."""
    interval = interval_of(reset)
    assert interval is not None
    assert at(start) == calendar_anchor(interval, at("2026-05-14T15:45:30Z"), tz)


def test_days_that_start_late_do_not_move_the_later_ones() -> None:
    """In Beirut midnight of 29 March 2026 does not exist: that day starts at one, the next at midnight again."""
    day, now = Interval("day"), at("2026-03-29T12:00:00Z")
    anchor = calendar_anchor(day, now, "Asia/Beirut")
    period = period_at(anchor, now, day, "Asia/Beirut")

    assert (at("2026-03-28T22:00:00Z"), at("2026-03-29T21:00:00Z")) == (period.start, period.end)


def test_resets() -> None:
    """A quarter is three months, and never has no interval."""
    assert Interval("month", 3) == interval_of("quarter")
    assert interval_of("never") is None


@pytest.mark.parametrize("reset", ["fortnight", "", None, [], 1])
def test_unknown_resets_are_refused(reset: Any) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        interval_of(reset)
    assert caught.value.field == "reset"


@pytest.mark.parametrize(
    ("unit", "count", "field"),
    [
        ("quarter", 1, "interval"),
        ("second", 1, "interval"),
        ("month", 0, "interval_count"),
        ("month", -1, "interval_count"),
        ("month", True, "interval_count"),
        ("month", 1.0, "interval_count"),
        ("month", 1001, "interval_count"),
    ],
)
def test_impossible_intervals_are_refused(unit: Any, count: Any, field: str) -> None:
    """Unit and count are checked where the interval is made."""
    with pytest.raises(InvalidInput) as caught:
        Interval(unit, count)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "Europe", "../etc/passwd", "/etc/passwd", "a\x00b", "x" * 9999, None, 1]
)
def test_unknown_time_zones_are_refused(name: Any) -> None:
    """Whatever is not a zone's name is an error of ours, paths and folders too."""
    with pytest.raises(InvalidInput) as caught:
        time_zone(name, "tz")
    assert caught.value.field == "tz"


def test_time_zones_are_kept_as_given() -> None:
    """A zone's name is its own canonical form here."""
    assert "Europe/Berlin" == time_zone("Europe/Berlin")
    assert "UTC" == time_zone("UTC")


def test_boundaries_of_far_periods_take_no_longer() -> None:
    """A period two hundred years from its anchor is found by estimate, with a handful of boundaries."""
    anchor = at("2000-01-31T00:00:00Z")
    now = at("2199-12-31T00:00:00Z") + DAY // 2

    assert 2399 == period_at(anchor, now, MONTH).number
    assert timedelta(days=31) == to_datetime(period_at(anchor, now, MONTH).end) - to_datetime(
        period_at(anchor, now, MONTH).start
    )
