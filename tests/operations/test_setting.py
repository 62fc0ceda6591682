"""Features whose uses do not add up: maxima, latest values, counts of different values; and levels that are set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import (
    Credits,
    Feature,
    FeatureDenied,
    IdempotencyMismatch,
    InsufficientBalance,
    InvalidInput,
    Metered,
)
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.instants import DAY
from kernia_billing.domain.period import Interval
from kernia_billing.domain.plan_items import PlanItem
from kernia_billing.operations import retention
from tests.machines.stage import REFERENCE, START, Stage

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())[
    "aggregate"
]
MAX: dict[str, Any] = {"kind": "max", "values": [3, 5, 4, 9], "deltas": [3, 2, 0, 4], "used": 9}
"""The example of the specification that is not among the shared ones."""
Opens = Callable[..., Stage]


@pytest.fixture
def opens() -> Iterator[Opens]:
    """Opens stages in memory with the feature "x" of an aggregation, and judges them in the end."""
    with ExitStack() as stack:

        def open_stage(aggregation: str = "sum", **more: Any) -> Stage:
            kind: Any = aggregation
            features: dict[str, Metered | Credits] = {"x": Metered(0), "gold": Credits(0)}
            stage = Stage("sqlite://", features, [Feature("x", aggregation=kind, **more)])
            stack.callback(stage.close)
            stack.callback(stage.judge)
            return stage

        yield open_stage


def report(stage: Stage, value: int | str, feature: str = "x", **more: Any) -> Usage:
    """Report a value."""
    if isinstance(value, str):
        return stage.billing.track(REFERENCE, feature, properties={"value": value}, **more)
    return stage.billing.track(REFERENCE, feature, value, **more)


def moved(usage: Usage) -> int:
    """By how much the level rose."""
    return usage.quantity if usage.restored is None else -usage.quantity


@pytest.mark.parametrize("vector", [*VECTORS, MAX], ids=lambda vector: vector["kind"])
@pytest.mark.parametrize("included", [100, 6, 0])
def test_examples(vector: dict[str, Any], included: int, opens: Opens) -> None:
    """What each value adds, period after period, whether or not balances cover it."""
    stage = opens(vector["kind"])
    stage.give("x", included, interval=Interval("month"), anchor_at=START)
    for _ in range(2):
        level = 0
        for value, delta in zip(vector["values"], vector["deltas"], strict=True):
            usage = report(stage, value)
            level += delta
            assert usage.balance.used == min(level, included)
            if included == 100:
                assert (delta, abs(delta)) == (moved(usage), usage.funded)
        assert level == vector["used"]
        stage.clock.micros += 31 * DAY


def test_examples_on_every_engine(engine_url: str) -> None:
    """All of them at once, in two periods."""
    examples = [*VECTORS, MAX]
    kinds = [each["kind"] for each in examples]
    stage = Stage(engine_url, {kind: Metered(0) for kind in kinds}, [Feature(kind, aggregation=kind) for kind in kinds])
    for kind in kinds:
        stage.give(kind, 100, interval=Interval("month"), anchor_at=START)
    for _ in range(2):
        for each in examples:
            found = [moved(report(stage, value, each["kind"])) for value in each["values"]]
            assert each["deltas"] == found
        assert {each["kind"]: each["used"] for each in examples} == {
            kind: balance.used for kind, balance in stage.billing.balances(REFERENCE).items()
        }
        stage.clock.micros += 31 * DAY
    stage.judge()
    stage.close()


@pytest.mark.parametrize(
    ("kind", "values", "recorded"),
    [
        ("max", [3, 9, 9, 7, 10], [3, 6, 0, 0, 1]),
        ("latest", [3, 9, 9, 7, 2, 9], [3, 6, 0, 0, -2, 7]),
        ("unique", ["a", "b", "c", "d", "e", "a", "f"], [1, 1, 1, 1, 1, 0, 1]),
    ],
)
def test_what_no_balance_covers_is_recorded_once(
    kind: str, values: list[int | str], recorded: list[int], opens: Opens
) -> None:
    """Beyond four nothing is drawn; the level is remembered all the same, and falls from the top."""
    stage = opens(kind)
    stage.give("x", 4)

    assert recorded == [moved(report(stage, value)) for value in values]
    assert 4 == stage.billing.balances(REFERENCE)["x"].used


@pytest.mark.parametrize(
    ("kind", "values"),
    [("max", [9, 9]), ("latest", [9, 9]), ("unique", ["a", "b", "c", "d", "e", "f", "g", "h", "i", "a"])],
)
def test_what_was_not_covered_is_drawn_when_there_is_room(kind: str, values: list[int | str], opens: Opens) -> None:
    """A top-up after the fact: the same level, told again, is covered now."""
    stage = opens(kind)
    stage.give("x", 4)
    for value in values[:-1]:
        report(stage, value)
    stage.give("x", 3)

    usage = report(stage, values[-1])
    assert (3, 3, 0, 7) == (usage.quantity, usage.funded, usage.unfunded, usage.balance.used)


def test_required_and_capped_levels(opens: Opens) -> None:
    """A level that is not covered is refused whole, or reached as far as it fits; a refusal leaves no trace."""
    stage = opens("max")
    stage.give("x", 4)
    with pytest.raises(InsufficientBalance) as refused:
        stage.billing.consume(REFERENCE, "x", 5)
    assert 5 == refused.value.decision.required
    assert [] == stage.rows("measure")

    assert 3 == stage.billing.consume(REFERENCE, "x", 3).funded
    capped = report(stage, 6, mode="cap")
    assert (3, 1, 2) == (capped.quantity, capped.funded, capped.unfunded)
    stage.give("x", 1)
    assert (1, 1) == ((again := report(stage, 5, mode="cap")).quantity, again.funded)
    assert 0 == stage.billing.consume(REFERENCE, "x", 5).quantity


def test_required_and_capped_values(opens: Opens) -> None:
    """A value that was refused, or did not fit, is new still."""
    stage = opens("unique")
    stage.give("x", 1)
    consume = stage.billing.consume
    assert 1 == consume(REFERENCE, "x", properties={"value": "a"}).funded
    with pytest.raises(InsufficientBalance):
        consume(REFERENCE, "x", properties={"value": "b"})
    assert (1, 0) == ((capped := report(stage, "b", mode="cap")).quantity, capped.funded)
    assert 0 == consume(REFERENCE, "x", properties={"value": "a"}).quantity
    stage.give("x", 1)

    assert 1 == consume(REFERENCE, "x", properties={"value": "b"}).funded


def test_nobody_without_the_feature_may_report_a_known_value(opens: Opens) -> None:
    """A value that adds nothing is refused too where there is nothing to draw it from."""
    stage = opens("unique")
    report(stage, "a")

    with pytest.raises(FeatureDenied) as denied:
        stage.billing.consume(REFERENCE, "x", properties={"value": "a"})
    assert "not_entitled" == denied.value.decision.reason


def test_a_unique_value_has_to_be_told(opens: Opens) -> None:
    """Which value was used stands in the property of that name; a number and its text are two."""
    stage = opens("unique")
    stage.give("x", 10)
    for wrong in (None, {}, {"values": "a"}):
        with pytest.raises(InvalidInput) as missing:
            stage.billing.track(REFERENCE, "x", properties=wrong)
        assert "properties.value" == missing.value.field
    values: list[Any] = ["1", 1, True, "1", 1, True]

    assert [1, 1, 1, 0, 0, 0] == [
        stage.billing.track(REFERENCE, "x", properties={"value": value}).quantity for value in values
    ]


@pytest.mark.parametrize("kind", ["max", "latest"])
def test_each_entity_has_a_level_of_its_own(kind: str, opens: Opens) -> None:
    """They draw from what is the customer's, and do not know of each other."""
    stage = opens(kind)
    stage.give("x", 100)
    told = [("a", 3), ("b", 4), (None, 5), ("a", 3), ("b", 6), (None, 5)]

    assert [3, 4, 5, 0, 2, 0] == [moved(report(stage, value, entity=entity)) for entity, value in told]
    assert 14 == stage.billing.balances(REFERENCE)["x"].used


