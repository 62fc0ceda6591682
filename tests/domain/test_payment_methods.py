"""When a card expires, and in which months one looks for those that expire soon."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.instants import to_datetime, to_instant
from kernia_billing.domain.payment_methods import PaymentMethodRow, end_of, months_that_end

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def card(year: int | None, month: int | None) -> PaymentMethodRow:
    """A card with a date on it."""
    return PaymentMethodRow("pm_1", "cust_1", "card", "visa", "4242", month, year, 0, detached=False, updated_at=0)


@given(year=st.integers(1970, 2199), month=st.integers(1, 12))
def test_a_card_is_good_through_its_month(year: int, month: int) -> None:
    """The last day of the month that it names is its last."""
    expires = card(year, month).expires_at
    assert expires is not None
    last = to_datetime(expires) - timedelta(microseconds=1)
    assert (last.year, last.month, last.day) == (year, month, calendar.monthrange(year, month)[1])


@pytest.mark.parametrize(("year", "month"), [(None, None), (2030, None), (2030, 0), (2030, 13), (0, 5), (10_000, 5)])
def test_what_has_no_date_never_expires(year: int | None, month: int | None) -> None:
    """A bank account, or a date that there is not."""
    assert card(year, month).expires_at is None


@given(now=MOMENTS, days=st.integers(0, 400), later=st.integers(-2, 16))
def test_months_are_those_in_which_something_expires(now: datetime, days: int, later: int) -> None:
    """A month is looked at exactly where the cards that name it expire after now and by then, and in their order."""
    after = to_instant(now)
    by = to_instant(now + timedelta(days=days))
    found = list(months_that_end(after, by))
    assert found == sorted(set(found))
    count = now.year * 12 + now.month - 1 + later
    month = (count // 12, count % 12 + 1)
    assert (month in found) is (after < end_of(*month) <= by)
