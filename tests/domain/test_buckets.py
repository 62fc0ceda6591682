"""The burn-down: the worked examples, and what must hold for any buckets and any request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from kernia_billing.domain.buckets import (
    Allocation,
    Bucket,
    Draw,
    Kind,
    Mode,
    Pool,
    allocate,
    apply,
    burn_order,
    carry_usage,
    give_back,
    rescale,
    restore,
)
from kernia_billing.domain.instants import FOREVER, Instant, to_instant

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())


def day(text: str) -> Instant:
    """The start of a day in UTC."""
    return to_instant(datetime.fromisoformat(f"{text}T00:00:00+00:00"))


def bucket(id: str, amount: int | None, lose_at: str | None = None, feature: str = "msg", **more: Any) -> Bucket:
    """A bucket of `amount` units, lost at the start of a day."""
    return Bucket(
        id, f"grant-{id}", feature, amount=amount, lose_at=FOREVER if lose_at is None else day(lose_at), **more
    )


def lines(allocation: Allocation) -> list[tuple[str, int]]:
    """What is drawn, as the examples write it."""
    return [(draw.bucket_id, draw.amount) for draw in allocation.draws]


def used(buckets: Sequence[Bucket]) -> dict[str, int]:
    """What is used of each bucket."""
    return {each.id: each.used for each in buckets}


def loaded(raw: dict[str, Any]) -> Bucket:
    """A bucket of the shared examples."""
    lose_at = FOREVER if raw["lose_at"] is None else to_instant(datetime.fromisoformat(raw["lose_at"]))
    members: dict[str, Any] = {**raw, "grant_id": raw["id"], "entity": raw["entity"] or "", "lose_at": lose_at}
    return Bucket(**members)


@pytest.mark.parametrize("vector", VECTORS["burn"], ids=[each["name"] for each in VECTORS["burn"]])
def test_worked_examples(vector: dict[str, Any]) -> None:
    """Each step of each shared example draws, or gives back, what it says, and leaves what it says."""
    buckets = [loaded(each) for each in vector["buckets"]]
    pools = [Pool(feature, cost) for feature, cost in vector["pools"]]
    for step in vector["steps"]:
        if step["quantity"] < 0:
            back = give_back(buckets, -step["quantity"], entity=vector["entity"] or "")
            buckets = restore(buckets, back)
            assert step["restored"] == sum(draw.amount for draw in back)
        else:
            found = allocate(
                buckets, vector["feature"], step["quantity"], step["mode"], entity=vector["entity"] or "", pools=pools
            )
            buckets = apply(buckets, found.draws)
            assert step["allowed"] == found.allowed
            assert step["funded"] == found.funded
            assert [tuple(each) for each in step["lines"]] == lines(found)
        assert step["used"] == used(buckets)


@pytest.mark.parametrize(
    "vector",
    [each for each in VECTORS["plan_change"] if each["policy"] == "carry_usage"],
    ids=lambda each: each["name"],
)
def test_usage_carried_over_a_plan_change(vector: dict[str, Any]) -> None:
    """What was used counts in the new plan, as far as it goes."""
    assert vector["result"]["new_used"] == carry_usage(vector["old_used"], vector["new_amount"])


def test_usage_carried_into_a_plan_without_limit() -> None:
    """Without a cap all of it counts."""
    assert 300 == carry_usage(300, None)


@pytest.mark.parametrize(
    ("amount", "used", "held", "expected"),
    [(300, 400, 0, 400), (700, 400, 0, 700), (300, 250, 100, 350), (None, 400, 0, None), (0, 0, 0, 0)],
)
def test_a_change_of_seats_never_takes_what_is_used(
    amount: int | None, used: int, held: int, expected: int | None
) -> None:
    """Three seats instead of five, with 400 of 500 used, leave 400 for the running period and nothing to spend."""
    assert expected == rescale(amount, used, held)


def test_b1_earliest_deadline_first() -> None:
    """Units that would be lost first go first, and a refusal draws nothing."""
    buckets = [bucket("topup", 200), bucket("plan", 500, "2026-02-01"), bucket("promo", 50, "2026-01-20", category=0)]
    steps: list[tuple[int, Mode, list[tuple[str, int]], int]] = [
        (30, "require", [("promo", 30)], 0),
        (100, "require", [("promo", 20), ("plan", 80)], 0),
        (480, "require", [("plan", 420), ("topup", 60)], 0),
        (200, "require", [], 200),
        (200, "cap", [("topup", 140)], 60),
    ]
    for quantity, mode, expected, unfunded in steps:
        found = allocate(buckets, "msg", quantity, mode)
        buckets = apply(buckets, found.draws)
        assert (expected, unfunded) == (lines(found), found.unfunded)


def test_b2_priority_beats_the_deadline() -> None:
    """A lower priority number goes first, whatever is lost meanwhile."""
    buckets = [bucket("paid", 100, priority=10), bucket("free", 100, "2026-01-05", category=0)]

    assert [("paid", 100), ("free", 20)] == lines(allocate(buckets, "msg", 120, "require"))


def test_b3_free_before_paid_at_one_deadline() -> None:
    """With the same deadline free units go first; a worse priority goes last, though it is lost first."""
    buckets = [
        bucket("A", 50, "2026-09-01"),
        bucket("B", 20, "2026-09-01", category=0),
        bucket("C", 100, "2026-08-15", priority=60),
    ]

    assert [("B", 20), ("A", 50), ("C", 20)] == lines(allocate(buckets, "msg", 90, "require"))


def test_b4_direct_units_before_credits() -> None:
    """One request may span both, all or nothing; a refusal says how many could be had."""
    buckets = [
        bucket("dir", 5),
        bucket("credM", 60, "2026-02-01", feature="credits"),
        bucket("credT", 40, feature="credits"),
    ]
    pools = [Pool("credits", 10)]
    refused = allocate(buckets, "msg", 16, "require", pools=pools)
    found = allocate(buckets, "msg", 15, "require", pools=pools)

    assert Allocation(16, 0, 16, (), 0, 15) == refused
    assert not refused.allowed
    assert [("dir", 5), ("credM", 60), ("credT", 40)] == lines(found)
    assert [5, 6, 4] == [draw.units for draw in found.draws]


def test_b5_a_unit_spans_buckets_of_one_pool() -> None:
    """What does not make up a whole unit stays; the unit counts where it is completed."""
    buckets = [bucket("c1", 4, "2026-02-01", feature="credits"), bucket("c2", 25, feature="credits")]
    found = allocate(buckets, "msg", 5, "cap", pools=[Pool("credits", 10)])

    assert [Draw("c1", "credits", 4, 0), Draw("c2", "credits", 16, 2)] == found.draws
    assert (2, 3) == (found.funded, found.unfunded)
    assert 9 == sum(each.available or 0 for each in apply(buckets, found.draws))


def test_b6_costs_below_one_credit() -> None:
    """At scale 6 a token costs 3,000 millionths of a credit: no rounding anywhere."""
    buckets = [bucket("c", 10_000_000, feature="credits")]
    found = allocate(buckets, "msg", 1_234, "require", pools=[Pool("credits", 3_000)])

    assert [("c", 3_702_000)] == lines(found)
    assert 6_298_000 == apply(buckets, found.draws)[0].available


def test_b7_two_pools() -> None:
    """A unit never spans two pools: what is left of the first stays there."""
    buckets = [bucket("gold", 25, feature="gold"), bucket("silver", 100, feature="silver")]
    found = allocate(buckets, "msg", 7, "require", pools=[Pool("gold", 10), Pool("silver", 20)])

    assert [Draw("gold", "gold", 20, 2), Draw("silver", "silver", 100, 5)] == found.draws


@pytest.mark.parametrize("kind", ["grant", "overage"])
def test_b8_no_cost(kind: Any) -> None:
    """A pool of cost 0 pays for everything without a line, as long as there is a bucket of it, even an empty one."""
    buckets = [bucket("c", 0, feature="credits", kind=kind)]
    found = allocate(buckets, "msg", 1_000, "require", pools=[Pool("credits", 0)])

    assert Allocation(1_000, 1_000, 0, [], 0, 1_000) == found
    assert not allocate([], "msg", 1_000, "require", pools=[Pool("credits", 0)]).allowed


def test_b9_overage() -> None:
    """Overage is drawn last, up to its own limit, and counted apart."""
    buckets = [bucket("ov", 500, kind="overage", priority=0), bucket("g", 1_000)]
    steps: list[tuple[int, Mode, list[tuple[str, int]], int]] = [
        (900, "require", [("g", 900)], 0),
        (500, "require", [("g", 100), ("ov", 400)], 400),
        (150, "require", [], 0),
        (150, "cap", [("ov", 100)], 100),
    ]
    for quantity, mode, expected, overage_units in steps:
        found = allocate(buckets, "msg", quantity, mode)
        buckets = apply(buckets, found.draws)
        assert (expected, overage_units) == (lines(found), found.overage_units)


def test_b10_an_entity_draws_its_own_first() -> None:
    """Then the customer's, and never another entity's."""
    buckets = [
        bucket("customer", 100, "2026-01-10"),
        bucket("eA", 20, "2026-02-01", entity="A"),
        bucket("eB", 20, "2026-02-01", entity="B"),
    ]

    assert [("eA", 20), ("customer", 30)] == lines(allocate(buckets, "msg", 50, "require", entity="A"))
    assert 120 == allocate(buckets, "msg", 1_000, "cap", entity="A").funded


def test_b11_a_customer_never_draws_an_entitys() -> None:
    """A request without entity leaves the entities' units alone."""
    buckets = [bucket("customer", 70, "2026-01-10"), bucket("eA", 20, "2026-02-01", entity="A")]
    found = allocate(buckets, "msg", 80, "cap")

    assert [("customer", 70)] == lines(found)
    assert 10 == found.unfunded