@pytest.mark.parametrize("kind", ["max", "latest"])
def test_what_is_given_back_lowers_the_level(kind: str, opens: Opens) -> None:
    """Given back by name or without one, it can be reached anew."""
    stage = opens(kind)
    stage.give("x", 100)
    use = report(stage, 7)
    stage.billing.give_back(REFERENCE, "x", 2)
    assert 1 == report(stage, 6).quantity
    stage.billing.refund(REFERENCE, use.event_id, 4)

    assert (2, 2) == ((again := report(stage, 4)).quantity, again.funded)
    assert 4 == again.balance.used


def test_a_refunded_value_is_new_again(opens: Opens) -> None:
    """Within its period; a refund of an earlier one makes nothing new now."""
    stage = opens("unique")
    stage.give("x", 100, interval=Interval("month"), anchor_at=START)
    first = report(stage, "a")
    stage.billing.refund(REFERENCE, first.event_id)
    again = report(stage, "a")
    assert (1, 1) == (again.quantity, again.balance.used)
    stage.clock.micros += 31 * DAY
    assert 1 == report(stage, "a").quantity
    stage.billing.refund(REFERENCE, again.event_id)

    assert (0, 1) == ((now := report(stage, "a")).quantity, now.balance.used)


@pytest.mark.parametrize("kind", ["max", "latest", "unique"])
def test_a_change_of_plan_forgets_no_level(kind: str, opens: Opens) -> None:
    """Within a period it is carried on with the usage."""
    stage = opens(kind)
    values: Sequence[int | str] = [3, 3, 3] if kind != "unique" else ["a", "a", "a"]
    told: list[int] = []
    for value, amount in zip(values, (10, 50, 10), strict=True):
        stage.change_plan(PlanItem("x", "metered", amount, reset="month"))
        told.append(report(stage, value).quantity)

    assert [3 if kind != "unique" else 1, 0, 0] == told


