"""Old books are thrown away, and nobody notices: what is left adds up, and answers as if everything were there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import BillingError, Conflict, Credits, Feature, InvalidInput, Metered, UsageLimit
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import DAY, FOREVER, to_datetime
from kernia_billing.domain.period import Interval
from kernia_billing.domain.rollover import Rule
from kernia_billing.domain.terms import Terms
from kernia_billing.operations import keeping, reserving
from tests.harness.coherent import coherent
from tests.machines.stage import REFERENCE, START, Stage

FEATURES: dict[str, Metered | Credits] = {"x": Metered(0), "y": Metered(0), "gold": Credits(0)}
PAID = Feature("paid", credit_cost={"gold": 10})
KEPT = 40 * DAY
MONTH, WEEK = Interval("month"), Interval("week")


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nobody has anything yet."""
    opened = Stage("sqlite://", FEATURES, [PAID])
    yield opened
    judge(opened)
    opened.close()


def judge(stage: Stage) -> None:
    """Fail where what is left contradicts itself."""
    stage.judge()
    coherent(stage.engine)


def prune(stage: Stage, kept: int = KEPT, **changes: Any) -> int:
    """Look through everybody's books, once a day at most; says how many rows went."""
    return run_blocking(keeping.prune(evolve(stage.core, usage_retention=kept, **changes)))


def later(stage: Stage, days: int) -> None:
    """Let time pass."""
    stage.clock.micros += days * DAY


def counts(stage: Stage, *tables: str) -> list[int]:
    """How many rows tables have."""
    return [len(stage.rows(table)) for table in tables]


def test_a_period_goes_with_its_lines_and_uses(stage: Stage) -> None:
    """Not before it is over as long as everything is kept, and nothing of later ones goes with it."""
    stage.give("x", 100, interval=MONTH)
    for days in (20, 20, 30):
        stage.billing.track(REFERENCE, "x", 5)
        later(stage, days)
    stage.clock.micros = START + 31 * DAY + KEPT - 1
    assert 0 == prune(stage)
    later(stage, 1)

    # A bucket, its three lines, and two uses.
    assert 6 == prune(stage)
    assert [1, 2, 1] == counts(stage, "bucket", "ledger", "usage_event")
    assert 0 == prune(stage)


def test_what_rolls_over_keeps_its_last_period(stage: Stage) -> None:
    """However long ago it was: the next period begins with what it left."""
    stage.give("x", 100, interval=MONTH, terms=Terms(rollover=Rule(1_000, 100)).text())
    stage.give("y", 100, interval=MONTH)
    stage.billing.track(REFERENCE, "x", 60)
    stage.billing.track(REFERENCE, "y", 60)
    later(stage, 300)
    expected = stage.billing.check(REFERENCE, "x").balance
    prune(stage)

    assert ["x"] == [each["feature_key"] for each in stage.buckets()]
    assert expected == stage.billing.check(REFERENCE, "x").balance


def test_what_is_held_stays(stage: Stage) -> None:
    """The bucket of an open hold stays until it has ended, whenever its period was over."""
    stage.give("x", 100, interval=WEEK)
    hold = stage.billing.reserve(REFERENCE, "x", 10, ttl=timedelta(days=7))
    later(stage, 60)
    prune(stage)
    assert [1] == counts(stage, "bucket")
    run_blocking(reserving.sweep(stage.core))
    assert "expired" == next(each["status"] for each in stage.rows("hold") if each["id"] == hold.id)
    later(stage, 2)
    prune(stage)
    assert [0] == counts(stage, "bucket")


def test_what_was_given_once_goes_when_it_has_ended(stage: Stage) -> None:
    """A top-up that expired goes with its uses; one that never does stays with all of its own."""
    stage.give("x", 10, expires_at=START + 10 * DAY)
    stage.give("x", 100)
    both = stage.billing.track(REFERENCE, "x", 12)
    stage.billing.track(REFERENCE, "x", 3)
    later(stage, 60)
    prune(stage)

    assert [100] == [each["amount"] for each in stage.rows("bucket")]
    assert 2 == len(stage.rows("entitlement"))
    assert 2 == len(stage.rows("usage_event"))
    with pytest.raises(Conflict) as refused:
        stage.billing.refund(REFERENCE, both.event_id)
    assert "USAGE_EVENT_NOT_REFUNDABLE" == refused.value.code


