"""Holds: what settling, releasing and time do to them, and what must hold for any lines and any quantity."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.buckets import Bucket, Draw, Pool, allocate
from kernia_billing.domain.drawing import shift, split, split_last, units_of
from kernia_billing.domain.holds import Hold, Settlement, as_of, expire, release, reserve, settle, settle_part

LATER = 100
POOLS = (Pool("gold", 10), Pool("silver", 3))


def start() -> tuple[list[Bucket], Hold]:
    """The example: a plan of 100 and a top-up of 50, of which 120 are held."""
    buckets = [Bucket("plan", "g1", "msg", amount=100, lose_at=50), Bucket("top", "g2", "msg", amount=50)]
    hold = reserve("h", "msg", 120, allocate(buckets, "msg", 120, "require").draws, LATER)
    return shift(buckets, hold.lines, held=1), hold


def after(buckets: Sequence[Bucket], moved: Settlement) -> list[Bucket]:
    """The buckets after a settlement."""
    return shift(shift(buckets, moved.used, used=1, held=-1), moved.released, held=-1)


def numbers(buckets: Sequence[Bucket]) -> list[tuple[int, int]]:
    """Used and held of each bucket."""
    return [(each.used, each.held) for each in buckets]


@pytest.mark.parametrize("how", ["nothing", "release", "expiry"])
def test_everything_comes_back(how: str) -> None:
    """Settling nothing, releasing, and expiring leave no trace in the buckets."""
    buckets, hold = start()
    moved = {"nothing": settle(hold, 0, 0), "release": release(hold, 0), "expiry": expire([hold], LATER)[0]}[how]

    assert [(0, 0), (0, 0)] == numbers(after(buckets, moved))
    assert {"nothing": "settled", "release": "released", "expiry": "expired"}[how] == moved.hold.status
    assert (0, 120) == (moved.units, moved.freed)


def test_an_expired_hold_is_free_before_anybody_writes() -> None:
    """A reader sees its units from the very instant, and not one before."""
    buckets, hold = start()

    assert [0, 30] == [each.available for each in as_of(buckets, [hold], LATER - 1)]
    assert [100, 50] == [each.available for each in as_of(buckets, [hold], LATER)]
    assert [] == expire([hold], LATER - 1)


@pytest.mark.parametrize("swept", [False, True])
def test_settling_after_expiry_is_an_ordinary_use(swept: bool) -> None:
    """Everything is excess and late; what is still held is released, once."""
    _, hold = start()
    lines = hold.lines
    if swept:
        hold = expire([hold], LATER)[0].hold
    found = settle(hold, 90, LATER)

    assert (0, 90, True) == (found.units, found.excess, found.late)
    assert list(found.released) == ([] if swept else list(lines))
    assert found.hold.status == "settled"


def test_a_hold_ends_once() -> None:
    """Settling again is refused, releasing again moves nothing."""
    _, hold = start()
    ended = settle(hold, 120, 0).hold

    assert Settlement(ended, 0, 0) == release(ended, 0)
    with pytest.raises(ValueError, match="settled already"):
        settle(ended, 120, 0)
    with pytest.raises(ValueError, match="released already"):
        settle(release(hold, 0).hold, 1, 0)
    with pytest.raises(ValueError, match="never less"):
        settle(hold, -1, 0)


def test_a_lease_gives_what_it_holds_and_ends() -> None:
    """Bit by bit, no more than it holds, and nothing after its time."""
    _, lease = start()
    lease = settle_part(lease, 119, 0).hold

    with pytest.raises(ValueError, match="no more"):
        settle_part(lease, 2, 0)
    with pytest.raises(ValueError, match="ended"):
        settle_part(lease, 1, LATER)
    assert [Draw("top", "msg", 1, 1)] == list(release(lease, 0).released)


def test_units_at_no_cost_have_no_line() -> None:
    """They count as settled all the same, after those that cost something."""
    hold = reserve("h", "msg", 10, [Draw("b", "msg", 4, 4)], LATER)
    found = settle(hold, 7, 0)

    assert (7, 3, 0) == (found.units, found.freed, found.excess)
    assert ([Draw("b", "msg", 4, 4)], []) == (found.used, found.released)


# ── What holds for any lines ─────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def drawn(draw: st.DrawFn) -> tuple[list[Bucket], list[Draw], int]:
    """Buckets, the draws of a use of them that is covered, and its quantity."""
    buckets = [
        Bucket(
            f"b{n}",
            f"g{n}",
            draw(st.sampled_from(["msg", "gold", "silver"])),
            amount=draw(st.integers(0, 40)),
            kind=draw(st.sampled_from(["grant", "overage"])),
            lose_at=draw(st.integers(1, 3)),
        )
        for n in range(draw(st.integers(1, 6)))
    ]
    most = allocate(buckets, "msg", 200, "cap", pools=POOLS).funded
    quantity = draw(st.integers(0, most))
    return buckets, list(allocate(buckets, "msg", quantity, "require", pools=POOLS).draws), quantity


def amounts(lines: Sequence[Draw]) -> dict[str, int]:
    """How much the lines move in each bucket."""
    total: dict[str, int] = {}
    for line in lines:
        total[line.bucket_id] = total.get(line.bucket_id, 0) + line.amount
    return total


@given(drawn(), st.integers(0, 200))
def test_lines_are_split_into_whole_units(case: tuple[list[Bucket], list[Draw], int], units: int) -> None:
    """Both parts together are the whole, each costs what its units cost, and the first part is what came first."""
    buckets, lines, quantity = case
    taken = min(units, quantity)
    first, rest = split(lines, units)
    last, others = split_last(lines, units)

    assert (taken, quantity - taken) == (units_of(first), units_of(rest))
    assert amounts(lines) == amounts([*first, *rest]) == amounts([*last, *others])
    assert (taken, quantity - taken) == (units_of(last), units_of(others))
    for part in (first, rest, last, others):
        for feature, cost in {"msg": 1, "gold": 10, "silver": 3}.items():
            mine = [line for line in part if line.feature == feature]
            assert sum(line.amount for line in mine) == cost * units_of(mine)
    assert amounts(first) == amounts(allocate(buckets, "msg", taken, "require", pools=POOLS).draws)


@given(drawn(), st.integers(0, 250))
def test_settling_is_using_what_was_used(case: tuple[list[Bucket], list[Draw], int], actual: int) -> None:
    """Reserving and settling leaves the buckets as using at once would have; no unit is lost, none stays held."""
    buckets, lines, quantity = case
    hold = reserve("h", "msg", quantity, lines, LATER)
    held = shift(buckets, lines, held=1)
    found = settle(hold, actual, 0)
    done = after(held, found)
    done = shift(done, allocate(done, "msg", found.excess, "record", pools=POOLS).draws, used=1)
    at_once = shift(buckets, allocate(buckets, "msg", min(actual, quantity), "require", pools=POOLS).draws, used=1)
    at_once = shift(at_once, allocate(at_once, "msg", found.excess, "record", pools=POOLS).draws, used=1)

    assert numbers(at_once) == numbers(done)
    assert all(each.held == 0 for each in done)
    assert found.units + found.excess == actual
    assert found.units + found.freed == quantity


@given(drawn(), st.lists(st.integers(0, 30), max_size=6))
def test_a_lease_in_parts_is_a_hold_in_one(case: tuple[list[Bucket], list[Draw], int], parts: list[int]) -> None:
    """Settling bit by bit moves what settling the sum would have moved; I1 holds in between."""
    buckets, lines, quantity = case
    lease = reserve("h", "msg", quantity, lines, LATER)
    state = shift(buckets, lines, held=1)
    total = 0
    for each in parts:
        units = min(each, lease.left)
        found = settle_part(lease, units, 0)
        state, lease, total = after(state, found), found.hold, total + units
        assert all(0 <= one.used and 0 <= one.held and one.used + one.held <= (one.amount or 0) for one in state)
    rest = settle(lease, quantity // 2, 0)
    assert rest.units == min(quantity // 2, quantity - total)
    assert rest.units + rest.excess == quantity // 2
    state, total = after(state, rest), total + rest.units
    whole = settle(reserve("h", "msg", quantity, lines, LATER), total, 0)

    assert numbers(after(shift(buckets, lines, held=1), whole)) == numbers(state)


@given(drawn(), st.integers(0, 2))
def test_a_reader_sees_what_the_next_writer_writes(case: tuple[list[Bucket], list[Draw], int], now: int) -> None:
    """The correction without writing equals the release that is written."""
    buckets, lines, quantity = case
    half = split(lines, quantity // 2)
    holds = [
        reserve("h1", "msg", quantity // 2, half[0], 1),
        reserve("h2", "msg", quantity - quantity // 2, half[1], 2),
    ]
    state = shift(buckets, lines, held=1)
    written = state
    for each in expire(holds, now):
        written = after(written, each)

    assert numbers(written) == numbers(as_of(state, holds, now))
    assert evolve(holds[0], status="expired").has_lapsed(now) is False
