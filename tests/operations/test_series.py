"""Usage over time: in the calendar of any zone, net, and the same as adding up by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing import Billing, InvalidInput, Metered, NotFound, Plan
from kernia_billing.domain.bins import edges, grain
from kernia_billing.domain.instants import DAY, HOUR, MINUTE, to_instant
from kernia_billing.testing import StripeSimulator
from tests.harness.tables import make_tables

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Santiago",
)
SPRING = datetime(2026, 4, 10, 12, tzinfo=UTC)  # after the clocks of Europe and of Lord Howe were moved
PLANS = [Plan("free", features={"calls": Metered(20), "other": Metered(5)})]


def _shop(database: str) -> tuple[StripeSimulator, Billing]:
    stripe = StripeSimulator(now=SPRING)
    return stripe, Billing(stripe_client=stripe, database=database, plans=PLANS, default_plan="free")


def _local(moment: datetime, bin: str, zone: str) -> tuple[int, ...]:
    """The hour, day or month of the wall clock that a moment lies in, with the offset of hours, which may repeat."""
    wall = moment.astimezone(ZoneInfo(zone))
    offset = wall.utcoffset()
    assert offset is not None
    if bin == "hour":
        return (wall.year, wall.month, wall.day, wall.hour, int(offset.total_seconds()))
    return (wall.year, wall.month, wall.day)[: 3 if bin == "day" else 2]


@given(
    bin=st.sampled_from(["hour", "day", "month"]),
    zone=st.sampled_from(ZONES),
    days=st.floats(0, 14_000),
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)),
)
def test_pieces_of_the_calendar(bin: Any, zone: str, days: float, length: timedelta) -> None:
    """Every edge begins an hour, day or month of the zone, none is missing, and they cover what is asked for."""
    start = datetime(1995, 1, 1, tzinfo=UTC) + timedelta(days=days)
    since, until = to_instant(start), to_instant(start + length)

    found = edges(bin, since, until, zone, 10_000)

    assert found[0] <= since < found[1]
    assert found[-2] < until <= found[-1]
    assert all(edge % grain(found) == 0 for edge in found)
    assert grain(found) % (15 * MINUTE) == 0
    last: tuple[int, ...] | None = None
    for edge in found:
        moment = datetime.fromtimestamp(edge / 1_000_000, UTC)
        before, after = _local(moment - timedelta(microseconds=1), bin, zone), _local(moment, bin, zone)
        assert before != after
        # Clocks that are moved within an hour end it under another name than it began with.
        assert bin == "hour" or last is None or before == last
        last = after


def test_a_day_of_summer_time() -> None:
    """The day on which the clocks go forward has 23 hours, the one on which they go back 25."""
    spring = to_instant(datetime(2026, 3, 29, 10, tzinfo=UTC))
    autumn = to_instant(datetime(2026, 10, 25, 10, tzinfo=UTC))

    for at, hours in ((spring, 23), (autumn, 25)):
        begin, end = edges("day", at, at + 1, "Europe/Berlin", 10)
        assert end - begin == hours * HOUR
        assert len(edges("hour", begin, end, "Europe/Berlin", 30)) == hours + 1
    assert grain(edges("day", spring, spring + 9 * DAY, "UTC", 10)) == DAY
    assert grain(edges("day", spring, spring + 1, "Asia/Kathmandu", 10)) == 15 * MINUTE


@pytest.mark.parametrize("bin", ["hour", "day", "month"])
@pytest.mark.parametrize("zone", ZONES)
def test_the_same_as_adding_up_by_hand(open_shop: Callable[[], Any], bin: Any, zone: str) -> None:
    """The points are what the listed uses add up to, piece by piece, group by group; their sum is the whole."""
    _, billing = open_shop()
    for number in range(60):
        when = SPRING - timedelta(minutes=number * 797 + 13)
        group = [{"model": "a"}, {"model": "ä\"'\\ "}, {"model": 7, "x": 1}, {"model": True}, {"model": "7"}, {}][
            number % 6
        ]
        billing.track("u", "calls", number + 1, occurred_at=when, properties=group)
    billing.track("other", "calls", 1_000)
    billing.track("u", "other", 1_000)
    start, end = SPRING - timedelta(days=33, minutes=7), SPRING - timedelta(minutes=1)
    by_hand: Counter[tuple[Any, ...]] = Counter()
    cursor: str | None = None
    while True:
        page = billing.usage("u", "calls", start=start, end=end, cursor=cursor)
        for use in page:
            value = use.properties.get("model")
            text = None if value is None else str(value).lower() if value is True else str(value)
            by_hand[(*_local(use.occurred_at, bin, zone), text)] += use.quantity
        if (cursor := page.next_cursor) is None:
            break

    points = billing.usage_series("u", "calls", bin=bin, start=start, end=end, tz=zone)
    grouped = billing.usage_series("u", "calls", bin=bin, start=start, end=end, tz=zone, group_by="model")

    told = Counter({(*_local(point.start, bin, zone), point.group): point.quantity for point in grouped})
    assert +told == by_hand
    assert sum(by_hand.values()) == sum(point.quantity for point in points) > 0
    assert [point.start for point in points] == sorted({point.start for point in grouped})
    assert {point.group for point in grouped} == {"a", "ä\"'\\ ", "7", "true", None}
    assert len(grouped) == 5 * len(points)
    assert points[0].start <= start
    assert all(point.group is None for point in points)


def test_net_of_what_came_back(open_shop: Callable[[], Any]) -> None:
    """A refund lowers the day of the use, giving back its own day; a hold counts what it was settled with."""
    stripe, billing = open_shop()
    use = billing.track("u", "calls", 10, occurred_at=SPRING - timedelta(days=2))
    billing.track("u", "calls", 5)
    stripe.advance(hours=24)
    billing.refund("u", use.event_id, 4)
    billing.give_back("u", "calls", 2)
    with billing.reserve("u", "calls", 3) as hold:
        hold.used = 1

    points = billing.usage_series("u", "calls", start=SPRING - timedelta(days=3))

    assert [point.quantity for point in points] == [0, 6, 0, 5, -1]
    assert sum(point.quantity for point in points) == billing.check("u", "calls").balance.used


def test_what_is_not_asked_for(open_shop: Callable[[], Any]) -> None:
    """Without a range the last day, month or year is told of; of nobody, nothing but zeros."""
    _, billing = open_shop()

    lengths = {bin: len(billing.usage_series("nobody", "calls", bin=bin)) for bin in ("hour", "day", "month")}

    assert lengths == {"hour": 25, "day": 31, "month": 13}
    points = billing.usage_series("nobody", "calls", bin="day", group_by="model")
    assert {(point.quantity, point.group) for point in points} == {(0, None)}
    assert points[-1].start == datetime(2026, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"bin": "week"}, "bin"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": 7}, "tz"),
        ({"start": SPRING, "end": SPRING}, "end"),
        ({"start": SPRING.replace(tzinfo=None)}, "start"),
        ({"bin": "hour", "start": SPRING - timedelta(days=500)}, "start"),
        ({"group_by": "a b"}, "group_by"),
        ({"group_by": ""}, "group_by"),
        ({"group_by": 1}, "group_by"),
    ],
)
def test_what_cannot_be_told(open_shop: Callable[[], Any], options: dict[str, Any], field: str) -> None:
    """Wrong or endless questions are refused by name."""
    _, billing = open_shop()

    with pytest.raises(InvalidInput) as refused:
        billing.usage_series("u", "calls", **options)

    assert refused.value.field == field
    with pytest.raises(NotFound):
        billing.usage_series("u", "nothing")


def test_too_many_groups(open_shop: Callable[[], Any]) -> None:
    """A property that is different in every use makes no series."""
    _, billing = open_shop()
    billing.track("u", "calls", 1, properties={"id": "none"})
    assert len(billing.usage_series("u", "calls", bin="month", start=SPRING, group_by="id")) == 1
    for number in range(1_001):
        billing.track("u", "calls", 1, properties={"id": f"id_{number}"})

    with pytest.raises(InvalidInput, match="1000 values"):
        billing.usage_series("u", "calls", bin="month", start=SPRING, group_by="id")


@pytest.fixture
def open_shop(engine_url: str) -> Any:
    """Opens a shop on each engine."""
    engine = sa.create_engine(engine_url)
    make_tables(engine)
    engine.dispose()
    opened: list[Billing] = []

    def make() -> tuple[StripeSimulator, Billing]:
        stripe, billing = _shop(engine_url)
        opened.append(billing)
        return stripe, billing

    yield make
    for each in opened:
        each.close()