def test_levels_of_earlier_periods_are_forgotten(opens: Opens) -> None:
    """Their rows are pruned when their periods are over for a month; those of the running one stay."""
    stage = opens("unique")
    stage.give("x", 100, interval=Interval("month"), anchor_at=START)
    for month in range(4):
        for value in "abc":
            report(stage, value)
        run_blocking(retention.prune(stage.core))
        kept = min(month + 1, 2)
        assert (kept, 3 * kept) == (len(stage.rows("measure")), len(stage.rows("unique_value"))), month
        stage.clock.micros += 31 * DAY


def test_a_report_is_one_for_its_key(opens: Opens) -> None:
    """The first answer comes again, whatever the level is by then."""
    stage = opens("latest")
    stage.give("x", 100)
    first = report(stage, 7, idempotency_key="k")
    report(stage, 2)

    assert evolve(first, replayed=True) == report(stage, 7, idempotency_key="k")
    assert 2 == stage.billing.balances(REFERENCE)["x"].used


# ── Levels that are set ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["sum", "count", "max", "latest", "unique"])
def test_a_level_is_set(kind: str, opens: Opens) -> None:
    """Of any feature, up and down and to where it was; the difference is what is recorded."""
    stage = opens(kind)
    stage.give("x", 10, expires_at=START + DAY)
    stage.give("x", 100)
    stage.give("x", 20, kind="overage")

    found = [stage.billing.set_usage(REFERENCE, "x", level) for level in (7, 125, 125, 30, 0, 0)]
    assert [7, 118, 0, -95, -30, 0] == [moved(each) for each in found]
    assert [7, 110, 110, 30, 0, 0] == [each.balance.used for each in found]
    assert 15 == found[1].balance.overage_used
    assert {"set"} == {each["mode"] for each in stage.rows("usage_event")}
    assert 2 == report(stage, 2 if kind != "unique" else "a").quantity + (kind in ("count", "unique"))