def test_the_past_beyond_the_horizon_is_refused(stage: Stage) -> None:
    """An explanation and a sum of the time of which books are gone are errors; later ones are right."""
    stage.give("x", 100, interval=WEEK)
    for _ in range(12):
        stage.billing.track(REFERENCE, "x", 5)
        later(stage, 7)
    told = [stage.billing.explain(REFERENCE, "x", at=to_datetime(START + n * 7 * DAY + DAY)) for n in range(12)]
    prune(stage)
    kept = stage.clock.micros - KEPT

    for number, before in enumerate(told):
        at = to_datetime(START + number * 7 * DAY + DAY)
        if START + number * 7 * DAY + DAY < kept:
            with pytest.raises(InvalidInput, match="older books"):
                stage.billing.explain(REFERENCE, "x", at=at)
        else:
            assert before.decision == stage.billing.explain(REFERENCE, "x", at=at).decision
    with pytest.raises(InvalidInput, match="older uses"):
        stage.billing.usage_series(REFERENCE, "x", start=to_datetime(kept - 1))
    assert 25 == sum(point.quantity for point in stage.billing.usage_series(REFERENCE, "x", start=to_datetime(kept)))
    assert 25 == sum(point.quantity for point in stage.billing.usage_series(REFERENCE, "x", bin="month"))


def test_a_long_limit_keeps_what_it_counts(stage: Stage) -> None:
    """While a window of a limit runs, nothing of it goes."""
    limit = Terms(limits=(UsageLimit(50, per="year"),)).text()
    stage.give("x", 100, interval=WEEK, terms=limit)
    stage.billing.track(REFERENCE, "x", 5)
    later(stage, 100)
    assert 0 == prune(stage)
    later(stage, 320)
    assert 0 < prune(stage)


def test_a_key_is_known_as_long_as_its_use(stage: Stage) -> None:
    """A repeated call within the retention counts nothing."""
    stage.give("x", 100, interval=WEEK)
    stage.billing.track(REFERENCE, "x", 5, idempotency_key="once")
    later(stage, 39)
    prune(stage)
    assert stage.billing.track(REFERENCE, "x", 5, idempotency_key="once").replayed
    later(stage, 8)
    prune(stage)
    assert not stage.billing.track(REFERENCE, "x", 5, idempotency_key="once").replayed


def test_states_that_nobody_asks_for_go(stage: Stage) -> None:
    """Of what was noted of a grant its first state stays, the one at the horizon, and later ones."""
    grant = stage.give("x", 100, interval=WEEK)
    for amount in (200, 300, 400):
        stage.clock.micros += 1
        stage.amend(grant, amount)
        stage.billing.track(REFERENCE, "x", 1)
        later(stage, 20)
    at = to_datetime(stage.clock.micros - KEPT + DAY)
    before = stage.billing.explain(REFERENCE, "x", at=at)
    prune(stage)
    assert {100, 300, 400} == {row["amount"] for row in stage.rows("entitlement_change")}
    after = stage.billing.explain(REFERENCE, "x", at=at)
    assert (before.decision, before.grants) == (after.decision, after.grants)


