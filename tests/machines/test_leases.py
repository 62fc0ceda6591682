"""Random lives of books of which leases are a part: the engine and its reference model agree after every step."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from kernia_billing import FeatureDenied
from kernia_billing._blocking.leasing import Lease
from kernia_billing.domain.instants import MINUTE
from tests.harness.engine_model import EngineModel
from tests.machines.lives import live
from tests.machines.machine import EngineMachine, entities, features, quantities
from tests.machines.stage import REFERENCE

SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]


@define
class Known:
    """What there is to know of a lease: what the model calls its hold, and what was counted since it was made."""

    lease: Lease
    feature: str
    entity: str | None
    minutes: int
    hold: str = ""
    left: int = 0
    used: int = 0
    until: int = 0


class LeaseMachine(EngineMachine):
    """Everything that can be done to a customer's books, and leases beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.leases: list[Known] = []

    @rule(feature=features, quantity=quantities, entity=entities, minutes=st.integers(1, 48 * 60))
    def lease(self, feature: str, quantity: int, entity: str | None, minutes: int) -> None:
        """As much as there is, up to what is wanted."""
        if not self.model.check(feature, quantity, entity=entity or "")["fundable"]:
            with pytest.raises(FeatureDenied):
                self.billing.lease(REFERENCE, feature, quantity, entity=entity, ttl=60 * minutes)
            return
        lease = self.billing.lease(REFERENCE, feature, quantity, entity=entity, ttl=60 * minutes)
        known = Known(lease, feature, entity, minutes)
        self.learn()
        self.take(known, quantity)
        self.leases.append(known)
        self.compare_counts(known)
        self.compare_rows(feature)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), units=quantities)
    def consume(self, data: st.DataObject, units: int) -> None:
        """In memory where there are units in time; else what was used is stored, and more is taken or refused."""
        known = data.draw(st.sampled_from(self.leases))
        if units > known.left or self.model.now >= known.until:
            most = max(known.lease.quantity, units)
            trial = deepcopy(self.model)
            self.end(trial, known)
            if trial.check(known.feature, most, entity=known.entity or "")["fundable"] < units:
                with pytest.raises(FeatureDenied):
                    known.lease.consume(units)
                return
            known.lease.consume(units)
            self.renew(known, most)
        else:
            known.lease.consume(units)
        known.left -= units
        known.used += units
        self.compare_counts(known)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        """What was used is stored, and as much is taken as at the beginning."""
        known = data.draw(st.sampled_from(self.leases))
        used = known.used
        usage = known.lease.flush()
        assert used == (0 if usage is None else usage.quantity)
        if usage is not None:
            self.renew(known, known.lease.quantity)
        self.compare_counts(known)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def end_lease(self, data: st.DataObject) -> None:
        """What was used is stored, the rest is free again."""
        known = self.leases.pop(data.draw(st.integers(0, len(self.leases) - 1)))
        known.lease.settle()
        self.renew(known, 0)

    def compare_counts(self, known: Known) -> None:
        """What a lease says of itself."""
        assert (known.left, known.used) == (known.lease.left, known.lease.unflushed)

    def renew(self, known: Known, most: int) -> None:
        """Let the model do what the engine has done."""
        self.learn()
        event = self.end(self.model, known)
        if event is not None:
            stored = max(self.stage.rows("usage_event"), key=lambda row: row["seq"])
            assert known.used == stored["quantity"]
            self.events[event] = stored["id"]
        self.take(known, most)
        self.compare_rows(known.feature)

    def end(self, model: EngineModel, known: Known) -> str | None:
        """The end of the lease's hold, in a model; the event of what was used of it."""
        if known.used:
            return str(model.settle(known.hold, known.used)["event"])
        if known.hold:
            model.release(known.hold)
        return None

    def take(self, known: Known, most: int) -> None:
        """The next hold of a lease, in the model: as much as there is."""
        units = self.model.check(known.feature, most, entity=known.entity or "")["fundable"] if most else 0
        known.hold, known.left, known.used, known.until = "", units, 0, self.model.now + known.minutes * MINUTE // 2
        if units:
            until = self.model.now + known.minutes * MINUTE
            known.hold = self.model.reserve(known.feature, units, until, entity=known.entity or "")


def test_random_lives_with_leases_are_those_of_the_model() -> None:
    """Thirty lives of up to thirty steps."""
    live(LeaseMachine, "sqlite://", 30, 30)


@pytest.mark.full
def test_many_random_lives_with_leases_are_those_of_the_model() -> None:
    """Six hundred lives of up to fifty steps."""
    live(LeaseMachine, "sqlite://", 600, 50)


@pytest.mark.parametrize("server", SERVERS)
def test_random_lives_with_leases_on_servers(server: str, make_database: Callable[[str], str]) -> None:
    """Five lives of up to thirty steps on each database server."""
    live(LeaseMachine, make_database(server), 5, 30)