def test_a_level_beyond_what_there_is(opens: Opens) -> None:
    """What is covered is used, the rest is reported."""
    stage = opens()
    stage.give("x", 10)
    usage = stage.billing.set_usage(REFERENCE, "x", 14)

    assert (14, 10, 4, 10) == (usage.quantity, usage.funded, usage.unfunded, usage.balance.used)
    assert (1, 9) == ((lower := stage.billing.set_usage(REFERENCE, "x", 9)).funded, lower.balance.used)


def test_a_level_that_credits_pay_for(opens: Opens) -> None:
    """What a pool paid counts as used, and comes back as credits; what others used of it does not."""
    stage = opens(credit_cost={"gold": 10})
    stage.give("x", 2)
    stage.give("gold", 100)
    stage.billing.track(REFERENCE, "gold", 30)

    def level(used: int) -> tuple[int, int]:
        recorded = moved(stage.billing.set_usage(REFERENCE, "x", used))
        return recorded, stage.billing.balances(REFERENCE)["gold"].used

    assert [(5, 60), (0, 60), (4, 100), (-6, 40), (-2, 30)] == [level(used) for used in (5, 5, 9, 3, 1)]


def test_a_level_is_set_once_for_its_key(opens: Opens) -> None:
    """Repeated it answers as before; another level under the key is refused."""
    stage = opens()
    stage.give("x", 10)
    first = stage.billing.set_usage(REFERENCE, "x", 4, idempotency_key="k")
    stage.billing.track(REFERENCE, "x", 3)

    assert evolve(first, replayed=True) == stage.billing.set_usage(REFERENCE, "x", 4, idempotency_key="k")
    with pytest.raises(IdempotencyMismatch):
        stage.billing.set_usage(REFERENCE, "x", 5, idempotency_key="k")
    assert 7 == stage.billing.balances(REFERENCE)["x"].used


@pytest.mark.parametrize("used", [-1, 10**9 + 1, True, 1.0, "1", None])
def test_a_level_is_a_bounded_integer(used: Any, opens: Opens) -> None:
    """Anything but an integer of 0 to 10^9 is refused, and the argument is named."""
    stage = opens()
    with pytest.raises(InvalidInput) as wrong:
        stage.billing.set_usage(REFERENCE, "x", used)

    assert "used" == wrong.value.field
    assert [] == stage.rows("usage_event")


@pytest.fixture
def staged(opens: Opens) -> Callable[[str], Stage]:
    """The stage of an aggregation, emptied for every example."""
    known: dict[str, Stage] = {}

    def clean(kind: str) -> Stage:
        stage = known.get(kind) or known.setdefault(kind, opens(kind))
        stage.clear()
        return stage

    return clean


@given(
    st.sampled_from(["max", "latest", "unique"]),
    st.integers(0, 12),
    st.lists(st.tuples(st.sampled_from(["report", "report", "set", "grant"]), st.integers(1, 12)), max_size=10),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_used_is_the_level_as_far_as_it_is_covered(
    staged: Callable[[str], Stage], kind: str, included: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever is reported, set and given in whatever order; what is recorded adds up to what is used at least."""
    stage = staged(kind)
    stage.give("x", included)
    level = 0
    seen: set[int] = set()
    for action, number in steps:
        if action == "grant":
            stage.give("x", number)
            included += number
            continue
        if action == "set":
            usage, level = stage.billing.set_usage(REFERENCE, "x", number), number
        elif kind == "unique":
            usage = report(stage, str(number))
            level += number not in seen
            seen.add(number)
        else:
            usage = report(stage, number)
            level = max(level, number) if kind == "max" else number
        assert min(level, included) == usage.balance.used
    recorded = sum(event.quantity for event in stage.billing.usage(REFERENCE, limit=200))
    assert recorded >= stage.billing.balances(REFERENCE)["x"].used
    stage.judge()
