"""The planner and the reference model judge each other: whatever is done, both say and move the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernia_billing.domain.buckets import Allocation, Bucket, Draw, Mode, Pool, allocate
from kernia_billing.domain.holds import Hold, reserve, settle, settle_part
from kernia_billing.domain.instants import DAY
from kernia_billing.domain.limits import Limit, Window, headroom, meters
from kernia_billing.domain.period import Interval, Rhythm
from kernia_billing.domain.plan_change import Running, change, remaining_part
from kernia_billing.domain.plans import PlanChangePolicy
from kernia_billing.domain.refunds import Place, anonymous, refund
from kernia_billing.domain.rollover import Closing, DebtMode, Rolled, Rule, opening

from ..harness.engine_books import Row
from ..harness.engine_model import EngineModel, Mismatch, Refused

DAYS = Rhythm(0, Interval("day"))
POOLS = {"msg": [("credits", 3)]}
features = st.sampled_from(["msg", "credits"])
small = st.integers(0, 25)
entities = st.sampled_from(["", "A"])


def view(model: EngineModel, feature: str, entity: str) -> list[Bucket]:
    """The model's live buckets as the planner's."""
    return [
        Bucket(
            id=each["id"],
            grant_id=each["grant"],
            feature=each["feature"],
            entity=each["entity"],
            amount=each["amount"],
            used=each["used"],
            held=each["held"],
            priority=model.grants[each["grant"]]["priority"],
            lose_at=each["lose_at"],
            category=model.grants[each["grant"]]["category"],
            kind=each["kind"],
            effective_at=each["start"] if each["kind"] == "rollover" else model.grants[each["grant"]]["effective_at"],
            seq=model.grants[each["grant"]]["seq"],
        )
        for each in model.live(feature, entity)
    ]


def room(model: EngineModel, feature: str, entity: str) -> int | None:
    """What the limits leave, by the library."""
    limits = [
        Limit(name, row["feature"], row["maximum"], row["rhythm"], row["entity"], row["per_entity"])
        for name, row in model.limits.items()
    ]
    windows = [Window(*key, used) for key, used in model.windows.items()]
    return headroom(meters(limits, windows, feature, model.now, entity=entity))


def planned(model: EngineModel, feature: str, quantity: int, mode: Mode, entity: str) -> Allocation:
    """What the planner makes of a request in the model's state."""
    pools = [Pool(pool, cost, room(model, pool, entity)) for pool, cost in POOLS.get(feature, ())]
    left = room(model, feature, entity)
    assert left == model.room(feature, entity)
    return allocate(view(model, feature, entity), feature, quantity, mode, entity=entity, pools=pools, headroom=left)


def amounts(draws: Iterable[Draw]) -> dict[str, int]:
    """How much the draws move in each bucket."""
    total: dict[str, int] = {}
    for each in draws:
        total[each.bucket_id] = total.get(each.bucket_id, 0) + each.amount
    return total


