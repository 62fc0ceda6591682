"""Usage limits: whom they concern, what they leave, and that a window never gets more than its maximum."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.buckets import Bucket, Mode, Pool, allocate
from kernia_billing.domain.ids import Property
from kernia_billing.domain.instants import DAY, HOUR, to_instant
from kernia_billing.domain.limits import Drawn, Limit, Meter, Window, headroom, meters
from kernia_billing.domain.period import Interval, Rhythm

DAYS = Rhythm(0, Interval("day"))
PER_DAY = Limit("day", "msg", 200, DAYS)
PLAN = Bucket("plan", "g", "msg", amount=1_000)


def test_the_example() -> None:
    """200 a day, 150 used, 80 wanted of 1,000: refused as a whole, 50 as far as it goes."""
    found = headroom(meters([PER_DAY], [Window("day", "", 0, 150)], "msg", HOUR))
    expected: list[tuple[Mode, int]] = [("require", 0), ("cap", 50), ("record", 50)]

    assert 50 == found
    for mode, funded in expected:
        assert funded == allocate([PLAN], "msg", 80, mode, headroom=found).funded


def test_the_narrowest_counts() -> None:
    """Of several limits; without any there is no clamp, and a limit lowered below its use leaves nothing."""
    hourly = Limit("hour", "msg", 60, Rhythm(0, Interval("hour")))
    windows = [Window("day", "", 0, 170), Window("hour", "", HOUR, 10)]

    assert 30 == headroom(meters([PER_DAY, hourly], windows, "msg", HOUR))
    assert 50 == headroom(meters([hourly], windows, "msg", HOUR))
    assert 0 == headroom(meters([evolve(PER_DAY, maximum=100)], windows, "msg", HOUR))
    assert headroom(meters([PER_DAY], windows, "other", HOUR)) is None


def test_a_window_has_an_anchor_of_its_own() -> None:
    """A day in New York begins at five in the morning in UTC, whatever the plan does."""
    limit = Limit(
        "d", "msg", 5, Rhythm(to_instant(datetime(2026, 1, 1, 5, tzinfo=UTC)), Interval("day"), "America/New_York")
    )
    before, after = (to_instant(datetime(2026, 2, 3, hour, tzinfo=UTC)) for hour in (4, 5))

    assert limit.window(before).end == limit.window(after).start == after


def test_limits_by_entity() -> None:
    """One for all together, one for each by itself, one for a certain one."""
    each = Limit("each", "msg", 10, DAYS, per_entity=True)
    one = Limit("one", "msg", 5, DAYS, entity="A")
    windows = [Window("day", "", 0, 1), Window("each", "A", 0, 2), Window("each", "B", 0, 3), Window("one", "", 0, 4)]

    def found(entity: str) -> list[tuple[str, int]]:
        of_entity = meters([PER_DAY, each, one], windows, "msg", HOUR, entity=entity)
        return [(meter.limit.id, meter.window.used) for meter in of_entity]

    assert [("day", 1), ("each", 2), ("one", 4)] == found("A")
    assert [("day", 1), ("each", 3)] == found("B")
    assert [("day", 1)] == found("")


def test_limits_by_property() -> None:
    """Every property has to be there and equal, and a number is no truth value."""
    limit = Limit("m", "msg", 10, DAYS, where={"model": "large", "beta": 1})
    cases: list[tuple[dict[str, Property], bool]] = [
        ({"model": "large", "beta": 1, "more": 2}, True),
        ({"model": "large", "beta": True}, False),
        ({"model": "small", "beta": 1}, False),
        ({"model": "large"}, False),
        ({}, False),
    ]
    for properties, concerned in cases:
        assert concerned == limit.concerns("msg", "", properties)


def test_only_the_running_window_falls() -> None:
    """What was drawn today makes room again, what was drawn yesterday does not, and nothing falls below 0."""
    meter = Meter(PER_DAY, Window("day", "", DAY, 50), 2 * DAY)

    assert 20 == meter.returned(30, Drawn(DAY)).window.used
    assert 50 == meter.returned(30, Drawn(DAY - 1)).window.used
    assert 0 == meter.returned(80, Drawn(2 * DAY - 1)).window.used


def test_what_was_drawn_before_there_was_the_limit_is_not_in_its_window() -> None:
    """Nor does it make room where both were written at one instant: the numbers of the writes tell them apart."""
    meter = Meter(PER_DAY, Window("day", "", 0, 50, Drawn(HOUR, 7)), DAY)
    drawn = [Drawn(HOUR - 1, 8), Drawn(HOUR, 6), Drawn(HOUR, 7), Drawn(HOUR + 1, 7)]

    assert [50, 50, 20, 20] == [meter.returned(30, each).window.used for each in drawn]


def test_a_limit_on_a_pool_clamps_what_the_pool_pays() -> None:
    """25 credits a day pay two units of ten, with or without overage; direct units are not concerned."""
    buckets = [
        Bucket("d", "g1", "msg", amount=3),
        Bucket("c", "g2", "credits", amount=10),
        Bucket("o", "g3", "credits", kind="overage"),
    ]
    found = allocate(buckets, "msg", 9, "cap", pools=[Pool("credits", 10, headroom=25)])

    assert [("d", 3), ("c", 10), ("o", 10)] == [(draw.bucket_id, draw.amount) for draw in found.draws]
    assert (5, 1) == (found.funded, found.overage_units)
    assert 9 == allocate(buckets, "msg", 9, "cap", pools=[Pool("credits", 0, headroom=0)]).funded


def test_a_late_use_draws_from_its_period_first() -> None:
    """What is left of the past period, then this one; overage of the past is not used any more."""
    past = [Bucket("past", "g", "msg", amount=30, used=10), Bucket("over", "g2", "msg", kind="overage")]
    found = allocate([PLAN], "msg", 50, "require", earlier=past)

    assert [("past", 20), ("plan", 30)] == [(draw.bucket_id, draw.amount) for draw in found.draws]


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * 24), st.sampled_from(["", "A", "B"]), st.integers(-40, 60)),
        max_size=12,
    )
)
def test_no_window_passes_its_maximum(uses: list[tuple[int, str, int]]) -> None:
    """Whatever is used and given back, when and by whom, each counter stays between 0 and its maximum."""
    limits = [
        Limit("all", "msg", 100, DAYS),
        Limit("each", "msg", 50, Rhythm(7 * HOUR, Interval("hour", 6)), per_entity=True),
    ]
    windows: dict[tuple[str, str, int], Window] = {}
    drawn: list[tuple[int, str, int]] = []
    for hour, entity, quantity in sorted(uses, key=lambda use: use[0]):
        now = hour * HOUR
        found = meters(limits, windows.values(), "msg", now, entity=entity)
        room = headroom(found)
        assert room is not None
        funded = max(0, min(quantity, room))
        moved = [meter.added(funded) for meter in found]
        if funded:
            drawn.append((now, entity, funded))
        mine = [use for use in drawn if use[1] == entity]
        if quantity < 0 and mine:
            moved = [meter.returned(min(-quantity, mine[-1][2]), Drawn(mine[-1][0])) for meter in found]
            drawn.remove(mine[-1])
        windows.update({meter.window.key: meter.window for meter in moved})
        for limit_id, most in (("all", 100), ("each", 50)):
            assert all(0 <= each.used <= most for each in windows.values() if each.limit_id == limit_id)
