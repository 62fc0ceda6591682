"""A Stripe payment method as mirrored: enough to show it, nothing that could charge it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import frozen

from .instants import Instant, to_datetime, to_instant

_YEARS, _MONTHS = range(1970, 2200), range(1, 13)


@frozen
class PaymentMethodRow:
    """What is kept of a payment method of one of our customers. `id` is Stripe's.

    Brand, last four digits and expiry are None where its `type` has none. A `detached` one can never be used again.
    """

    id: str
    customer_id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    created_at: Instant
    detached: bool
    updated_at: Instant

    @property
    def expires_at(self) -> Instant | None:
        """From when on a card is not good any more, None for what never expires."""
        year, month = self.exp_year or 0, self.exp_month or 0
        return end_of(year, month) if year in _YEARS and month in _MONTHS else None


def end_of(year: int, month: int) -> Instant:
    """The end of a month in UTC: a card is good through the last day of the month that it names."""
    return to_instant(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))


def months_that_end(after: Instant, by: Instant) -> Iterator[tuple[int, int]]:
    """The months, as year and number, with after < end ≤ by."""
    first = to_datetime(after)
    year, month = first.year, first.month
    while year in _YEARS and end_of(year, month) <= by:
        yield year, month
        year, month = year + month // 12, month % 12 + 1