class Both(RuleBasedStateMachine):
    """Every step is done by the model, and planned by the library on the state before it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = EngineModel(POOLS)
        self.holds: dict[str, Hold] = {}
        self.lines: dict[str, Sequence[Draw]] = {}

    def moved(self, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """How used and held of each bucket changed."""
        changes = {
            name: (used - before.get(name, (0, 0))[0], held - before.get(name, (0, 0))[1])
            for name, (used, held) in self.state().items()
        }
        return {name: each for name, each in changes.items() if each != (0, 0)}

    def state(self) -> dict[str, tuple[int, int]]:
        """Used and held of each bucket."""
        return {name: (each["used"], each["held"]) for name, each in self.model.buckets.items()}

    @initialize(direct=small, credits=small, over=st.one_of(st.none(), small), maximum=st.one_of(st.none(), small))
    def start(self, direct: int, credits: int, over: int | None, maximum: int | None) -> None:
        """Something of every kind to draw from, and perhaps a limit on the pool."""
        self.model.give("msg", direct, rhythm=DAYS, cap=direct)
        self.model.give("credits", credits * 2)
        self.model.give("credits", over, kind="overage")
        if maximum is not None:
            self.limit("credits", maximum, "", False)

    @rule(
        feature=features,
        amount=st.one_of(st.none(), small, small),
        entity=entities,
        kind=st.sampled_from(["grant", "grant", "overage"]),
        daily=st.booleans(),
        cap=st.one_of(st.none(), small),
        life=st.one_of(st.none(), st.integers(1, 2)),
        priority=st.sampled_from([10, 50]),
    )
    def give(self, feature: str, amount: int | None, kind: str, daily: bool, cap: int | None, **more: Any) -> None:
        """A grant of any kind; rollover only where something is included."""
        rhythm = DAYS if daily else None
        cap = cap if kind == "grant" and daily else None
        self.model.give(feature, amount, kind=kind, rhythm=rhythm, cap=cap, **more)

    @precondition(lambda self: len(self.model.limits) < 3)
    @rule(feature=features, maximum=small, entity=entities, per_entity=st.booleans())
    def limit(self, feature: str, maximum: int, entity: str, per_entity: bool) -> None:
        """A limit with an anchor of its own."""
        rhythm = Rhythm(DAY // 3, Interval("hour", 12))
        self.model.limit(feature, maximum, rhythm, entity="" if per_entity else entity, per_entity=per_entity)

    @rule(amount=st.one_of(st.none(), small), policy=st.sampled_from(get_args(PlanChangePolicy)), over=st.booleans())
    def change_plan(self, amount: int | None, policy: str, over: bool) -> None:
        """Another plan with another policy; the lines of holds follow what moved."""
        row: Row = {"amount": amount, "policy": policy, "rhythm": DAYS, "overage": "free" if over else "none"}
        self.model.change_plan({"msg": row})
        for name, hold in self.holds.items():
            lines = [evolve(line, bucket_id=self.heir(line.bucket_id)) for line in hold.lines]
            self.holds[name] = evolve(hold, lines=lines)

    @rule(feature=features, quantity=small, mode=st.sampled_from(get_args(Mode)), entity=entities)
    def track(self, feature: str, quantity: int, mode: Mode, entity: str) -> None:
        """I3, I6: what is planned is what happens, and a check says so before."""
        expected = planned(self.model, feature, quantity, mode, entity)
        answer = self.model.check(feature, quantity, entity=entity)
        allowed = expected.allowed and bool(view(self.model, feature, entity))
        if mode == "require":
            assert answer["allowed"] == allowed
        before = self.state()
        try:
            found = self.model.track(feature, quantity, mode=mode, entity=entity)
        except Refused:
            assert mode == "require"
            assert not allowed
            assert {} == self.moved(before)
            return
        assert (expected.funded, expected.unfunded) == (found["funded"], found["unfunded"])
        assert {name: (amount, 0) for name, amount in amounts(expected.draws).items()} == self.moved(before)
        self.lines[found["event"]] = expected.draws

    @rule(feature=features, quantity=small, entity=entities, ttl=st.integers(1, 2 * DAY))
    def reserve(self, feature: str, quantity: int, entity: str, ttl: int) -> None:
        """A hold is planned like a use that must be covered."""
        expected = planned(self.model, feature, quantity, "require", entity)
        before = self.state()
        try:
            name = self.model.reserve(feature, quantity, self.model.now + ttl, entity=entity)
        except Refused:
            assert not expected.allowed or not view(self.model, feature, entity)
            return
        assert {key: (0, amount) for key, amount in amounts(expected.draws).items()} == self.moved(before)
        self.holds[name] = reserve(name, feature, quantity, expected.draws, self.model.now + ttl, entity)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), actual=small)
    def settle(self, data: st.DataObject, actual: int) -> None:
        """What is held is used along the lines; the excess is planned on what is left then."""
        name = data.draw(st.sampled_from(sorted(self.holds)))
        hold = self.holds.pop(name)
        expected = settle(hold, actual, self.model.now)
        before = self.state()
        assert expected.late == (self.model.holds[name]["status"] == "expired")
        # The clock of the model has released what lapsed.
        released = () if expected.late else expected.released
        found = self.model.settle(name, actual)
        changes = {key: [0, 0] for key in self.model.buckets}
        for key, amount in amounts(expected.used).items():
            changes[key][0] += amount
            changes[key][1] -= amount
        for key, amount in amounts(released).items():
            changes[key][1] -= amount
        for key, amount in found["drawn"].items():
            changes[key][0] += amount
        assert {key: (used, held) for key, (used, held) in changes.items() if used or held} == self.moved(before)
        assert (expected.units, expected.excess) == (found["settled"], actual - found["settled"])
        assert actual == found["funded"] + found["unfunded"]

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), units=small)
    def settle_part(self, data: st.DataObject, units: int) -> None:
        """A lease gives bit by bit."""
        name = data.draw(st.sampled_from(sorted(self.holds)))
        hold = self.holds[name]
        if hold.is_active(self.model.now) and units <= hold.left:
            before = self.state()
            expected = settle_part(hold, units, self.model.now)
            self.model.settle_part(name, units)
            assert {key: (amount, -amount) for key, amount in amounts(expected.used).items()} == self.moved(before)
            self.holds[name] = expected.hold

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Everything that is still held comes back."""
        name = data.draw(st.sampled_from(sorted(self.holds)))
        lines = self.holds[name].lines if self.holds[name].is_active(self.model.now) else ()
        before = self.state()
        self.model.release(name)
        assert {key: (0, -amount) for key, amount in amounts(lines).items()} == self.moved(before)
        del self.holds[name]

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), quantity=st.one_of(st.none(), small))
    def refund(self, data: st.DataObject, quantity: int | None) -> None:
        """I8: along the lines, from the last, to where the usage is now."""
        name = data.draw(st.sampled_from(sorted(self.lines)))
        event = self.model.events[name]
        places = {line.bucket_id: self.place(line.bucket_id) for line in self.lines[name]}
        expected = refund(self.lines[name], event["funded"], quantity, places, refunded=event["refunded"])
        before = self.state()
        found = self.model.refund(name, quantity)
        assert (expected.units, expected.restored) == (found["units"], found["restored"])
        assert {key: (-amount, 0) for key, amount in amounts(expected.draws).items()} == self.moved(before)

    def place(self, bucket_id: str) -> Place:
        """Where the usage of a bucket is now."""
        bucket = self.model.buckets[self.heir(bucket_id)]
        is_open = bucket["id"] in {each["id"] for each in self.model.live(bucket["feature"], bucket["entity"])}
        return Place(bucket["id"], bucket["used"], is_open)

    def heir(self, bucket_id: str) -> str:
        """The bucket that a bucket's usage was carried to, or itself."""
        while (heir := self.model.buckets[bucket_id]["heir"]) is not None:
            bucket_id = heir
        return bucket_id

    @rule(feature=features, quantity=small, entity=entities)
    def give_back(self, feature: str, quantity: int, entity: str) -> None:
        """Without naming a use: in the reverse of the order of drawing, of pools what this feature drew."""
        pools = [Pool(pool, cost) for pool, cost in POOLS.get(feature, ())]
        drawn = {bucket: amount for (by, bucket), amount in self.model.drawn.items() if by == feature and amount > 0}
        buckets = view(self.model, feature, entity)
        expected = anonymous(buckets, feature, quantity, entity=entity, pools=pools, drawn=drawn)
        before = self.state()
        assert expected.units == self.model.give_back(feature, quantity, entity=entity)["restored"]
        assert {key: (-amount, 0) for key, amount in amounts(expected.draws).items()} == self.moved(before)

    @rule(hours=st.integers(1, 60))
    def advance(self, hours: int) -> None:
        """Periods close and open, holds and rolled units expire."""
        self.model.advance(self.model.now + hours * DAY // 24)

    @invariant()
    def books_are_right(self) -> None:
        """I1, I2, I3, I8, I9, I12."""
        self.model.verify()


Both.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestBoth = Both.TestCase


@given(
    st.integers(0, 30),
    st.integers(0, 40),
    st.one_of(st.none(), st.builds(Rule, small, st.one_of(st.none(), st.integers(1, 3)))),
    st.sampled_from(get_args(DebtMode)),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=1, max_size=4),
)
def test_missed_periods_are_what_opening_each_in_turn_gives(
    amount: int, over: int, rolling: Rule | None, debt: DebtMode, uses: list[tuple[int, int]]
) -> None:
    """I11: the bounded loop at the end agrees with a clock that never sleeps, with use and absences in turn."""
    model = EngineModel()
    more: Row = {"rhythm": DAYS, "debt": debt}
    grant = model.give("msg", amount, cap=rolling and rolling.cap, life=rolling and rolling.periods, **more)
    overage = model.give("msg", over, kind="overage", rhythm=DAYS)
    for quantity, days in uses:
        model.track("msg", quantity)
        last = model.buckets[model.grants[grant]["current"]]
        owed = model.buckets[model.grants[overage]["current"]]["used"]
        rolled = tuple(
            Rolled(each["number"], each["amount"] - each["used"], each["end"])
            for each in model.live("msg")
            if each["kind"] == "rollover"
        )
        closing = Closing(last["number"], amount - last["used"], owed, rolled)
        expected = opening(closing, last["number"] + days, amount, DAYS, rule=rolling, debt=debt)
        model.advance(DAYS.start(last["number"] + days))

        assert expected.used == model.buckets[model.grants[grant]["current"]]["used"]
        assert list(expected.rolled) == [
            Rolled(each["number"], each["amount"] - each["used"], each["end"])
            for each in sorted(model.live("msg"), key=lambda each: (each["end"], each["number"]))
            if each["kind"] == "rollover" and each["amount"] > each["used"]
        ]
        model.verify()


