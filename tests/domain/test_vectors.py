"""The shared worked examples of everything that happens to a bucket after it was drawn from.

Those of drawing and of periods stand with the tests of these.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kernia_billing.domain.aggregation import delta, value_hash
from kernia_billing.domain.alerts import Threshold, fired
from kernia_billing.domain.buckets import Bucket, allocate, apply
from kernia_billing.domain.drawing import shift
from kernia_billing.domain.holds import reserve, settle
from kernia_billing.domain.instants import FOREVER, Instant, to_instant
from kernia_billing.domain.period import Interval, Rhythm
from kernia_billing.domain.plan_change import Part, Running, change
from kernia_billing.domain.rollover import Closing, Rolled, Rule, opening, step

from ..harness.engine_model import EngineModel, Refused

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())
MONTHS = Rhythm(to_instant(datetime.fromisoformat("2026-01-01T00:00:00+00:00")), Interval("month"))


def names(section: str) -> list[str]:
    """What the examples of a section are called."""
    return [each.get("name") or each.get("kind") or "thresholds" for each in VECTORS[section]]


def instant(text: str | None) -> Instant:
    """A time of the examples; null is never."""
    return FOREVER if text is None else to_instant(datetime.fromisoformat(text))


def test_every_section_is_run() -> None:
    """A section that is added to the examples needs a test."""
    assert {"note", "burn", "period", "rollover", "plan_change", "hold", "aggregate", "alert"} == set(VECTORS)


@pytest.mark.parametrize("vector", VECTORS["rollover"], ids=names("rollover"))
def test_rollover(vector: dict[str, Any]) -> None:
    """After each closed period the rollover units are those of the example: how many, of which period, until when."""
    rule = Rule(vector["cap"], vector["expires_after_periods"])
    rolled: Sequence[Rolled] = ()
    for number, each in enumerate(vector["steps"]):
        assert instant(each["close"]) == MONTHS.start(number + 1)
        new = Rolled(number, each["unused"], rule.expiry(MONTHS, number))
        rolled = step(rolled, new, MONTHS.start(number + 1), rule.cap)
        found = [(f"R{one.origin + 1}", one.left, one.expires_at) for one in rolled]
        assert [(name, left, instant(until)) for name, left, until in each["buckets"]] == found


def test_rollover_of_periods_that_nobody_opened() -> None:
    """The idle customer's example gives the same where the four idle months are looked at only at their end."""
    vector = VECTORS["rollover"][1]
    found = opening(Closing(0, vector["steps"][0]["unused"]), 5, 100, MONTHS, rule=Rule(vector["cap"]))

    assert [(name, left) for name, left, _ in vector["steps"][-1]["buckets"]] == [
        (f"R{one.origin + 1}", one.left) for one in found.rolled
    ]


@pytest.mark.parametrize("vector", VECTORS["plan_change"], ids=names("plan_change"))
def test_plan_change(vector: dict[str, Any]) -> None:
    """What the new plan starts with."""
    part = Part(*vector.get("frac", (1, 1)))
    found = change(vector["policy"], Running(vector["old_amount"], vector["old_used"]), vector["new_amount"], part)
    expected = vector["result"]

    assert (expected["new_amount"], expected["new_used"]) == (found.amount, found.used)
    assert (expected["carry_bucket"], expected["debt"]) == (found.leftover, found.debt)


@pytest.mark.parametrize("vector", VECTORS["hold"], ids=names("hold"))
def test_hold(vector: dict[str, Any]) -> None:
    """What is held, what is left meanwhile, and what settling leaves."""
    buckets = [
        Bucket("plan", "g1", "msg", amount=100, lose_at=instant("2026-02-01T00:00:00+00:00")),
        Bucket("top", "g2", "msg", amount=50),
    ]
    hold = reserve("h", "msg", vector["hold"], allocate(buckets, "msg", vector["hold"], "require").draws, FOREVER)
    buckets = shift(buckets, hold.lines, held=1)
    assert vector["after_hold"] == {each.id: [each.amount, each.used, each.held] for each in buckets}
    assert vector["available_while_held"] == sum(each.available or 0 for each in buckets)

    ended = settle(hold, vector["actual"], 0)
    buckets = shift(shift(buckets, ended.used, used=1, held=-1), ended.released, held=-1)
    more = allocate(buckets, "msg", ended.excess, "record")
    assert vector["extra_lines"] == [[draw.bucket_id, draw.amount] for draw in more.draws]
    assert vector["unfunded"] == more.unfunded
    assert vector["after"] == {each.id: [each.amount, each.used, each.held] for each in apply(buckets, more.draws)}