def test_b12_fifty_requests_of_one_on_twenty_units() -> None:
    """Exactly twenty are allowed, and both buckets are full then."""
    buckets = [bucket("a", 12, "2026-02-01"), bucket("b", 8)]
    allowed = 0
    for _ in range(50):
        found = allocate(buckets, "msg", 1, "require")
        buckets = apply(buckets, found.draws)
        allowed += found.allowed

    assert 20 == allowed
    assert {"a": 12, "b": 8} == used(buckets)


def test_credits_in_overage_pay_last() -> None:
    """Direct overage goes before a pool's overage, and both after everything included."""
    buckets = [
        bucket("credits-over", None, feature="credits", kind="overage"),
        bucket("over", 3, kind="overage"),
        bucket("credits", 25, feature="credits"),
        bucket("direct", 2),
    ]
    found = allocate(buckets, "msg", 10, "require", pools=[Pool("credits", 10)])

    assert [("direct", 2), ("credits", 20), ("over", 3), ("credits", 5), ("credits-over", 25)] == lines(found)
    assert 6 == found.overage_units


def test_an_uncapped_bucket_goes_before_a_capped_one() -> None:
    """Where nothing can run out, nothing that can is touched."""
    buckets = [bucket("capped", 10, "2026-02-01", priority=0), bucket("free", None)]

    assert [("free", 99)] == lines(allocate(buckets, "msg", 99, "require"))