@given(
    st.sampled_from(get_args(PlanChangePolicy)),
    st.one_of(st.none(), small),
    st.integers(0, 30),
    st.integers(0, 10),
    st.one_of(st.none(), small),
    st.sampled_from(get_args(DebtMode)),
    st.integers(0, 23),
)
def test_a_plan_change_is_what_the_model_does(
    policy: PlanChangePolicy, amount: int | None, used: int, held: int, new: int | None, debt: DebtMode, hour: int
) -> None:
    """Every policy, with and without caps, usage, holds and debt, at any hour of the period."""
    model = EngineModel()
    model.change_plan({"msg": {"amount": amount, "rhythm": DAYS}})
    model.track("msg", used)
    if model.check("msg", held)["allowed"]:
        model.reserve("msg", held, 10 * DAY)
    old = model.buckets["g1:0"]
    model.advance(hour * DAY // 24)
    running = Running(amount, old["used"], old["held"])
    expected = change(policy, running, new, remaining_part(model.now, 0, DAY), debt=debt)
    model.change_plan({"msg": {"amount": new, "rhythm": DAYS, "policy": policy, "debt": debt}})
    found = model.buckets["g2:0"]

    assert (expected.amount, expected.used, expected.held) == (found["amount"], found["used"], found["held"])
    assert expected.leftover == sum(each["amount"] for each in model.live("msg") if each["id"] == "g3:0")
    assert expected.debt == model.grants["g2"]["owed"]
    model.verify()


def test_a_key_has_one_effect() -> None:
    """I7: the same key gives the same answer and moves nothing; with another request it is refused."""
    model = EngineModel()
    model.give("msg", 5)
    first = model.track("msg", 3, key="k")

    assert {**first, "replayed": True} == model.track("msg", 3, key="k")
    assert 3 == model.balance("msg")["used"]
    with pytest.raises(Mismatch):
        model.track("msg", 4, key="k")


def test_the_model_tells_why() -> None:
    """Every reason that does not come from a subscription."""
    model = EngineModel(POOLS)
    assert "not_entitled" == model.check("msg", 1)["reason"]
    model.give("credits", 6)
    assert ["ok", "insufficient_balance"] == [model.check("msg", units)["reason"] for units in (2, 3)]
    model.give("msg", 4, kind="overage")
    assert ["overage", "overage_limit"] == [model.check("msg", units)["reason"] for units in (3, 7)]
    model.give("msg", None)
    assert "unlimited" == model.check("msg", 99)["reason"]
    model.limit("msg", 50, DAYS)
    assert "usage_limit" == model.check("msg", 99)["reason"]


def test_the_model_aggregates_and_alerts() -> None:
    """A latest value gives back, a maximum does not; thresholds fire once in a period, and again in the next."""
    model = EngineModel()
    model.alerts["msg"] = [50, 80, 100]
    model.give("msg", 10, rhythm=DAYS)
    fired = [model.report("msg", "latest", value).get("alerts") for value in (4, 9, 3, 9, 10)]

    assert [[], [50, 80], None, [], [100]] == fired
    model.advance(DAY)
    assert [50] == model.report("msg", "latest", 5)["alerts"]
