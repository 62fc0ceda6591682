"""What Stripe was told of usage, and what of it has been counted: the only source of aggregated values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import define, field

from .errors import Json

UNIQUE_SECONDS = 24 * 3_600
"""How long an identifier is remembered: 'at least 24 hours', says Stripe, so that a client may rely on no more."""

_PLACE = "usage_"
_WINDOWS = {"hour": 3_600, "day": 86_400}


@define(eq=False)
class UsageEvent:
    """One meter event. Times are UTC seconds; `meter`, `customer` and `value` are those it was counted for."""

    event_name: str
    identifier: str
    payload: Mapping[str, str]
    timestamp: int
    received_at: int
    request: str
    """What an error report names it by: the idempotency key of its request, else its identifier."""
    place: str = ""
    """Where it stands in the book, by which the agenda names it."""
    cancel_asked: bool = False
    canceled: bool = False
    meter: str | None = None
    customer: str | None = None
    value: int = 0


@define
class UsageBook:
    """Every meter event, in the order received, and an index of those counted."""

    _events: dict[str, UsageEvent] = field(factory=dict[str, UsageEvent], init=False)
    _newest: dict[str, UsageEvent] = field(factory=dict[str, UsageEvent], init=False)
    _counted: dict[tuple[str, str], list[UsageEvent]] = field(
        factory=dict[tuple[str, str], list[UsageEvent]], init=False
    )

    def add(self, event: UsageEvent) -> None:
        """Keep a new event, and give it its place."""
        event.place = f"{_PLACE}{len(self._events)}"
        self._events[event.place] = event
        self._newest[event.identifier] = event

    def at(self, place: str) -> UsageEvent:
        """The event that stands there."""
        return self._events[place]

    def told_of(self, place: str) -> Collection[str]:
        """What an event says of whom it is about; empty when `place` is something else's id."""
        event = self._events.get(place)
        return () if event is None else event.payload.values()

    def known(self, identifier: str) -> UsageEvent | None:
        """The newest event of that identifier."""
        return self._newest.get(identifier)

    def count(self, event: UsageEvent, meter: str, customer: str, value: int) -> None:
        """Count an event for a customer."""
        event.meter, event.customer, event.value = meter, customer, value
        self._counted.setdefault((meter, customer), []).append(event)

    def within(self, meter: str, customer: str, start: int, end: int) -> list[UsageEvent]:
        """The events counted for a customer in `[start, end)` that were not canceled, in the order received."""
        counted = self._counted.get((meter, customer), ())
        return [event for event in counted if not event.canceled and start <= event.timestamp < end]

    def total(self, meter: Json, customer: str, start: int, end: int) -> int:
        """The aggregated value of `[start, end)` by the meter's formula, in whole units; it may be negative."""
        return aggregate(meter, self.within(meter["id"], customer, start, end))


@define
class MeterErrors:
    """The errors of one meter since `start`, by code: how many, and samples of them."""

    start: int
    counts: dict[str, int] = field(factory=dict[str, int], init=False)
    samples: dict[str, list[Json]] = field(factory=dict[str, list[Json]], init=False)


def aggregate(meter: Json, events: Sequence[UsageEvent]) -> int:
    """One number for events of one customer, in the order received.

    Of events that come aggregated by hour or day only the one received last in each window of UTC counts.
    """
    window = meter["event_time_window"]
    if window is not None:
        events = list({event.timestamp // _WINDOWS[window]: event for event in events}.values())
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return len(events)
    if formula == "last":
        return _last(events)
    return sum(event.value for event in events)


def _last(events: Iterable[UsageEvent]) -> int:
    latest: UsageEvent | None = None
    for event in events:
        if latest is None or event.timestamp >= latest.timestamp:
            latest = event
    return latest.value if latest is not None else 0