def test_a_large_book_goes_in_small_pieces(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run deletes so many rows at most and the next goes on there; between any two pieces everything adds up."""
    monkeypatch.setattr(keeping, "BATCH", 3)
    monkeypatch.setattr(keeping, "_BATCHES", 2)
    stage.give("x", 100, interval=WEEK)
    stage.give("x", 100)
    for number in range(20):
        stage.billing.track(REFERENCE, "x", 10 * number % 130 + 1)
        later(stage, 2)
    later(stage, 60)
    sizes: list[int] = []
    while number := prune(stage):
        sizes.append(number)
        judge(stage)
    assert max(sizes) < 12
    assert len(sizes) > 3
    # The second grant is there, with the uses that reached it.
    assert 1 == len(stage.rows("bucket"))
    assert 0 == prune(stage)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("survives", range(9))
def test_whoever_is_killed_leaves_books_that_add_up(stage: Stage, survives: int) -> None:
    """Killed after any transaction: everything adds up, and the next run takes the rest."""
    stage.give("x", 100, interval=WEEK)
    stage.give("x", 5)
    for _ in range(6):
        stage.billing.track(REFERENCE, "x", 60)
        later(stage, 4)
    later(stage, 60)
    core = stage.core
    dead: Any = Dying(core.store, survives)
    dying = evolve(core, store=dead)
    try:
        run_blocking(keeping.prune(evolve(dying, usage_retention=KEPT)))
    except Killed:
        judge(stage)
    prune(stage)
    assert [1, 1] == counts(stage, "bucket", "usage_event")
    assert [1] == [row["swept"] for row in stage.rows("horizon")]


class Dying:
    """A store whose process dies after some transactions."""

    def __init__(self, store: Any, survives: int) -> None:
        self._store = store
        self._left = survives

    async def read(self, unit: Any) -> Any:
        """As it is."""
        return await self._store.read(unit)

    async def transaction(self, unit: Any, **more: Any) -> Any:
        """So many are done."""
        if self._left == 0:
            raise Killed
        self._left -= 1
        return await self._store.transaction(unit, **more)


# ── Nobody notices ───────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from(["x", "y", "paid", "gold"]), st.integers(1, 40)),
        st.tuples(st.just("use"), st.sampled_from(["x", "y", "paid", "gold"]), st.integers(1, 40)),
        st.tuples(st.just("back"), st.sampled_from(["x", "paid"]), st.integers(1, 20)),
        st.tuples(st.just("refund"), st.integers(0, 30), st.integers(1, 9)),
        st.tuples(st.just("give"), st.sampled_from(["x", "y", "gold"]), st.integers(0, 4)),
        st.tuples(st.just("hold"), st.sampled_from(["x", "paid"]), st.integers(1, 20)),
        st.tuples(st.just("settle"), st.integers(0, 5), st.integers(0, 20)),
        st.tuples(st.just("later"), st.sampled_from([1, 8, 33, 70]), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)
TERMS: list[dict[str, Any]] = [
    {"interval": WEEK},
    {"interval": MONTH, "terms": Terms(rollover=Rule(150, 2)).text()},
    {"interval": WEEK, "terms": Terms(debt="carry").text()},
    {"expires_at": None},
    {"interval": MONTH, "terms": Terms(limits=(UsageLimit(60, per="month"),)).text()},
]


class Book:
    """One of two applications that are told the same."""

    def __init__(self, stage: Stage) -> None:
        stage.clear()
        self.stage = stage
        self.uses: list[str] = []
        self.holds: list[Any] = []

    def do(self, step: tuple[str, Any, int]) -> object:
        """What a step is answered, without the ids that differ."""
        what, of, number = step
        billing = self.stage.billing
        if what == "use":
            usage = billing.track(REFERENCE, of, number)
            self.uses.append(usage.event_id)
            return usage.funded, usage.balance
        if what == "back":
            usage = billing.give_back(REFERENCE, of, number)
            return usage.funded, usage.restored, usage.balance
        if what == "refund" and self.uses:
            usage = billing.refund(REFERENCE, self.uses[int(of) % len(self.uses)], number)
            return usage.funded, usage.restored, usage.balance
        if what == "give":
            terms = {**TERMS[number]}
            if "expires_at" in terms:
                terms["expires_at"] = self.stage.clock.micros + 20 * DAY
            self.stage.give(of, 50, **terms)
        if what == "hold":
            self.holds.append(billing.reserve(REFERENCE, of, number, ttl=timedelta(days=7)))
        if what == "settle" and self.holds:
            return self.holds.pop(of % len(self.holds)).settle(number).funded
        return None

    def later(self, days: int) -> None:
        """Let time pass, and jobs be done; holds go earlier than what they were settled with."""
        later(self.stage, days)
        run_blocking(reserving.sweep(self.stage.core))
        before = self.stage.clock.micros - 30 * DAY
        run_blocking(self.stage.core.store.transaction(lambda tx: tx.holds.prune(before, 500)))

    def told(self, step: tuple[str, Any, int]) -> object:
        """The answer, or what kind of error it is."""
        try:
            return self.do(step)
        except BillingError as error:
            return error.code


def _decisions(book: Book, at: int | None) -> list[object]:
    """The answers of an instant, None for now. Of equal units left over, the ids say which one is drawn first."""
    billing, features = book.stage.billing, ("x", "y", "paid")
    if at is None:
        found = [billing.check(REFERENCE, each) for each in features]
    else:
        found = [billing.explain(REFERENCE, each, at=to_datetime(at)).decision for each in features]
    return [evolve(each, breakdown=()) for each in found]


@pytest.fixture(scope="module")
def stages() -> Iterator[tuple[Stage, Stage]]:
    """Two applications, each with a database of its own."""
    both = Stage("sqlite://", FEATURES, [PAID]), Stage("sqlite://", FEATURES, [PAID])
    yield both
    for each in both:
        each.close()


@given(steps=STEPS, days=st.lists(st.integers(0, 400), max_size=4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_answers_are_those_of_whole_books(
    stages: tuple[Stage, Stage], steps: list[tuple[str, Any, int]], days: list[int]
) -> None:
    """Whatever is done, and whenever old books go: balances and decisions are the same as where nothing went.

    Only a refund of a use that lies beyond the horizon is refused, which the other one is not told either.
    """
    whole, pruned = Book(stages[0]), Book(stages[1])
    for step in steps:
        if step[0] == "later":
            for book in (whole, pruned):
                book.later(step[1])
            prune(pruned.stage)
        elif step[0] == "refund" and pruned.uses and _is_beyond(pruned, pruned.uses[int(step[1]) % len(pruned.uses)]):
            assert pruned.told(step) in ("USAGE_EVENT_NOT_REFUNDABLE", "USAGE_EVENT_NOT_FOUND")
        else:
            one, other = whole.told(step), pruned.told(step)
            assert one == other
            assert _decisions(whole, None) == _decisions(pruned, None)
    judge(pruned.stage)
    kept_from = max((row["kept_from"] for row in pruned.stage.rows("horizon")), default=START)
    for day in days:
        if kept_from <= (at := START + day * DAY) <= pruned.stage.clock.micros:
            assert _decisions(whole, at) == _decisions(pruned, at)


def _is_beyond(book: Book, event_id: str) -> bool:
    horizons = book.stage.rows("horizon")
    seqs = {row["id"]: row["seq"] for row in book.stage.rows("usage_event")}
    return event_id not in seqs or any(seqs[event_id] <= row["seq"] for row in horizons)


def test_two_workers_at_once(stage: Stage) -> None:
    """A second worker in the middle of the first one's work finds nothing that it could spoil."""
    stage.give("x", 100, interval=WEEK)
    for _ in range(10):
        stage.billing.track(REFERENCE, "x", 40)
        later(stage, 4)
    later(stage, 60)
    core = stage.core

    def other() -> None:
        assert prune(stage) >= 0
        stage.billing.track(REFERENCE, "x", 1)
        judge(stage)

    meddled: Any = Meddled(core.store, other)
    assert 0 <= run_blocking(keeping.prune(evolve(core, store=meddled, usage_retention=KEPT)))
    judge(stage)


class Meddled:
    """A store before whose every transaction something else happens."""

    def __init__(self, store: Any, meddle: Callable[[], None]) -> None:
        self._store = store
        self._meddle = meddle

    async def read(self, unit: Any) -> Any:
        """As it is."""
        return await self._store.read(unit)

    async def transaction(self, unit: Any, **more: Any) -> Any:
        """After something else."""
        self._meddle()
        return await self._store.transaction(unit, **more)


def test_what_never_ends_is_never_over(stage: Stage) -> None:
    """An allowance without periods is there for good, with all of its uses."""
    stage.give("x", 100, expires_at=FOREVER)
    stage.billing.track(REFERENCE, "x", 5)
    later(stage, 3_000)
    assert 0 == prune(stage)
    assert [1, 1] == counts(stage, "bucket", "usage_event")


def test_every_database(engine_url: str) -> None:
    """Old books go the same way on each, and what stays adds up."""
    stage = Stage(engine_url, FEATURES, [PAID])
    try:
        stage.give("x", 100, interval=WEEK)
        stage.give("x", 5)
        grant = stage.give("gold", 100, interval=WEEK)
        for _ in range(6):
            stage.billing.track(REFERENCE, "x", 60)
            stage.billing.track(REFERENCE, "paid", 1)
            stage.clock.micros += 4 * DAY
        stage.amend(grant, 200)
        later(stage, 60)
        assert 20 < prune(stage)
        judge(stage)
        # The second grant never ends; of the third one the period that was amended last was over as long.
        assert [5] == [row["amount"] for row in stage.rows("bucket")]
        assert [1] == counts(stage, "usage_event")
        assert [1] == [row["swept"] for row in stage.rows("horizon")]
    finally:
        stage.close()