@pytest.mark.parametrize("vector", VECTORS["aggregate"], ids=names("aggregate"))
def test_aggregation(vector: dict[str, Any]) -> None:
    """What each value adds, and what they amount to."""
    measured = 0
    seen: set[str] = set()
    deltas: list[int] = []
    for value in vector["values"]:
        is_new = value_hash(value) not in seen
        seen.add(value_hash(value))
        deltas.append(delta(vector["kind"], 1 if isinstance(value, str) else value, measured, is_new=is_new))
        measured += deltas[-1]

    assert (vector["deltas"], vector["used"]) == (deltas, measured)


@pytest.mark.parametrize("vector", VECTORS["alert"], ids=names("alert"))
def test_alerts(vector: dict[str, Any]) -> None:
    """Which thresholds each step fires."""
    thresholds = [Threshold(percent) for percent in vector["thresholds_percent"]]
    before = 0
    already: set[Threshold] = set()
    for moved, after, expected in vector["steps"]:
        assert after == before + moved
        found = fired(thresholds, before, after, vector["granted"], already)
        assert expected == [each.value for each in found]
        already.update(found)
        before = after


# ── The judge is judged by them too ──────────────────────────────────────────────────────────────────────────────────


def modelled(vector: dict[str, Any]) -> tuple[EngineModel, dict[str, str]]:
    """The reference model with an example's buckets, and their names by its ids."""
    pools = [(feature, cost) for feature, cost in vector["pools"]]
    model = EngineModel({vector["feature"]: pools}, now=instant("2026-01-01T00:00:00+00:00"))
    called: dict[str, str] = {}
    for raw in sorted(vector["buckets"], key=lambda raw: raw["seq"]):
        more = {name: raw[name] for name in ("priority", "category", "kind")}
        lose_at = instant(raw["lose_at"])
        grant = model.give(raw["feature"], raw["amount"], entity=raw["entity"] or "", expires_at=lose_at, **more)
        called[f"{grant}:0"] = raw["id"]
        if raw["used"]:
            model.track(raw["feature"], raw["used"])
    return model, called


@pytest.mark.parametrize("vector", VECTORS["burn"], ids=names("burn"))
def test_the_model_draws_as_the_examples_say(vector: dict[str, Any]) -> None:
    """Drawn and given back, bucket by bucket."""
    model, called = modelled(vector)
    feature, entity = vector["feature"], vector["entity"] or ""
    for each in vector["steps"]:
        if each["quantity"] < 0:
            assert each["restored"] == model.give_back(feature, -each["quantity"], entity=entity)["restored"]
        else:
            assert each["allowed"] == model.check(feature, each["quantity"], entity=entity)["allowed"]
            try:
                found = model.track(feature, each["quantity"], mode=each["mode"], entity=entity)
            except Refused:
                assert each["funded"] == 0
                continue
            assert each["funded"] == found["funded"]
            assert each["lines"] == [[called[bucket], amount] for bucket, amount in found["drawn"].items()]
        assert each["used"] == {called[row["id"]]: row["used"] for row in model.buckets.values()}
    model.verify()


@pytest.mark.parametrize("vector", VECTORS["hold"], ids=names("hold"))
def test_the_model_holds_as_the_examples_say(vector: dict[str, Any]) -> None:
    """Reserved and settled, bucket by bucket."""
    model = EngineModel()
    model.give("msg", 100, expires_at=10)
    model.give("msg", 50)

    def state() -> dict[str, list[int]]:
        numbers = [[each["amount"], each["used"], each["held"]] for each in model.buckets.values()]
        return dict(zip(("plan", "top"), numbers, strict=True))

    hold = model.reserve("msg", vector["hold"], 5)
    assert vector["after_hold"] == state()
    assert vector["available_while_held"] == model.balance("msg")["remaining"]
    found = model.settle(hold, vector["actual"])
    assert vector["unfunded"] == found["unfunded"]
    assert vector["after"] == state()


@pytest.mark.parametrize("vector", VECTORS["rollover"], ids=names("rollover"))
def test_the_model_rolls_over_as_the_examples_say(vector: dict[str, Any]) -> None:
    """Month by month, with what the example leaves unused."""
    amount = max(each["unused"] for each in vector["steps"])
    model = EngineModel(now=MONTHS.anchor)
    more: dict[str, Any] = {"cap": vector["cap"], "life": vector["expires_after_periods"]}
    grant = model.give("msg", amount, rhythm=MONTHS, **more)
    for each in vector["steps"]:
        # A month that includes what the example leaves of it, and of which nothing is used.
        model.buckets[model.grants[grant]["current"]]["amount"] = each["unused"]
        model.advance(instant(each["close"]))
        found = [
            [f"R{row['number'] + 1}", row["amount"], row["end"]]
            for row in sorted(model.live("msg"), key=lambda row: row["end"])
            if row["kind"] == "rollover" and row["amount"]
        ]
        assert [[name, left, instant(until)] for name, left, until in each["buckets"]] == found