def test_the_oldest_goes_first_where_all_else_is_equal() -> None:
    """Then the sequence decides."""
    buckets = [
        bucket("young", 5, effective_at=2, seq=1),
        bucket("old", 5, effective_at=1, seq=3),
        bucket("older", 5, effective_at=1, seq=2),
    ]

    assert [("older", 5), ("old", 5), ("young", 1)] == lines(allocate(buckets, "msg", 11, "require"))


def test_a_unit_spans_credits_and_their_overage() -> None:
    """Credits that are too few for a unit are no dead rest: with the overage of their pool they pay one."""
    buckets = [bucket("c", 14, feature="credits"), bucket("over", 26, feature="credits", kind="overage")]
    found = allocate(buckets, "images", 9, "cap", pools=[Pool("credits", 10)])

    assert 4 == found.funded
    assert 3 == found.overage_units
    assert [("c", 10, 1), ("c", 4, 0), ("over", 26, 3)] == [
        (each.bucket_id, each.amount, each.units) for each in found.draws
    ]


def test_every_included_unit_goes_before_any_overage() -> None:
    """The entity's own overage comes after the customer's included units, and is given back before them."""
    buckets = [
        bucket("over", 5, kind="overage"),
        bucket("eA-over", 5, entity="A", kind="overage"),
        bucket("plan", 5),
        bucket("eA", 5, entity="A"),
    ]
    found = allocate(buckets, "msg", 20, "require", entity="A")
    back = give_back(apply(buckets, found.draws), 20, entity="A")

    assert ["eA", "plan", "eA-over", "over"] == [draw.bucket_id for draw in found.draws]
    assert ["over", "eA-over", "plan", "eA"] == [draw.bucket_id for draw in back]


