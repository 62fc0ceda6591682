"""Periods begin with what the last one left, whoever looks and whenever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import Billing, InsufficientBalance, Metered, Plan
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import HOUR, to_instant
from kernia_billing.domain.period import Interval
from kernia_billing.domain.rollover import DebtMode, Rule
from kernia_billing.domain.terms import Terms
from kernia_billing.operations.ledger import Books
from kernia_billing.operations.situation import situation
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.entitlements import Entitlements
from kernia_billing.testing import StripeSimulator

from ..machines.stage import Stage

Open = Callable[..., Billing]


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe, at the start of a year."""
    return StripeSimulator(now=datetime(2026, 1, 1, tzinfo=UTC))


def _shop(open_billing: Open, included: int = 100, **terms: Any) -> Billing:
    """A free plan with these terms, and a customer "org"."""
    billing = open_billing(plans=[Plan("free", features={"x": Metered(included, **terms)})], default_plan="free")
    billing.customers.ensure("org")
    return billing


def _rolled(billing: Billing) -> list[int]:
    """What is left of what earlier periods left, the oldest first."""
    found: list[Any] = [each for each in billing.check("org", "x").breakdown if each["source"] == "rollover"]
    return [each["included"] - each["used"] - each["held"] for each in found]


@pytest.mark.parametrize("is_written", [False, True])
def test_what_idle_months_leave(open_billing: Open, stripe: StripeSimulator, is_written: bool) -> None:
    """R2: of 100 a month 250 move on for ever. After 30 of the first month nothing is used for four more."""
    billing = _shop(open_billing, rollover=250)
    billing.consume("org", "x", 30)
    found: list[list[int]] = []
    for _ in range(5):
        stripe.advance(months=1)
        if is_written:
            billing.track("org", "x")
            billing.give_back("org", "x")
        found.append(_rolled(billing))

    assert [[70], [70, 100], [50, 100, 100], [50, 100, 100], [50, 100, 100]] == found
    assert 350 == billing.check("org", "x").remaining == billing.balances("org")["x"].remaining
    assert not billing.check("org", "x", 351)
    billing.consume("org", "x", 350)
    with pytest.raises(InsufficientBalance):
        billing.consume("org", "x")


def test_rolled_units_are_used_first_and_expire(open_billing: Open, stripe: StripeSimulator) -> None:
    """What moved on for one month is drawn before this month's, and the rest of it is lost with the month."""
    billing = _shop(open_billing, rollover=1_000, rollover_periods=1)
    billing.consume("org", "x", 40)
    stripe.advance(months=1)

    billing.consume("org", "x", 50)
    assert ([10], 110) == (_rolled(billing), billing.check("org", "x").remaining)
    stripe.advance(months=1)
    assert ([100], 200) == (_rolled(billing), billing.check("org", "x").remaining)


@pytest.mark.parametrize("debt", ["carry", "forgive"])
def test_overage_is_owed_or_forgiven(open_billing: Open, stripe: StripeSimulator, debt: str) -> None:
    """R4: 40 used beyond what is included are used of the next month; or not."""
    billing = _shop(open_billing, overage="free", debt=debt)
    billing.consume("org", "x", 140)
    stripe.advance(months=1)
    owed = 40 if debt == "carry" else 0

    balance = billing.check("org", "x").balance
    assert (owed, 100 - owed, 0) == (balance.used, balance.remaining, balance.overage_used)
    billing.consume("org", "x", 100 - owed)
    assert (100, 0) == (billing.balances("org")["x"].used, billing.balances("org")["x"].overage_used)
    stripe.advance(months=1)
    assert 100 == billing.check("org", "x").remaining


def test_debt_is_paid_by_months_that_nobody_looked_at(open_billing: Open, stripe: StripeSimulator) -> None:
    """The first idle month pays what is owed and leaves the rest, the second leaves all."""
    billing = _shop(open_billing, overage="free", debt="carry", rollover=500)
    billing.consume("org", "x", 140)
    stripe.advance(months=3)

    assert ([60, 100], 260) == (_rolled(billing), billing.check("org", "x").remaining)


