"""What is given back without naming a use: in the reverse order, and of pools no more than the feature drew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import Credits, Feature, Metered
from kernia_billing.domain.instants import DAY
from kernia_billing.domain.period import Interval
from kernia_billing.domain.plan_items import PlanItem
from tests.machines.stage import REFERENCE, START, Stage

FEATURES: Mapping[str, Metered | Credits] = {"x": Metered(0), "gold": Credits(0), "silver": Credits(0)}
DECLARED = [Feature("paid", credit_cost={"gold": 10, "silver": 3}), Feature("other", credit_cost={"gold": 5})]


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nobody has anything yet; the books are in order in the end."""
    opened = Stage("sqlite://", FEATURES, DECLARED)
    yield opened
    opened.judge()
    opened.close()


def used(stage: Stage) -> dict[str, int]:
    """How much is used of each feature, overage apart."""
    found: dict[str, int] = {}
    for each in stage.buckets():
        name = each["feature_key"] + ("+" if each["grant_kind"] == "overage" else "")
        found[name] = found.get(name, 0) + each["used"]
    return found


def test_the_worked_example(stage: Stage) -> None:
    """Overage first, then the top-up, then the plan; never more than is used (G1)."""
    plan, top, over = (
        stage.give("x", 100, expires_at=START + DAY, used=100),
        stage.give("x", 50, used=50),
        stage.give("x", None, kind="overage", used=30),
    )

    def by_grant() -> list[int]:
        rows = {each["entitlement_id"]: each["used"] for each in stage.buckets()}
        return [rows[name] for name in (plan, top, over)]

    first = stage.billing.give_back(REFERENCE, "x", 60)
    assert (60, 60, 0, 60) == (first.quantity, first.funded, first.unfunded, first.restored)
    assert [100, 20, 0] == by_grant()
    rest = stage.billing.give_back(REFERENCE, "x", 500)
    assert (120, 380, 120) == (rest.funded, rest.unfunded, rest.restored)
    assert [0, 0, 0] == by_grant()


def test_stages_come_back_in_the_reverse_order(stage: Stage) -> None:
    """The overage of pools, that of the feature, the pools from the last to the first, and the feature itself."""
    for feature, amount, kind in (
        ("paid", 2, "grant"),
        ("gold", 20, "grant"),
        ("silver", 6, "grant"),
        ("paid", 2, "overage"),
        ("gold", 20, "overage"),
    ):
        stage.give(feature, amount, kind=kind)
    stage.billing.consume(REFERENCE, "paid", 10)

    left: list[dict[str, int]] = []
    for _ in range(6):
        assert 2 == stage.billing.give_back(REFERENCE, "paid", 2).funded or len(left) == 5
        left.append(used(stage))
    names = ("paid", "gold", "silver", "paid+", "gold+")
    assert [
        (2, 20, 6, 2, 0),
        (2, 20, 6, 0, 0),
        (2, 20, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0),
    ] == [tuple(each[name] for name in names) for each in left]


def test_credits_that_others_used_stay_used(stage: Stage) -> None:
    """A feature gives back what it drew itself, whoever drew before and after it."""
    stage.give("gold", 200)
    stage.billing.consume(REFERENCE, "other", 4)
    stage.billing.consume(REFERENCE, "paid", 3)
    stage.billing.consume(REFERENCE, "gold", 7)
    use = stage.billing.consume(REFERENCE, "paid", 5)
    stage.billing.refund(REFERENCE, use.event_id, 2)
    stage.billing.give_back(REFERENCE, "gold", 1)

    back = [stage.billing.give_back(REFERENCE, "paid", amount) for amount in (4, 4)]
    assert [4, 2] == [each.funded for each in back]
    assert {"gold": 26} == used(stage)
    assert 4 == stage.billing.give_back(REFERENCE, "other", 9).funded