def test_headroom_clamps_the_quantity() -> None:
    """A usage limit with 50 left refuses 80, or caps it."""
    buckets = [bucket("plan", 1_000)]

    assert Allocation(80, 0, 80, (), 0, 50) == allocate(buckets, "msg", 80, "require", headroom=50)
    assert [("plan", 50)] == lines(allocate(buckets, "msg", 80, "cap", headroom=50))
    assert (50, 30) == ((found := allocate(buckets, "msg", 80, "record", headroom=50)).funded, found.unfunded)
    assert 0 == allocate(buckets, "msg", 80, "cap", headroom=-3).funded


def test_held_units_are_not_available() -> None:
    """What is reserved cannot be drawn."""
    assert [("plan", 30)] == lines(allocate([evolve(bucket("plan", 100), used=50, held=20)], "msg", 99, "cap"))


def test_nothing_asked_is_nothing_drawn() -> None:
    """A quantity of 0 is always allowed."""
    assert Allocation(0, 0, 0, [], 0, 0) == allocate([], "msg", 0, "require")


def test_negative_quantities_are_refused() -> None:
    """Giving back is another operation."""
    with pytest.raises(ValueError, match="give_back"):
        allocate([bucket("plan", 100)], "msg", -1, "record")


def test_giving_back_stays_within_the_entity() -> None:
    """The customer's and the entity's own units come back, another entity's do not, nor another feature's."""
    buckets = [
        evolve(bucket("customer", 100), used=5),
        evolve(bucket("eA", 20, entity="A"), used=5),
        evolve(bucket("eB", 20, entity="B"), used=5),
        evolve(bucket("other", 20, feature="other"), used=5),
    ]

    assert [Draw("customer", "msg", 5, 5), Draw("eA", "msg", 2, 2)] == give_back(buckets, 7, entity="A", feature="msg")
    assert [Draw("customer", "msg", 5, 5)] == give_back(buckets, 99, feature="msg")


# ── What holds for any buckets and any request ───────────────────────────────────────────────────────────────────────

FEATURES = ("msg", "credits", "gold")
deadlines = st.one_of(st.just(FOREVER), st.integers(1, 5))


@st.composite
def bucket_lists(draw: st.DrawFn, *, kinds: tuple[Kind, ...] = ("grant", "rollover", "overage")) -> list[Bucket]:
    """Up to six buckets of three features and three levels, partly used and held."""
    made: list[Bucket] = []
    for n in range(draw(st.integers(0, 6))):
        amount = draw(st.one_of(st.none(), st.integers(0, 60)))
        used = draw(st.integers(0, 60 if amount is None else amount))
        held = draw(st.integers(0, 10 if amount is None else amount - used))
        made.append(
            Bucket(
                id=f"b{n}",
                grant_id=f"g{n}",
                feature=draw(st.sampled_from(FEATURES)),
                entity=draw(st.sampled_from(["", "A", "B"])),
                amount=amount,
                used=used,
                held=held,
                priority=draw(st.sampled_from([10, 50, 60])),
                lose_at=draw(deadlines),
                category=draw(st.integers(0, 1)),
                kind=draw(st.sampled_from(kinds)),
                effective_at=draw(st.integers(0, 3)),
                seq=draw(st.integers(0, 3)),
            )
        )
    return made