def test_debt_beyond_a_whole_month_is_forgiven(open_billing: Open, stripe: StripeSimulator) -> None:
    """Nobody owes for more than one month; and overage of that month is owed again."""
    billing = _shop(open_billing, overage="free", debt="carry")
    billing.consume("org", "x", 350)
    stripe.advance(months=1)
    assert (100, 0) == (billing.check("org", "x").balance.used, billing.check("org", "x").remaining)

    billing.consume("org", "x", 5)
    stripe.advance(months=1)
    assert 95 == billing.check("org", "x").remaining


def test_what_was_never_used(open_billing: Open, stripe: StripeSimulator) -> None:
    """The months since a customer came count as months in which nothing was used; an unknown one has none."""
    billing = _shop(open_billing, rollover=150)
    assert 100 == billing.check("nobody", "x").remaining
    stripe.advance(months=2)

    assert 250 == billing.check("org", "x").remaining
    billing.consume("org", "x", 250)
    assert 0 == billing.check("org", "x").remaining


def test_the_past_is_read_once(open_billing: Open, stripe: StripeSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a writer who finds the running period unopened looks for the last one: readers got it with the rest."""
    asked: list[Sequence[str]] = []
    read = Entitlements.last_buckets

    def counted(self: Entitlements, grant_ids: Sequence[str], now: int, *, locked: bool) -> Any:
        asked.append(grant_ids)
        return read(self, grant_ids, now, locked=locked)

    monkeypatch.setattr(Entitlements, "last_buckets", counted)
    billing = _shop(open_billing, rollover=1_000, overage="free", debt="carry")
    billing.consume("org", "x")
    assert [] == asked
    stripe.advance(months=1)
    billing.check("org", "x")
    billing.balances("org")
    assert [] == asked
    billing.consume("org", "x")
    assert 1 == len(asked)
    billing.check("org", "x")
    billing.balances("org")
    billing.consume("org", "x")
    assert 1 == len(asked)


def test_units_that_expired_are_not_read_again(open_billing: Open, stripe: StripeSimulator) -> None:
    """A reader has as many rows to look at as there are months that still count."""
    billing = _shop(open_billing, rollover=1_000, rollover_periods=2)
    for _ in range(6):
        stripe.advance(months=1)
        billing.consume("org", "x", 10)
    core = billing._wiring.core
    who, now = core.reference("org"), core.now()
    _, held = run_blocking(core.store.read(lambda tx: tx.entitlements.of_reference(who, ["x"], now)))

    assert ["default", "rollover", "rollover"] == sorted(grant.source_type for grant, _ in held)
    assert [90, 100] == _rolled(billing)


def test_units_that_never_expire_do_not_pile_up(open_billing: Open, stripe: StripeSimulator) -> None:
    """What is used up of earlier months is gone with the next one."""
    billing = _shop(open_billing, rollover=100)
    for _ in range(6):
        stripe.advance(months=1)
        billing.consume("org", "x", 100)

    assert 2 == len(billing.check("org", "x").breakdown)
    assert 100 == billing.check("org", "x").remaining


# ── Whenever anybody looks ───────────────────────────────────────────────────────────────────────────────────────────

HOURS = st.integers(0, 60)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), HOURS, st.integers(1, 25)),
        st.tuples(st.just("hold"), HOURS, st.integers(1, 8), st.integers(1, 50)),
        st.tuples(st.just("settle"), HOURS, st.integers(0, 9)),
        st.tuples(st.just("release"), HOURS),
        st.tuples(st.just("give back"), HOURS, st.integers(1, 9)),
        st.tuples(st.just("refund"), HOURS),
    ),
    min_size=1,
    max_size=7,
)


def test_a_plan_that_lapsed_silently_left_what_it_left(open_billing: Open, stripe: StripeSimulator) -> None:
    """Nobody writes for days before a plan lapses; it comes back: what its days left is there, as for who did write."""
    allowance = Metered(10, reset="day", rollover=10_000)
    billing = open_billing(plans=[Plan("pro", price_id="price_pro", features={"x": allowance})])
    for name in ("idle", "busy"):
        stripe.subscribe(name, "pro")
        stripe.use_card(name, "4000000000000002")
    stripe.advance(months=1, hours=2)
    subscription = billing.subscriptions.get("idle")
    assert subscription is not None
    assert subscription.grace_ends_at is not None
    stripe.advance(hours=(to_instant(subscription.grace_ends_at) - stripe.clock.now()) // HOUR - 1)
    billing.track("busy", "x")
    billing.give_back("busy", "x")
    both = [billing.check(name, "x").remaining for name in ("idle", "busy")]
    assert both == [390, 390]
    stripe.advance(days=2)
    assert [0, 0] == [billing.check(name, "x").remaining for name in ("idle", "busy")]

    for name in ("idle", "busy"):
        stripe.use_card(name, "4242424242424242")
        stripe.collect(name)
    left = [billing.check(name, "x").remaining for name in ("idle", "busy")]
    assert both == left


class Script:
    """The same steps on a stage of its own, looked at after each; with `is_swept` somebody also writes every hour."""

    def __init__(self, stage: Stage, *, is_swept: bool) -> None:
        self.stage = stage
        self.is_swept = is_swept
        self.holds: list[Any] = []
        self.uses: list[str] = []

    def wait(self, hours: int) -> None:
        """Time goes on."""
        for _ in range(hours):
            self.stage.clock.micros += HOUR
            if self.is_swept:
                self.stage._write(self._catch_up)

    def _catch_up(self, books: Books, tx: Transaction) -> None:
        core = self.stage.core
        situation(core, tx, books, core.offer.feature("x"), "", self.stage.clock.micros)

    def do(self, what: str, hours: int, *how: int) -> None:
        """One step."""
        billing = self.stage.billing
        self.wait(hours)
        if what == "use":
            self.uses.append(billing.track("org", "x", how[0]).event_id)
        elif what == "hold":
            with suppress(InsufficientBalance):
                self.holds.append(billing.reserve("org", "x", how[0], ttl=how[1] * 3_600))
        elif what == "settle" and self.holds:
            self.holds.pop(0).settle(how[0])
        elif what == "release" and self.holds:
            self.holds.pop().release()
        elif what == "give back":
            billing.give_back("org", "x", how[0])
        elif what == "refund" and self.uses:
            billing.refund("org", self.uses.pop(0))

    def view(self) -> Any:
        """What anybody sees."""
        decision = self.stage.billing.check("org", "x")
        parts: list[Any] = list(decision.breakdown)
        seen = [(each["source"], each["included"], each["used"], each["held"]) for each in parts]
        return decision.balance, sorted(each for each in seen if each[1] or each[2] or each[3])


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    """Two applications, each with a database in memory."""
    both = Stage("sqlite://", {"x": Metered(1)}), Stage("sqlite://", {"x": Metered(1)})
    yield both
    for each in both:
        each.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=STEPS,
    amount=st.integers(0, 12),
    rule=st.one_of(st.none(), st.builds(Rule, st.integers(0, 30), st.one_of(st.none(), st.integers(1, 3)))),
    debt=st.sampled_from(["forgive", "carry"]),
    overage=st.one_of(st.none(), st.integers(0, 15)),
)
def test_it_does_not_matter_when_it_is_written(
    stages: tuple[Stage, Stage],
    steps: list[Any],
    amount: int,
    rule: Rule | None,
    debt: DebtMode,
    overage: int | None,
) -> None:
    """I11: whether or not the books are kept every hour, everybody sees the same at every time."""
    terms: dict[str, Any] = {
        "interval": Interval("day"),
        "terms": Terms(rollover=rule, debt=debt).text(),
        "source_id": "gift",
    }
    lazy, busy = (Script(stage, is_swept=stage is stages[1]) for stage in stages)
    for script in (lazy, busy):
        script.stage.clear()
        script.stage.give("x", amount, **terms)
        if overage is not None:
            script.stage.give("x", overage, kind="overage", **terms)
    every: list[Any] = [*steps, ("look", 30), ("look", 30)]
    for step in every:
        for script in (lazy, busy):
            script.do(*step)
        assert lazy.view() == busy.view()
    busy.stage.judge()
    lazy.stage.judge()
