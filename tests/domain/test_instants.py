"""Instants to and from datetimes, Unix times and ISO text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.instants import (
    FOREVER,
    from_seconds,
    to_datetime,
    to_datetime_or_none,
    to_instant,
    to_iso_ms,
)
from kernia_billing.errors import InvalidInput

offsets = st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23)).map(timezone)
datetimes = st.datetimes(datetime.fromisoformat("1700-01-01"), datetime.fromisoformat("2254-01-01"), timezones=offsets)


@given(datetimes)
def test_a_datetime_comes_back_as_the_same_instant(value: datetime) -> None:
    """No microsecond is lost, whatever the offset, and what comes back is in UTC."""
    back = to_datetime(to_instant(value))
    assert back == value
    assert back.tzinfo is UTC


@given(datetimes, datetimes)
def test_instants_are_ordered_as_their_datetimes_are(one: datetime, other: datetime) -> None:
    """Comparing instants is comparing times."""
    assert (to_instant(one) < to_instant(other)) == (one < other)


class Undecided(tzinfo):
    """A time zone that does not know its offset, which makes a datetime naive all the same."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Not known."""
        return None

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Not known."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        """Not known."""
        return None


@pytest.mark.parametrize(
    "value",
    [
        datetime.fromisoformat("2026-01-01"),
        datetime(2026, 1, 1, tzinfo=Undecided()),
        datetime(1600, 1, 1, tzinfo=UTC),
        datetime(2256, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC).date(),
        "2026-01-01T00:00:00Z",
        1_767_225_600,
        None,
    ],
)
def test_anything_but_an_aware_datetime_is_refused_by_name(value: Any) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        to_instant(value, "occurred_at")
    assert caught.value.field == "occurred_at"


def test_unix_seconds() -> None:
    """Stripe's times are whole seconds."""
    assert from_seconds(1_767_225_600) == to_instant(datetime(2026, 1, 1, tzinfo=UTC))
    assert from_seconds(0) == 0


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 10**20, -(10**20)])
def test_other_unix_times_are_refused(value: Any) -> None:
    """A float, a bool, a text and a time out of range are no Unix time."""
    with pytest.raises(InvalidInput) as caught:
        from_seconds(value, "created")
    assert caught.value.field == "created"


def test_forever_is_no_date() -> None:
    """Never is told apart from the latest date, and shown as None."""
    assert to_datetime_or_none(FOREVER) is None
    assert to_datetime_or_none(0) == datetime(1970, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="not a date"):
        to_datetime(FOREVER)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.000Z"),
        (1_999, "1970-01-01T00:00:00.001Z"),
        (999_999, "1970-01-01T00:00:00.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_225_600_000_000, "2026-01-01T00:00:00.000Z"),
    ],
)
def test_iso_text(instant: int, text: str) -> None:
    """Three digits are written, and cut rather than rounded."""
    assert to_iso_ms(instant) == text


@given(st.integers(-FOREVER + 1_000, FOREVER - 1))
def test_iso_text_always_has_the_form_that_browsers_read(instant: int) -> None:
    """The text has the one form and names the millisecond that the instant lies in."""
    text = to_iso_ms(instant)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert to_instant(datetime.fromisoformat(text)) == instant // 1000 * 1000