pool_lists = st.lists(st.sampled_from(FEATURES[1:]), unique=True).flatmap(
    lambda names: st.tuples(*(st.builds(Pool, st.just(name), st.integers(0, 12)) for name in names))
)
quantities = st.integers(0, 200)
modes = st.sampled_from(get_args(Mode))
entities = st.sampled_from(["", "A"])
headrooms = st.one_of(st.none(), st.integers(-5, 200))


@given(bucket_lists(), quantities, modes, entities, pool_lists, headrooms)
def test_nothing_is_overdrawn_and_everything_adds_up(
    buckets: list[Bucket], quantity: int, mode: Mode, entity: str, pools: tuple[Pool, ...], headroom: int | None
) -> None:
    """No bucket passes its amount; funded and unfunded are the request; what moved is the units times their cost."""
    found = allocate(buckets, "msg", quantity, mode, entity=entity, pools=pools, headroom=headroom)
    costs = {"msg": 1, **{pool.feature: pool.cost for pool in pools}}
    free = any(pool.cost == 0 for pool in pools)

    assert quantity == found.requested == found.funded + found.unfunded
    assert 0 <= found.overage_units <= found.funded <= found.fundable
    assert headroom is None or found.funded <= max(0, headroom)
    for before, after in zip(buckets, apply(buckets, found.draws), strict=True):
        assert before.used <= after.used
        assert after.amount is None or after.used + after.held <= after.amount
        assert after.used == before.used or after.entity in ("", entity)
    assert all(draw.amount > 0 and draw.feature in costs for draw in found.draws)
    assert len(found.draws) == len({draw.bucket_id for draw in found.draws})
    for feature, cost in costs.items():
        mine = [draw for draw in found.draws if draw.feature == feature]
        assert sum(draw.amount for draw in mine) == cost * sum(draw.units for draw in mine)
    units = sum(draw.units for draw in found.draws)
    assert units == found.funded or (free and units < found.funded)


@given(bucket_lists(), quantities, entities, pool_lists, headrooms)
def test_the_modes_differ_only_in_what_a_shortage_means(
    buckets: list[Bucket], quantity: int, entity: str, pools: tuple[Pool, ...], headroom: int | None
) -> None:
    """`require` is `cap` when all fits and nothing when not; `record` draws what `cap` draws."""
    require, cap, record = (
        allocate(buckets, "msg", quantity, mode, entity=entity, pools=pools, headroom=headroom)
        for mode in get_args(Mode)
    )

    assert cap == record
    assert require.fundable == cap.funded == cap.fundable
    assert require == cap if cap.allowed else (require.funded, require.draws) == (0, ())


@given(bucket_lists(), quantities, entities, pool_lists, headrooms)
def test_a_check_says_what_the_write_will_do(
    buckets: list[Bucket], quantity: int, entity: str, pools: tuple[Pool, ...], headroom: int | None
) -> None:
    """What is allowed now is allowed in the same state, and every quantity up to what is fundable is."""
    found = allocate(buckets, "msg", quantity, "require", entity=entity, pools=pools, headroom=headroom)
    again = allocate(buckets, "msg", found.fundable, "require", entity=entity, pools=pools, headroom=headroom)

    assert again.allowed
    assert found.allowed == (found.fundable == quantity)


@given(bucket_lists(), st.randoms(use_true_random=False), quantities, modes, entities, pool_lists)
def test_the_order_of_the_rows_does_not_matter(
    buckets: list[Bucket], random: Any, quantity: int, mode: Mode, entity: str, pools: tuple[Pool, ...]
) -> None:
    """The database may answer in any order."""
    shuffled = buckets[:]
    random.shuffle(shuffled)

    assert allocate(buckets, "msg", quantity, mode, entity=entity, pools=pools) == allocate(
        iter(shuffled), "msg", quantity, mode, entity=entity, pools=pools
    )
    assert give_back(buckets, quantity, entity=entity) == give_back(shuffled, quantity, entity=entity)


