"""Clocks that are apart: what one process has begun has begun for all of them, and no unit is given twice."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, select

from kernia_billing import Billing, InsufficientBalance, Metered, Plan, UsageLimit
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import HOUR, SECOND, Instant, to_instant
from kernia_billing.operations.reserving import settle
from kernia_billing.storage.tables import customer, metadata
from kernia_billing.testing import StripeSimulator
from tests.harness.processes import RemoteStripe, StandingClock
from tests.harness.tables import make_tables

Open = Callable[..., Billing]

START = to_instant(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe, at the start of a year."""
    return StripeSimulator(now=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def nowhere() -> Iterator[socket.socket]:
    """Stripe of those who never ask it anything."""
    with socket.socket() as line:
        yield line


def _on(clock: StandingClock, line: socket.socket) -> RemoteStripe:
    return RemoteStripe("sk_test_clock", "whsec_clock", clock, line)


def test_a_period_that_was_opened_has_begun(open_billing: Open, stripe: StripeSimulator, nowhere: Any) -> None:
    """70 moved on when the next month was opened: a clock a second behind sees it too, and draws nothing twice."""
    shop: Any = {"plans": [Plan("free", features={"x": Metered(100, rollover=150)})], "default_plan": "free"}
    billing = open_billing(**shop)
    billing.consume("org", "x", 30)
    stripe.advance(months=1)
    late = open_billing(**shop, stripe_client=_on(StandingClock(stripe.clock.now() - SECOND), nowhere))
    assert 70 == late.check("org", "x").remaining == late.balances("org")["x"].remaining
    billing.consume("org", "x")

    now = billing.check("org", "x")
    assert 169 == now.remaining == late.check("org", "x").remaining == late.balances("org")["x"].remaining
    assert now == late.check("org", "x") == late.explain("org", "x").decision
    late.consume("org", "x", 169)
    with pytest.raises(InsufficientBalance):
        late.consume("org", "x")
    assert 0 == billing.check("org", "x").remaining


def test_overage_is_owed_where_it_is_used(open_billing: Open, stripe: StripeSimulator, nowhere: Any) -> None:
    """A clock behind uses overage of the month that was opened already, so that the one after it owes it."""
    features = {"x": Metered(100, overage="free", overage_limit=40, debt="carry")}
    shop: Any = {"plans": [Plan("free", features=features)], "default_plan": "free"}
    billing = open_billing(**shop)
    billing.consume("org", "x", 100)
    stripe.advance(months=1)
    late = open_billing(**shop, stripe_client=_on(StandingClock(stripe.clock.now() - SECOND), nowhere))
    billing.consume("org", "x")
    late.consume("org", "x", 139)
    with pytest.raises(InsufficientBalance):
        late.consume("org", "x")

    stripe.advance(months=1)
    assert 60 == billing.check("org", "x").remaining


def test_a_plan_that_lapsed_has_lapsed(open_billing: Open, stripe: StripeSimulator, nowhere: Any) -> None:
    """What was used under a plan has moved to the default plan: a clock behind does not use the plan once more."""
    plans = [
        Plan("free", features={"x": Metered(80, anchor="calendar")}),
        Plan("pro", price_id="price_pro", features={"x": Metered(100, anchor="calendar")}),
    ]
    shop: Any = {"plans": plans, "default_plan": "free"}
    billing = open_billing(**shop)
    stripe.subscribe("org", "pro")
    stripe.use_card("org", "4000000000000002")
    stripe.advance(months=1, hours=2)
    billing.consume("org", "x", 60)
    subscription = billing.subscriptions.get("org")
    assert subscription is not None
    assert subscription.grace_ends_at is not None
    end = to_instant(subscription.grace_ends_at)
    stripe.advance(days=6)
    at_the_end = open_billing(**shop, stripe_client=_on(StandingClock(end), nowhere))
    late = open_billing(**shop, stripe_client=_on(StandingClock(end - SECOND), nowhere))
    assert (20, 40) == (at_the_end.check("org", "x").remaining, late.check("org", "x").remaining)
    at_the_end.consume("org", "x")

    assert 19 == late.check("org", "x").remaining
    with pytest.raises(InsufficientBalance):
        late.consume("org", "x", 20)


def test_a_clock_that_is_wrong_holds_nobody_back(open_billing: Open, stripe: StripeSimulator, nowhere: Any) -> None:
    """Who writes an hour too early begins the next month for itself alone: others neither see it nor wait for it."""
    shop: Any = {"plans": [Plan("free", features={"x": Metered(100)})], "default_plan": "free"}
    billing = open_billing(**shop)
    billing.consume("org", "x", 30)
    ahead = StandingClock(to_instant(datetime(2026, 2, 1, tzinfo=UTC)))
    wrong = open_billing(**shop, stripe_client=_on(ahead, nowhere))
    wrong.consume("org", "x", 5)
    assert 95 == wrong.check("org", "x").remaining

    stripe.advance(days=30, hours=23)
    assert 70 == billing.check("org", "x").remaining
    assert 60 == billing.consume("org", "x", 10).balance.remaining
    assert 60 == billing.check("org", "x").remaining


OFFSETS = (0, -SECOND, SECOND)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, SECOND, HOUR - SECOND, HOUR, 3 * HOUR]),
        st.sampled_from(OFFSETS),
        st.sampled_from(["consume", "track", "give back", "refund", "reserve", "settle", "check"]),
        st.integers(1, 12),
    ),
    min_size=2,
    max_size=12,
)


