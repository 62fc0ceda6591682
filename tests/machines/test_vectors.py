"""The shared worked examples, through the engine as applications call it, on every database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kernia_billing import Credits, Feature, FeatureDenied, Metered
from kernia_billing.domain.alerts import Threshold
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.instants import DAY
from kernia_billing.domain.period import Interval
from kernia_billing.domain.plan_items import PlanItem
from kernia_billing.domain.rollover import Rule
from kernia_billing.domain.terms import Terms
from tests.machines.stage import REFERENCE, START, Stage, instant

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())
Opens = Callable[..., Stage]


def examples(section: str) -> pytest.MarkDecorator:
    """A test for each example of a section."""
    names = [each.get("name") or each.get("kind") or "thresholds" for each in VECTORS[section]]
    return pytest.mark.parametrize("vector", VECTORS[section], ids=names)


@pytest.fixture
def opens(engine_url: str) -> Iterator[Opens]:
    """Opens a stage on the database of the test."""
    with ExitStack() as stack:

        def open_stage(features: Mapping[str, Metered | Credits], *declared: Feature) -> Stage:
            stage = Stage(engine_url, features, declared)
            stack.callback(stage.close)
            return stage

        yield open_stage


def names_of(stage: Stage, called: Mapping[str, str]) -> dict[str, str]:
    """What the example calls each bucket, by its id; `called` is by grant."""
    return {each["id"]: called[each["entitlement_id"]] for each in stage.buckets()}


def lines(usage: Usage, names: Mapping[str, str]) -> list[list[object]]:
    """What a receipt says was drawn."""
    return [[names[str(each["bucketId"])], each["amount"]] for each in usage.deductions]


def used(stage: Stage, called: Mapping[str, str]) -> dict[str, int]:
    """How much of each grant is used; one that nobody touched has no bucket yet."""
    found = dict.fromkeys(called.values(), 0)
    for each in stage.buckets():
        found[called[each["entitlement_id"]]] += each["used"]
    return found


def test_every_section_is_run() -> None:
    """A section that is added to the examples needs a test; periods have no state, and are tested by themselves."""
    assert {"note", "burn", "period", "rollover", "plan_change", "hold", "aggregate", "alert"} == set(VECTORS)


@examples("burn")
def test_burn(vector: dict[str, Any], opens: Opens) -> None:
    """Drawn and given back, bucket by bucket; `check` says before what `consume` then does."""
    feature = vector["feature"]
    pools: Sequence[tuple[str, int]] = [(pool, cost) for pool, cost in vector["pools"]]
    stage = opens(
        {feature: Metered(0), **{pool: Credits(0) for pool, _ in pools}},
        Feature(feature, credit_cost=dict(pools)),
    )
    called: dict[str, str] = {}
    for raw in sorted(vector["buckets"], key=lambda raw: raw["seq"]):
        more = {name: raw[name] for name in ("priority", "category", "kind", "used")}
        more |= {"entity": raw["entity"] or "", "expires_at": instant(raw["lose_at"])}
        called[stage.give(raw["feature"], raw["amount"], **more)] = raw["id"]
    entity = vector["entity"]
    for each in vector["steps"]:
        quantity = each["quantity"]
        if quantity < 0:
            given = stage.billing.give_back(REFERENCE, feature, -quantity, entity=entity)
            assert each["restored"] == given.funded
        else:
            assert each["allowed"] == stage.billing.check(REFERENCE, feature, quantity, entity=entity).allowed
            try:
                drawn = stage.billing.track(REFERENCE, feature, quantity, mode=each["mode"], entity=entity)
            except FeatureDenied:
                assert (each["mode"], each["funded"]) == ("require", 0)
            else:
                assert (each["funded"], quantity - each["funded"]) == (drawn.funded, drawn.unfunded)
                assert each["lines"] == lines(drawn, names_of(stage, called))
        assert each["used"] == used(stage, called)
    stage.judge()


@examples("hold")
def test_hold(vector: dict[str, Any], opens: Opens) -> None:
    """What is held, what is left meanwhile, and what settling leaves."""
    stage = opens({"msg": Metered(0)})
    ends = instant("2026-02-01T00:00:00+00:00")
    called = {stage.give("msg", 100, expires_at=ends): "plan", stage.give("msg", 50): "top"}

    def state() -> dict[str, list[int]]:
        return {
            called[each["entitlement_id"]]: [each["amount"], each["used"], each["held"]] for each in stage.buckets()
        }

    hold = stage.billing.reserve(REFERENCE, "msg", vector["hold"], ttl=600)
    assert vector["after_hold"] == state()
    assert vector["available_while_held"] == stage.billing.balances(REFERENCE)["msg"].remaining
    left = vector["available_while_held"]
    assert [True, False] == [stage.billing.check(REFERENCE, "msg", asked).allowed for asked in (left, left + 10)]
    settled = hold.settle(vector["actual"])

    assert (vector["actual"], vector["unfunded"]) == (settled.quantity, settled.unfunded)
    assert vector["after"] == state()
    drawn: dict[object, int] = {}
    for name, amount in lines(settled, names_of(stage, called)):
        drawn[name] = drawn.get(name, 0) + int(str(amount))
    assert {name: row[1] for name, row in vector["after"].items() if row[1]} == drawn
    stage.judge()


@examples("rollover")
def test_rollover(vector: dict[str, Any], opens: Opens) -> None:
    """Month by month what is left unused rolls over, within the cap, until it is lost."""
    stage = opens({"msg": Metered(0)})
    terms = Terms(rollover=Rule(vector["cap"], vector["expires_after_periods"])).text()
    grant = stage.give("msg", 0, terms=terms, interval=Interval("month"), anchor_at=START)
    for each in vector["steps"]:
        # The month includes what the example leaves of it.
        stage.amend(grant, each["unused"])
        stage.clock.micros = instant(each["close"])
        expected = [[name, left, instant(until)] for name, left, until in each["buckets"]]
        included = each["unused"] + sum(left for _, left, _ in expected)
        assert included == stage.billing.balances(REFERENCE)["msg"].remaining
        stage.billing.give_back(REFERENCE, "msg", 1)
        assert expected == rolled(stage)
        assert included == stage.billing.balances(REFERENCE)["msg"].remaining
    stage.judge()


@pytest.mark.parametrize("looks", [False, True], ids=["asleep", "asking"])
def test_rollover_of_an_idle_customer(looks: bool, opens: Opens) -> None:
    """The second example, as it is told: thirty used in the first month, then nothing is written for four."""
    vector = VECTORS["rollover"][1]
    stage = opens({"msg": Metered(0)})
    terms = Terms(rollover=Rule(vector["cap"])).text()
    stage.give("msg", 100, terms=terms, interval=Interval("month"), anchor_at=START)
    stage.billing.track(REFERENCE, "msg", 30)
    for each in vector["steps"]:
        stage.clock.micros = instant(each["close"])
        if looks:
            left = 100 + sum(left for _, left, _ in each["buckets"])
            assert left == stage.billing.balances(REFERENCE)["msg"].remaining
            assert [True, False] == [stage.billing.check(REFERENCE, "msg", left + more).allowed for more in (0, 1)]
    stage.billing.give_back(REFERENCE, "msg", 1)

    assert [[name, left, instant(until)] for name, left, until in vector["steps"][-1]["buckets"]] == rolled(stage)
    stage.judge()


def rolled(stage: Stage) -> list[list[object]]:
    """The rollover units there are now: of which month, how many, until when."""
    found: list[list[object]] = []
    for each in stage.buckets():
        left = each["amount"] - each["used"] - each["held"]
        if each["grant_source_type"] == "rollover" and left and each["grant_expires_at"] > stage.clock.micros:
            origin = int(each["grant_source_id"].rpartition(":")[2])
            found.append([f"R{origin + 1}", left, each["grant_expires_at"]])
    return sorted(found)


@examples("plan_change")
def test_plan_change(vector: dict[str, Any], opens: Opens) -> None:
    """What the new plan starts with, by each policy, and what comes on top."""
    stage = opens({"msg": Metered(0)})
    # April has thirty days.
    start, left = instant("2026-04-01T00:00:00+00:00"), vector.get("frac", (15, 30))[0]
    stage.clock.micros = start

    def plan(amount: int) -> PlanItem:
        return PlanItem("msg", "metered", amount, reset="month", on_plan_change=vector["policy"])

    stage.change_plan(plan(vector["old_amount"]))
    stage.billing.track(REFERENCE, "msg", vector["old_used"])
    stage.clock.micros = start + (30 - left) * DAY
    stage.change_plan(plan(vector["new_amount"]))
    expected = vector["result"]
    balance = stage.billing.balances(REFERENCE)["msg"]

    assert expected["new_amount"] + expected["carry_bucket"] == balance.included
    assert expected["new_used"] == balance.used
    assert expected["debt"] == sum(each["owed"] for each in stage.rows("bucket"))
    on_top = [each for each in stage.rows("entitlement") if each["source_type"] == "carry"]
    lost_at = [(expected["carry_bucket"], start + 30 * DAY)] if expected["carry_bucket"] else []
    assert lost_at == [(each["amount"], each["expires_at"]) for each in on_top]
    stage.judge()


@examples("aggregate")
def test_aggregation(vector: dict[str, Any], opens: Opens) -> None:
    """What each value adds, and what they amount to."""
    stage = opens({"msg": Metered(0)}, Feature("msg", aggregation=vector["kind"]))
    stage.give("msg", 100)
    deltas: list[int] = []
    for value in vector["values"]:
        before = stage.billing.balances(REFERENCE)["msg"].used
        if isinstance(value, str):
            stage.billing.track(REFERENCE, "msg", properties={"value": value})
        else:
            stage.billing.track(REFERENCE, "msg", value)
        deltas.append(stage.billing.balances(REFERENCE)["msg"].used - before)

    assert (vector["deltas"], vector["used"]) == (deltas, stage.billing.balances(REFERENCE)["msg"].used)
    stage.judge()


@examples("alert")
def test_alerts(vector: dict[str, Any], opens: Opens) -> None:
    """Which thresholds each step fires, in its receipt and as events."""
    stage = opens({"msg": Metered(0)})
    terms = Terms(alerts=tuple(map(Threshold, vector["thresholds_percent"]))).text()
    stage.give("msg", vector["granted"], terms=terms)
    told: list[int] = []
    for moved, after, expected in vector["steps"]:
        act = stage.billing.track if moved > 0 else stage.billing.give_back
        usage = act(REFERENCE, "msg", abs(moved))
        told += expected
        assert (after, expected) == (usage.balance.used, list(usage.alerts))
        sent = [each for each in stage.rows("outbox") if each["topic"] == "balance.threshold"]
        sent.sort(key=lambda each: int(each["position"]))
        assert told == [json.loads(each["payload"])["data"]["threshold"] for each in sent]
    stage.judge()