@given(bucket_lists(), quantities, quantities, st.sampled_from(["cap", "record"]), entities)
def test_two_uses_in_either_order_leave_the_same_used(
    buckets: list[Bucket], one: int, other: int, mode: Mode, entity: str
) -> None:
    """Of direct units, the total used does not depend on who came first."""

    def after(*requests: int) -> dict[str, int]:
        state = buckets
        for each in requests:
            state = apply(state, allocate(state, "msg", each, mode, entity=entity).draws)
        return used(state)

    assert after(one, other) == after(other, one) == after(one + other)


@given(bucket_lists(), st.lists(st.integers(1, 40), max_size=5), entities)
def test_giving_back_undoes_using(buckets: list[Bucket], uses: list[int], entity: str) -> None:
    """From unused buckets, any uses given back in the reverse order leave every state as it was."""
    state = [evolve(each, used=0) for each in buckets if each.feature == "msg"]
    states: list[list[Bucket]] = []
    funded: list[int] = []
    for each in uses:
        states.append(state)
        found = allocate(state, "msg", each, "record", entity=entity)
        funded.append(found.funded)
        state = apply(state, found.draws)
    while states:
        state = restore(state, give_back(state, funded.pop(), entity=entity))
        assert states.pop() == state


@given(bucket_lists(), quantities, entities)
def test_nothing_comes_back_that_was_not_used(buckets: list[Bucket], quantity: int, entity: str) -> None:
    """Used never falls below 0, and as much comes back as there is, up to the quantity."""
    mine = [each for each in buckets if each.feature == "msg"]
    back = give_back(mine, quantity, entity=entity)
    after = restore(mine, back)

    assert all(each.used >= 0 for each in after)
    reachable = sum(each.used for each in mine if each.entity in ("", entity))
    assert min(quantity, reachable) == sum(draw.amount for draw in back)
    assert all(was.used == now.used for was, now in zip(mine, after, strict=True) if was.entity not in ("", entity))


@given(bucket_lists(kinds=("overage", "grant")), quantities)
def test_overage_comes_back_first(buckets: list[Bucket], quantity: int) -> None:
    """No included unit comes back while an overage unit is still used."""
    mine = [each for each in buckets if each.feature == "msg" and not each.entity]
    back = give_back(mine, quantity)
    over = sum(each.used for each in mine if each.kind == "overage")
    kinds = {each.id: each.kind for each in mine}

    assert min(over, quantity) == sum(draw.amount for draw in back if kinds[draw.bucket_id] == "overage")


@given(
    st.lists(st.tuples(st.integers(1, 20), deadlines, st.integers(0, 3)), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 15)), max_size=8),
)
def test_earliest_deadline_first_never_serves_fewer_than_oldest_first(
    grants: list[tuple[int, int, int]], requests: list[tuple[int, int]]
) -> None:
    """Whatever is asked for and when, the order of burning serves at least as many units as oldest-first does."""
    buckets = [
        Bucket(f"b{n}", f"g{n}", "msg", amount=amount, lose_at=lose_at, effective_at=effective_at)
        for n, (amount, lose_at, effective_at) in enumerate(grants)
    ]

    def served(state: list[Bucket]) -> int:
        total = 0
        for now, quantity in sorted(requests):
            live = [each for each in state if each.lose_at > now]
            found = allocate(live, "msg", quantity, "cap")
            total += found.funded
            state = apply(live, found.draws)
        return total

    oldest_first = sorted(buckets, key=lambda each: (each.effective_at, each.id))
    ranked = [evolve(each, priority=rank) for rank, each in enumerate(oldest_first)]
    assert served(buckets) >= served(ranked)


@given(bucket_lists())
def test_the_order_is_total(buckets: list[Bucket]) -> None:
    """No two buckets rank the same."""
    assume(buckets)
    assert len(buckets) == len({burn_order(each) for each in buckets})