@define(eq=False)
class House:
    """One database with facades whose clocks are apart."""

    line: socket.socket
    plan: Plan
    offsets: Sequence[Instant]
    engine: Engine = field(factory=lambda: create_engine("sqlite://"))
    clocks: list[StandingClock] = field(factory=list[StandingClock])
    facades: list[Billing] = field(factory=list[Billing])
    uses: list[str] = field(factory=list[str])
    holds: list[Any] = field(factory=list[Any])

    def __attrs_post_init__(self) -> None:
        make_tables(self.engine)
        for _ in self.offsets:
            clock = StandingClock(START)
            client = _on(clock, self.line)
            billing = Billing(database=self.engine, stripe_client=client, plans=[self.plan], default_plan="free")
            self.clocks.append(clock)
            self.facades.append(billing)

    def close(self) -> None:
        """Close every connection."""
        for each in self.facades:
            each.close()
        self.engine.dispose()

    def do(self, offset: Instant, now: Instant, what: str, amount: int) -> Any:
        """One step on the clock with this offset: what anybody is told."""
        number = self.offsets.index(offset)
        self.clocks[number].micros = now
        billing = self.facades[number]
        if what == "check":
            return _plain(billing.check("org", "x", amount))
        try:
            if what == "reserve":
                self.holds.append(billing.reserve("org", "x", amount, ttl=3_600))
                return True
            if what == "settle":
                return bool(self.holds) and _plain(self._settle(billing, self.holds.pop(0), amount))
            if what == "refund":
                return bool(self.uses) and _plain(billing.refund("org", self.uses.pop(0)))
            call = {"consume": billing.consume, "track": billing.track, "give back": billing.give_back}[what]
            usage = call("org", "x", amount)
        except InsufficientBalance as refused:
            return _plain(refused.decision)
        if what != "give back":
            self.uses.append(usage.event_id)
        return _plain(usage)

    def _settle(self, billing: Billing, hold: Any, amount: int) -> Any:
        return run_blocking(settle(billing._wiring.core, hold._inner._reserved, amount))

    def clear(self) -> None:
        """Begin anew, with an empty database."""
        self.uses.clear()
        self.holds.clear()
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())

    def written_at(self) -> Instant:
        """The time of the last write."""
        with self.engine.connect() as connection:
            return connection.execute(select(customer.c.written_at)).scalar() or 0


def _plain(told: Any) -> Any:
    return told.balance, getattr(told, "funded", None), getattr(told, "allowed", None)


TERMS: Sequence[Mapping[str, Any]] = (
    {},
    {"rollover": 15},
    {"rollover": 30, "rollover_periods": 1, "overage": "free", "overage_limit": 5, "debt": "carry"},
    {"overage": "free", "debt": "carry"},
    {"overage": "free", "overage_limit": 3, "limits": (UsageLimit(8, per="hour"),)},
)


@pytest.fixture(scope="module")
def houses() -> Iterator[Sequence[tuple[House, House]]]:
    """For each of the terms three processes whose clocks are apart, and one with a single clock."""
    with socket.socket() as line:
        plans = [Plan("free", features={"x": Metered(10, reset="hour", anchor="calendar", **each)}) for each in TERMS]
        both = [(House(line, plan, OFFSETS), House(line, plan, (0,))) for plan in plans]
        yield both
        for apart, one in both:
            apart.close()
            one.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, number=st.integers(0, len(TERMS) - 1))
def test_the_latest_clock_counts(houses: Sequence[tuple[House, House]], steps: Any, number: int) -> None:
    """Processes a second apart answer as one would whose clock never shows less than at its last write."""
    apart, one = houses[number]
    apart.clear()
    one.clear()
    now = START
    for wait, offset, what, amount in steps:
        now += wait
        told = apart.do(offset, now + offset, what, amount)
        assert told == one.do(0, max(one.written_at(), now + offset), what, amount)
    assert not [each for each in apart.facades[0].doctor().findings if each.check != "plans.prices"]
