"""Refunds: by the use that drew, and without naming one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.buckets import Bucket, Draw, Pool, allocate, apply, give_back, restore
from kernia_billing.domain.drawing import shift
from kernia_billing.domain.refunds import Place, Refund, anonymous, refund

from .test_buckets import bucket_lists, entities, pool_lists, quantities
from .test_holds import amounts, drawn

LINES = [Draw("plan", "msg", 40, 40), Draw("top", "msg", 60, 60)]


def places(closed: str = "", **used: int) -> dict[str, Place]:
    """The buckets of the lines, by what is used of them."""
    return {name: Place(name, amount, name != closed) for name, amount in used.items()}


def test_the_last_line_comes_back_first() -> None:
    """70 of 100: the 60 of the top-up, then 10 of the plan."""
    found = refund(LINES, 100, 70, places(plan=40, top=60))

    assert Refund([Draw("top", "msg", 60, 60), Draw("plan", "msg", 10, 10)], 70, 70) == found


def test_what_a_closed_bucket_gets_back_lapses() -> None:
    """The record is right, and nobody can spend it."""
    found = refund(LINES, 100, 70, places(closed="plan", plan=40, top=60))

    assert (70, 60, 10) == (found.units, found.restored, found.lapsed)
    assert 10 == amounts(found.draws)["plan"]


def test_refunds_never_exceed_what_was_drawn() -> None:
    """After 70 only 30 are left, and after these nothing."""
    assert [Draw("plan", "msg", 30, 30)] == refund(LINES, 100, None, places(plan=30, top=0), refunded=70).draws
    assert Refund([], 0, 0) == refund(LINES, 100, 5, places(plan=0, top=0), refunded=100)


def test_usage_that_moved_comes_back_where_it_is() -> None:
    """Both lines lead to the new plan's bucket, of which only 50 count: the rest was forgiven with the change."""
    moved = Place("new", 50)
    found = refund(LINES, 100, 80, {"plan": moved, "top": moved})

    assert {"new": 50} == amounts(found.draws)
    assert (80, 50, 30) == (found.units, found.restored, found.lapsed)


def test_a_unit_paid_from_two_buckets_lapses_whole() -> None:
    """A unit of 10 credits, 4 of them from a closed bucket, is not restored; the 6 credits are."""
    lines = [Draw("c1", "gold", 4, 0), Draw("c2", "gold", 16, 2)]
    found = refund(lines, 2, 2, places(closed="c1", c1=4, c2=16))

    assert (2, 1) == (found.units, found.restored)
    assert {"c1": 4, "c2": 16} == amounts(found.draws)


def test_units_at_no_cost_come_back_first() -> None:
    """They were drawn last, and have no line."""
    lines = [Draw("plan", "msg", 4, 4)]

    assert Refund([], 6, 6) == refund(lines, 10, 6, places(plan=4))
    assert Refund([Draw("plan", "msg", 1, 1)], 1, 1) == refund(lines, 10, 1, places(plan=4), refunded=6)


def test_a_negative_refund_is_refused() -> None:
    """It would be a use."""
    with pytest.raises(ValueError, match="negative"):
        refund(LINES, 100, -1, {})


def test_a_pool_gets_back_only_what_this_feature_drew() -> None:
    """50 credits are used, 20 of them by this feature: two units come back, and the other feature's credits stay."""
    buckets = [Bucket("c", "g", "gold", amount=100, used=50), Bucket("d", "g2", "msg", amount=5, used=5)]
    found = anonymous(buckets, "msg", 9, pools=[Pool("gold", 10), Pool("free", 0)], drawn={"c": 20})

    assert [Draw("c", "gold", 20, 2), Draw("d", "msg", 5, 5)] == found.draws
    assert 7 == found.units


@given(drawn(), st.lists(st.integers(0, 40), max_size=5))
def test_refunds_in_parts_undo_a_use(case: tuple[list[Bucket], list[Draw], int], parts: list[int]) -> None:
    """Whatever the parts, what is left is what a smaller use would have drawn, and at the end nothing (I8)."""
    buckets, lines, quantity = case
    pools = (Pool("gold", 10), Pool("silver", 3))
    state = shift(buckets, lines, used=1)
    refunded = 0
    for part in [*parts, None]:
        where = {each.id: Place(each.id, each.used) for each in state}
        found = refund(lines, quantity, part, where, refunded=refunded)
        refunded += found.units
        state = shift(state, found.draws, used=-1)
        smaller = allocate(buckets, "msg", quantity - refunded, "require", pools=pools)
        assert found.units == found.restored
        assert apply(buckets, smaller.draws) == state
    assert refunded == quantity
    assert buckets == state


@given(bucket_lists(), quantities, entities)
def test_without_pools_it_is_giving_back(buckets: list[Bucket], quantity: int, entity: str) -> None:
    """The same buckets get the same amounts."""
    found = anonymous(buckets, "msg", quantity, entity=entity)

    assert give_back(buckets, quantity, entity=entity, feature="msg") == found.draws


@given(bucket_lists(), quantities, quantities, entities, pool_lists)
def test_giving_back_undoes_a_use_of_unused_buckets(
    buckets: list[Bucket], quantity: int, back: int, entity: str, pools: tuple[Pool, ...]
) -> None:
    """Across pools and overage, in the reverse order: what stays is what a smaller use would have drawn."""
    priced = [pool for pool in pools if pool.cost]
    fresh = restore(buckets, [Draw(each.id, each.feature, each.used, 0) for each in buckets])
    used = allocate(fresh, "msg", quantity, "cap", entity=entity, pools=priced)
    state = apply(fresh, used.draws)
    found = anonymous(state, "msg", back, entity=entity, pools=priced, drawn=amounts(used.draws))
    smaller = allocate(fresh, "msg", used.funded - found.units, "require", entity=entity, pools=priced)

    assert found.units == min(back, used.funded)
    assert apply(fresh, smaller.draws) == restore(state, found.draws)