def test_credits_of_a_hold_count_as_drawn(stage: Stage) -> None:
    """From when it is settled."""
    stage.give("gold", 200)
    hold = stage.billing.reserve(REFERENCE, "paid", 6)
    assert 0 == stage.billing.give_back(REFERENCE, "paid", 1).funded
    hold.settle(5)

    assert 5 == stage.billing.give_back(REFERENCE, "paid", 9).funded


def test_credits_of_the_running_period(stage: Stage) -> None:
    """What was drawn in the last period does not come back in this one."""
    stage.give("gold", 100, interval=Interval("month"), anchor_at=START)
    stage.billing.consume(REFERENCE, "paid", 6)
    stage.clock.micros += 31 * DAY
    stage.billing.consume(REFERENCE, "other", 9)
    stage.billing.consume(REFERENCE, "paid", 2)

    assert 2 == stage.billing.give_back(REFERENCE, "paid", 9).funded
    assert [45, 60] == sorted(each["used"] for each in stage.buckets())


def test_credits_that_a_change_of_plan_carried(stage: Stage) -> None:
    """They come back to the plan that has them now, along every change."""

    def plan(amount: int) -> PlanItem:
        return PlanItem("gold", "credit", amount, reset="month")

    for amount in (100, 500, 300):
        stage.change_plan(plan(amount))
        stage.billing.consume(REFERENCE, "paid", 2)
        stage.billing.consume(REFERENCE, "other", 1)

    assert 6 == stage.billing.give_back(REFERENCE, "paid", 9).funded
    assert (15, 285) == ((gold := stage.billing.balances(REFERENCE)["gold"]).used, gold.remaining)


def test_what_is_held_stays_held(stage: Stage) -> None:
    """Only what was used comes back."""
    stage.give("x", 10)
    stage.billing.consume(REFERENCE, "x", 3)
    stage.billing.reserve(REFERENCE, "x", 5)

    assert 3 == (back := stage.billing.give_back(REFERENCE, "x", 9)).funded
    assert (0, 5) == (back.balance.used, back.balance.held)


@pytest.fixture
def clean_stage() -> Iterator[Callable[[], Stage]]:
    """A stage that is emptied for every example."""
    opened = Stage("sqlite://", FEATURES, DECLARED)

    def clean() -> Stage:
        opened.clear()
        return opened

    yield clean
    opened.close()


_steps = st.lists(
    st.tuples(
        st.sampled_from(["use", "use", "give back", "refund", "plan", "wait"]),
        st.sampled_from(["paid", "other"]),
        st.integers(1, 12),
    ),
    max_size=14,
)


@given(_steps)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_feature_gives_back_what_another_drew(
    clean_stage: Callable[[], Stage], steps: list[tuple[str, str, int]]
) -> None:
    """In any order, through changes of plan and of period: what one gave back it had drawn, and everything adds up."""
    stage = clean_stage()
    cost = {"paid": 10, "other": 5}
    stage.give("gold", 150, interval=Interval("month"), anchor_at=START)
    drawn: dict[str, int] = dict.fromkeys(cost, 0)
    uses: list[tuple[str, str]] = []
    for action, feature, number in steps:
        if action == "use":
            use: Any = stage.billing.track(REFERENCE, feature, number)
            uses.append((feature, use.event_id))
            drawn[feature] += use.funded
        elif action == "give back":
            back = stage.billing.give_back(REFERENCE, feature, number)
            drawn[feature] -= back.funded
        elif action == "refund" and uses:
            of, event = uses[number % len(uses)]
            drawn[of] -= stage.billing.refund(REFERENCE, event, number).restored or 0
        elif action == "plan":
            stage.change_plan(PlanItem("gold", "credit", 20 * number, reset="month"))
        elif action == "wait":
            stage.clock.micros += number * DAY
        assert min(drawn.values()) >= 0
        gold = stage.billing.balances(REFERENCE)["gold"]
        assert gold.used <= sum(cost[each] * units for each, units in drawn.items())
    stage.judge()
