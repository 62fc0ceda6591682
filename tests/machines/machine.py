"""A machine that does whatever can be done to a customer's books, to the engine and to its reference model alike."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kernia_billing import Credits, Feature, FeatureDenied, IdempotencyMismatch, Metered
from kernia_billing._blocking.holding import Hold
from kernia_billing.domain.answers import Decision, Mode, Usage
from kernia_billing.domain.instants import HOUR, MINUTE, to_datetime
from kernia_billing.domain.period import Interval, Rhythm, calendar_anchor
from kernia_billing.domain.plan_items import PlanItem
from kernia_billing.domain.plans import Overage, PlanChangePolicy, UsageLimit
from kernia_billing.domain.rollover import DebtMode, Rule
from kernia_billing.domain.terms import Terms, limits_of
from tests.harness.counts import count
from tests.harness.engine_books import NEVER, Row
from tests.harness.engine_model import EngineModel, Mismatch
from tests.machines.stage import REFERENCE, START, Stage

COST = 3
POOLS = {"msg": [("credits", COST)]}
DAYS = Rhythm(START, Interval("day"))
MANY = 60
"""More than there ever is of anything that has an end."""
features = st.sampled_from(["msg", "credits"])
amounts = st.integers(0, 25)
quantities = st.integers(1, 25)
entities = st.sampled_from([None, "A"])


class EngineMachine(RuleBasedStateMachine):
    """One customer, in the engine and in the model. Both must say the same, and come to the same."""

    stage: ClassVar[Stage]
    """The application, which every example begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self.stage.clear()
        self.billing = self.stage.billing
        self.model = EngineModel(POOLS, now=START)
        self.grants: dict[str, str] = {}
        """The grants of the model by those of the engine."""
        self.events: dict[str, str] = {}
        """The uses of the engine by those of the model."""
        self.holds: dict[str, Hold] = {}
        """The holds of the engine by those of the model, while nobody has ended them."""
        self.limiting: set[str] = set()
        """The grants of the engine that bring usage limits."""
        self.limits: dict[str, str] = {}
        """The usage limits of the model by those of the engine."""
        self.rows: dict[str, tuple[str, Row]] = {}
        """The engine's buckets by id, with what the model calls them."""
        self.told: list[tuple[datetime, str, str | None, Decision]] = []
        """What was answered last at an instant that is over."""
        self.steps = 0

    def teardown(self) -> None:
        """Whatever was done, no row contradicts another."""
        count(f"engine machine: steps on {self.stage.engine.dialect.name}", self.steps)
        count(f"engine machine: lives on {self.stage.engine.dialect.name}")
        self.stage.judge()
        super().teardown()

    # ── What is given ────────────────────────────────────────────────────────────────────────────────────────────────

    @initialize(direct=amounts, credits=amounts, over=st.one_of(st.none(), amounts))
    def start(self, direct: int, credits: int, over: int | None) -> None:
        """Something of every kind to draw from."""
        self.give("msg", direct, "grant", daily=True, cap=direct, life=None, entity=None, priority=50, hours=None)
        self.give("credits", credits * 2, "grant", False, None, None, entity=None, priority=50, hours=None)
        self.give("credits", over, "overage", False, None, None, entity=None, priority=50, hours=None)

    @rule(
        feature=features,
        amount=st.one_of(st.none(), amounts, amounts),
        kind=st.sampled_from(["grant", "grant", "overage"]),
        daily=st.booleans(),
        cap=st.one_of(st.none(), amounts),
        life=st.one_of(st.none(), st.integers(1, 2)),
        entity=entities,
        priority=st.sampled_from([10, 50]),
        hours=st.one_of(st.none(), st.integers(1, 96)),
    )
    def give(
        self,
        feature: str,
        amount: int | None,
        kind: str,
        daily: bool,
        cap: int | None,
        life: int | None,
        entity: str | None,
        priority: int,
        hours: int | None,
    ) -> None:
        """A grant of any kind; rollover only where something is included every day."""
        cap = cap if kind == "grant" and daily and amount is not None else None
        ends = NEVER if hours is None else self.model.now + hours * HOUR
        same: dict[str, Any] = {"kind": kind, "entity": entity or "", "priority": priority, "expires_at": ends}
        terms = Terms(rollover=None if cap is None else Rule(cap, life))
        rhythm: dict[str, Any] = {"interval": DAYS.interval, "anchor_at": START} if daily else {}
        real = self.stage.give(feature, amount, terms=terms.text(), **same, **rhythm)
        told = {"cap": cap, "life": life, "rhythm": DAYS if daily else None}
        self.grants[real] = self.model.give(feature, amount, **same, **told)

    @rule(feature=features, amount=quantities, entity=entities, hours=st.one_of(st.none(), st.integers(1, 96)))
    def grant(self, feature: str, amount: int, entity: str | None, hours: int | None) -> None:
        """What is given by hand."""
        ends = NEVER if hours is None else self.model.now + hours * HOUR
        until = None if hours is None else to_datetime(ends)
        given = self.billing.grant(REFERENCE, feature, amount, entity=entity, expires_at=until)
        self.grants[given.id] = self.model.grant(feature, amount, entity=entity or "", expires_at=ends)
        self.learn()

    @rule(minimum=st.one_of(amounts, st.just(0), amounts.map(lambda amount: -amount)))
    def set_credit_min(self, minimum: int) -> None:
        """R-139, R-151: how low the balance of credits may get, above zero or below it."""
        written = self.model.seq
        self.billing.set_credit_min(REFERENCE, "credits", minimum)
        name = self.model.set_credit_min("credits", minimum)
        for row in self.stage.rows("entitlement"):
            if row["source_type"] == "credit_min":
                assert name is not None
                self.grants[row["id"]] = name
        self.learn()
        if written != self.model.seq:
            self.compare_rows("credits")

    @precondition(lambda self: self.revocable())
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        """Nothing more is drawn of a grant."""
        name = data.draw(st.sampled_from(self.revocable()))
        self.model.revoke(self.grants[name])
        self.billing.revoke(REFERENCE, name)

    def revocable(self) -> list[str]:
        """The grants that count and bring no usage limit, in the order in which they were given."""
        known = [real for real in self.grants if real not in self.limiting]
        rows = {real: self.model.grants[self.grants[real]] for real in known}
        return [real for real, row in rows.items() if not row["ended"] and row["source"] == "manual"]

    @precondition(lambda self: len(self.limits) < 3)
    @rule(feature=features, maximum=amounts, per_entity=st.booleans())
    def limit(self, feature: str, maximum: int, per_entity: bool) -> None:
        """A usage limit, which comes with a grant of nothing that never ends."""
        limit = UsageLimit(maximum, per="hour", count=12 + len(self.limits), per_entity=per_entity)
        interval = Interval(limit.per, limit.count)
        terms = Terms(limits=(limit,)).text()
        real = self.stage.give(feature, 0, terms=terms)
        self.grants[real] = self.model.give(feature, 0)
        (known,) = limits_of(terms, feature)
        rhythm = Rhythm(calendar_anchor(interval, 0, "UTC"), interval)
        self.limiting.add(real)
        self.limits[known.id] = self.model.limit(feature, maximum, rhythm, per_entity=per_entity)

    @precondition(lambda self: self.model.now > START)
    @rule(
        amount=st.one_of(st.none(), amounts),
        policy=st.sampled_from(get_args(PlanChangePolicy)),
        over=st.one_of(st.none(), amounts, st.just(MANY)),
        cap=st.one_of(st.none(), amounts),
        life=st.one_of(st.none(), st.integers(1, 2)),
        debt=st.sampled_from(get_args(DebtMode)),
    )
    def change_plan(
        self,
        amount: int | None,
        policy: PlanChangePolicy,
        over: int | None,
        cap: int | None,
        life: int | None,
        debt: DebtMode,
    ) -> None:
        """Another plan takes the place of the one before, by its policy."""
        cap = None if amount is None else cap
        overage: Overage = "none" if over is None else "free"
        terms = Terms(rollover=None if cap is None else Rule(cap, life), debt=debt)
        item = PlanItem(
            "msg",
            "metered",
            amount,
            reset="day",
            overage=overage,
            overage_limit=over,
            on_plan_change=policy,
            terms=terms.text(),
        )
        row: Row = {"amount": amount, "policy": policy, "overage": overage, "overage_limit": over}
        known = set(self.model.grants)
        told = {"rhythm": DAYS, "debt": debt, "cap": cap, "life": life, "effective_at": START}
        self.model.change_plan({"msg": {**row, **told}})
        new = [each for name, each in self.model.grants.items() if name not in known]
        self.stage.change_plan(item)
        for real in self.stage.rows("entitlement"):
            if real["id"] not in self.grants and real["source_type"] in ("plan", "carry"):
                (self.grants[real["id"]],) = [
                    str(each["id"])
                    for each in new
                    if (each["source"], each["kind"]) == (real["source_type"], real["kind"])
                ]

    @precondition(lambda self: self.model.now > START)
    @rule(amount=st.one_of(st.none(), amounts, st.integers(0, 50)), hours=st.one_of(st.none(), st.integers(1, 96)))
    def override(self, amount: int | None, hours: int | None) -> None:
        """The plan includes something else from now on; there is nothing to override without one."""
        if not self.has_plan():
            self.change_plan(10, "carry_usage", over=None, cap=10, life=None, debt="forgive")
        ends = NEVER if hours is None else self.model.now + hours * HOUR
        self.billing.overrides.set(REFERENCE, "msg", amount, until=None if hours is None else to_datetime(ends))
        self.model.override("msg", amount, ends)

    @precondition(lambda self: self.has_plan())
    @rule()
    def remove_override(self) -> None:
        """What the plan includes counts again."""
        found = self.billing.overrides.remove(REFERENCE, "msg")
        known = self.model.overrides.get("msg")
        assert (found is None) == (known is None or known["until"] <= self.model.now)
        self.model.remove_override("msg")

    def has_plan(self) -> bool:
        """Whether a plan gives something."""
        return any(each["source"] == "plan" and not each["ended"] for each in self.model.grants.values())

    # ── What is used ─────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(feature=features, quantity=quantities, mode=st.sampled_from(get_args(Mode)), entity=entities)
    def track(self, feature: str, quantity: int, mode: Mode, entity: str | None) -> None:
        """I3, I6: a check says before what is then drawn, and from where."""
        said = self.billing.check(REFERENCE, feature, quantity, entity=entity)
        expected = self.model.check(feature, quantity, entity=entity or "")
        assert (expected["allowed"], expected["reason"]) == (said.allowed, said.reason)
        if mode == "require" and not said.allowed:
            with pytest.raises(FeatureDenied) as denied:
                self.billing.consume(REFERENCE, feature, quantity, entity=entity)
            assert said.reason == denied.value.decision.reason
            return
        usage = self.billing.track(REFERENCE, feature, quantity, mode=mode, entity=entity)
        self.learn()
        found = self.model.track(feature, quantity, mode=mode, entity=entity or "")
        assert (found["funded"], found["unfunded"]) == (usage.funded, usage.unfunded)
        assert found["drawn"] == self.drawn(usage)
        planned = sum(int(str(each["draws"])) for each in said.breakdown)
        assert not said.allowed or planned == sum(found["drawn"].values())
        self.events[found["event"]] = usage.event_id
        self.compare_rows(feature)

    @rule(feature=features, level=amounts, entity=entities)
    def set_usage(self, feature: str, level: int, entity: str | None) -> None:
        """So much is used now: the difference is drawn, or given back."""
        usage = self.billing.set_usage(REFERENCE, feature, level, entity=entity)
        self.learn()
        found = self.model.set_usage(feature, level, entity=entity or "")
        assert found["funded"] == usage.funded
        self.compare_rows(feature)

    @rule(feature=features, quantity=st.integers(1, 3), key=st.sampled_from(["one", "other"]))
    def repeat(self, feature: str, quantity: int, key: str) -> None:
        """I7: a key has one effect; the same again gives the first receipt, something else is refused."""
        try:
            usage = self.billing.track(REFERENCE, feature, quantity, idempotency_key=key)
        except IdempotencyMismatch:
            with pytest.raises(Mismatch):
                self.model.track(feature, quantity, key=key)
            return
        self.learn()
        found = self.model.track(feature, quantity, key=key)
        assert (found["funded"], found["unfunded"]) == (usage.funded, usage.unfunded)
        assert found.get("replayed", False) == usage.replayed
        self.events[found["event"]] = usage.event_id

    @rule(feature=features, quantity=quantities, entity=entities)
    def give_back(self, feature: str, quantity: int, entity: str | None) -> None:
        """Without naming a use: in the reverse of the order of drawing."""
        found = self.billing.give_back(REFERENCE, feature, quantity, entity=entity)
        self.learn()
        expected = self.model.give_back(feature, quantity, entity=entity or "")
        assert expected["restored"] == found.funded
        self.compare_rows(feature)

    @precondition(lambda self: self.events)
    @rule(data=st.data(), quantity=st.one_of(st.none(), quantities))
    def refund(self, data: st.DataObject, quantity: int | None) -> None:
        """I8: what one use drew comes back, once; of what is over only on paper."""
        event = data.draw(st.sampled_from(sorted(self.events)))
        found = self.billing.refund(REFERENCE, self.events[event], quantity)
        self.learn()
        expected = self.model.refund(event, quantity)
        assert (expected["units"], expected["restored"]) == (found.funded, found.restored)
        self.compare_rows(self.model.events[event]["feature"])

    # ── What is set aside ────────────────────────────────────────────────────────────────────────────────────────────

    @rule(feature=features, quantity=quantities, entity=entities, ttl=st.integers(1, 48 * 60))
    def reserve(self, feature: str, quantity: int, entity: str | None, ttl: int) -> None:
        """All of it or nothing, for so many minutes."""
        if not self.model.check(feature, quantity, entity=entity or "")["allowed"]:
            with pytest.raises(FeatureDenied):
                self.billing.reserve(REFERENCE, feature, quantity, entity=entity, ttl=60 * ttl)
            return
        hold = self.billing.reserve(REFERENCE, feature, quantity, entity=entity, ttl=60 * ttl)
        self.learn()
        name = self.model.reserve(feature, quantity, self.model.now + ttl * MINUTE, entity=entity or "")
        self.holds[name] = hold
        self.compare_rows(feature)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), actual=amounts)
    def settle(self, data: st.DataObject, actual: int) -> None:
        """What was held is used, the rest is free, and an excess is a use like any other."""
        name = data.draw(st.sampled_from(sorted(self.holds)))
        found = self.holds.pop(name).settle(actual)
        self.learn()
        expected = self.model.settle(name, actual)
        assert (expected["funded"], expected["unfunded"]) == (found.funded, found.unfunded)
        assert expected["late"] == found.late
        self.events[expected["event"]] = found.event_id
        self.compare_rows(self.model.holds[name]["feature"])

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Everything that is still held is free again."""
        name = data.draw(st.sampled_from(sorted(self.holds)))
        self.holds.pop(name).release()
        self.learn()
        self.model.release(name)

    # ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(hours=st.integers(1, 60))
    def advance(self, hours: int) -> None:
        """Periods close and open, holds and rolled units expire."""
        feature, entity = ("msg", "credits")[hours % 2], (None, "A")[hours // 2 % 2]
        answer = self.billing.check(REFERENCE, feature, entity=entity)
        self.told.append((to_datetime(self.model.now), feature, entity, answer))
        self.model.advance(self.model.now + hours * HOUR)
        self.stage.clock.micros = self.model.now

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def explain(self, data: st.DataObject) -> None:
        """Whatever happened since, the answer of an instant is the one that was given then."""
        at, feature, entity, answer = data.draw(st.sampled_from(self.told))
        found = self.billing.explain(REFERENCE, feature, entity=entity, at=at).decision
        assert (answer.allowed, answer.reason, answer.balance) == (found.allowed, found.reason, found.balance)
        count(f"engine machine: answers explained on {self.stage.engine.dialect.name}")

    # ── What must be the same ────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def readers_see_the_model(self) -> None:
        """In turns balances, and the boundary between what is allowed and what is not."""
        self.steps += 1
        turn = self.steps // 2
        entity = (None, "A")[turn % 2]
        if self.steps % 2:
            self.compare_balances(entity)
        else:
            self.compare_boundary(("msg", "credits")[turn // 2 % 2], entity)

    def compare_balances(self, entity: str | None) -> None:
        """What there is of everything, as `balances` tells it."""
        found = self.billing.balances(REFERENCE, entity=entity)
        for feature in ("msg", "credits"):
            expected = self.model.balance(feature, entity=entity or "")
            balance = found.get(feature)
            seen = {name: 0 if balance is None else getattr(balance, name) for name in expected}
            assert expected == seen, (entity, feature)

    def compare_boundary(self, feature: str, entity: str | None) -> None:
        """I6: as much as there is may be used, and not one more."""
        most = self.model.check(feature, MANY, entity=entity or "")["fundable"]
        for quantity in {most, min(most + 1, MANY)}:
            expected = self.model.check(feature, quantity, entity=entity or "")
            said = self.billing.check(REFERENCE, feature, quantity, entity=entity)
            assert (expected["allowed"], expected["reason"]) == (said.allowed, said.reason), (feature, entity, quantity)

    # ── Inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self) -> None:
        """What the engine calls its buckets; and, of those that burn alike but for their names, which one is first."""
        self.rows = {}
        for row in self.stage.buckets():
            if row["grant_source_type"] == "rollover":
                # Whoever has them now, and, where a change of plan moved them, whose they were, and of which period.
                *_, grant, origin = row["grant_source_id"].split(":")
                name = f"{self.grants[grant]}:r{origin}"
                self.model.buckets[name]["tie"] = (row["grant_created_seq"], row["id"])
            else:
                name = f"{self.grants[row['entitlement_id']]}:{row['period_no']}"
                self.model.grants[self.grants[row["entitlement_id"]]]["seq"] = row["grant_created_seq"]
            self.rows[row["id"]] = name, row

    def drawn(self, usage: Usage) -> dict[str, int]:
        """What a receipt says was drawn of each bucket."""
        drawn: dict[str, int] = {}
        for each in usage.deductions:
            name = self.rows[str(each["bucketId"])][0]
            drawn[name] = drawn.get(name, 0) + int(str(each["amount"]))
        return drawn

    def compare_rows(self, feature: str) -> None:
        """The tables are the model, where a write has just brought them up to date: the pool's too for "msg"."""
        touched = ("msg", "credits") if feature == "msg" else ("credits",)
        for name, row in self.rows.values():
            if row["feature_key"] in touched:
                bucket = self.model.buckets[name]
                # What a period that is over includes means nothing, and what holds have freed of it nobody sees.
                is_over = min(bucket["closed_at"], bucket["end"]) <= self.model.now
                shown = ("used",) if is_over else ("used", "held", "amount")
                assert [bucket[each] for each in shown] == [row[each] for each in shown], name
        self.compare_windows(touched)

    def compare_windows(self, touched: Iterable[str]) -> None:
        """The counters of usage limits are the model's, as long as they run."""
        for row in self.stage.rows("limit_window"):
            if row["feature_key"] in touched and row["window_end"] > self.model.now:
                key = (self.limits[row["limit_id"]], row["entity_id"], row["window_start"])
                assert self.model.windows.get(key, 0) == row["used"], key


DECLARED = (Feature("msg", credit_cost={"credits": COST}),)
SOLD: dict[str, Metered | Credits] = {"msg": Metered(0), "credits": Credits(0)}
