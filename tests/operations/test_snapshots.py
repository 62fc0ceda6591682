"""What `check` answers from memory: never older than declared, and never other than what this process wrote."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from kernia_billing import (
    AsyncBilling,
    Billing,
    Boolean,
    Credits,
    Feature,
    FeatureDenied,
    InsufficientBalance,
    InvalidInput,
    Metered,
    Plan,
    Quantity,
    Reference,
    UsageLimit,
    Use,
)
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Decision
from kernia_billing.domain.instants import to_datetime
from kernia_billing.errors import GuardError
from kernia_billing.operations import check, outbox
from kernia_billing.testing import StripeSimulator
from tests.harness.processes import StandingClock

START = 1_790_000_000_000_000
"""2026-09-21T14:13:20Z, 46 minutes and 40 seconds before the hour."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
AGE = 60
"""How old an answer may be, in seconds, where a test says nothing else."""
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(100),
            "hourly": Metered(10, reset="hour", anchor="calendar"),
            "rolling": Metered(10, reset="hour", anchor="calendar", rollover=5),
            "owing": Metered(10, reset="hour", anchor="calendar", overage="free", overage_limit=20, debt="carry"),
            "mails": Metered(100, limits=[UsageLimit(30, "hour")]),
            "tokens": Metered(5),
            "chats": Metered(limits=[UsageLimit(30, "hour")]),
            "credits": Credits(100),
            "projects": Quantity(5),
            "sso": Boolean(),
        },
    ),
    Plan("none", features={"videos": Metered(1)}),
]
FEATURES = [Feature("tokens", credit_cost={"credits": 10}), Feature("chats", credit_cost={"credits": 0})]

Open = Callable[..., Billing]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StandingClock:
    """The time of every object that a test opens without Stripe."""
    clock = StandingClock(START)
    monkeypatch.setattr("kernia_billing.compose.SystemClock", lambda: clock)
    return clock


def options(url: str, **more: Any) -> dict[str, Any]:
    """The shop."""
    return {"database": url, "plans": PLANS, "features": FEATURES, "default_plan": "free", **more}


@pytest.fixture
def open_shop(clock: StandingClock, sqlite_url: str) -> Iterator[Open]:
    """Opens the shop as one more process would; without an age it keeps nothing."""
    opened: list[Billing] = []

    def make(age: timedelta | int | None = AGE, **more: Any) -> Billing:
        opened.append(Billing(**options(sqlite_url, snapshot_max_age=age, **more)))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def left(billing: Billing, feature: str = "messages") -> int | None:
    """What `check` says is left."""
    return billing.check("ann", feature).remaining


# ── How old an answer may be ─────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_kept_by_default(open_shop: Open) -> None:
    """Without the option every check sees what another process has just written."""
    here, there = open_shop(None), open_shop(None)
    assert 100 == left(here)

    there.track("ann", "messages", 30)

    assert 70 == left(here)


def test_an_answer_is_kept_for_its_age_and_says_how_old_it_is(open_shop: Open, clock: StandingClock) -> None:
    """What another process writes is seen after the age at the latest; until then `as_of` says when it was read."""
    here, there = open_shop(), open_shop(None)
    left(here)
    there.track("ann", "messages", 30)

    clock.micros += AGE * SECOND - 1
    last = here.check("ann", "messages")
    clock.micros += 1

    assert (100, to_datetime(START)) == (last.remaining, last.as_of)
    assert here.check("ann", "messages") == there.check("ann", "messages")
    assert 70 == left(here)


def test_an_answer_is_not_used_before_it_was_read(open_shop: Open, clock: StandingClock) -> None:
    """A clock that was set back makes no answer last longer."""
    here, there = open_shop(), open_shop(None)
    there.track("ann", "messages")
    clock.micros += 10 * SECOND
    left(here)
    there.track("ann", "messages", 30)

    clock.micros -= 1

    assert 69 == left(here)


@pytest.mark.parametrize("age", [timedelta(microseconds=1), "1h", 3_600])
def test_ages(open_shop: Open, clock: StandingClock, age: Any) -> None:
    """From a microsecond to an hour, in every spelling of a duration."""
    here, there = open_shop(age), open_shop(None)
    left(here)
    there.track("ann", "messages", 30)

    assert 100 == left(here)
    clock.micros += 1 if isinstance(age, timedelta) else 3_600 * SECOND
    assert 70 == left(here)


def test_another_question_is_another_answer(open_shop: Open) -> None:
    """Reference, feature, quantity and entity make a question; an answer to one is none to another."""
    here, there = open_shop(), open_shop(None)
    there.grant("ann", "messages", 7, entity="a")
    questions: list[tuple[Any, ...]] = [
        ("ann", "messages", 1, None),
        ("bob", "messages", 1, None),
        ("ann", "mails", 1, None),
        ("ann", "messages", 101, None),
        ("ann", "messages", 1, "a"),
        (Reference("ann", "organization"), "messages", 1, None),
    ]

    for _ in range(2):
        for reference, feature, required, entity in questions:
            found = here.check(reference, feature, required, entity=entity)
            assert there.check(reference, feature, required, entity=entity) == found


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"required": True}, "required"),
        ({"required": 1.0}, "required"),
        ({"reference": ["ann"]}, "reference"),
        ({"feature": {}}, "feature"),
        ({"entity": []}, "entity"),
        ({"entity": ""}, "entity"),
    ],
)
def test_what_is_no_question_is_refused_all_the_same(open_shop: Open, arguments: dict[str, Any], named: str) -> None:
    """An answer in memory lets nothing pass that would be refused without it, as True, which Python takes for 1."""
    here = open_shop()
    question: dict[str, Any] = {"reference": "ann", "feature": "messages", "required": 1}
    assert here.check(**question)

    with pytest.raises(InvalidInput) as caught:
        here.check(**question | arguments)

    assert named == caught.value.field


def test_preview_always_reads(open_shop: Open) -> None:
    """What would allow it, and the answer beside it, are of now."""
    here, there = open_shop(), open_shop(None)
    left(here)
    there.track("ann", "messages", 30)

    assert 70 == here.check("ann", "messages", preview=True).remaining
    assert 100 == left(here)


# ── What time changes ────────────────────────────────────────────────────────────────────────────────────────────────


def _hold(billing: Billing) -> None:
    billing.reserve("ann", "messages", 30, ttl=600)


def _limited_hold(billing: Billing) -> None:
    billing.track("ann", "mails", 1)
    billing.reserve("ann", "mails", 29, ttl=600)


def _hold_at_no_cost(billing: Billing) -> None:
    billing.reserve("ann", "chats", 30, ttl=600)


def _grant(billing: Billing) -> None:
    billing.grant("ann", "messages", 50, expires_at=to_datetime(START + 600 * SECOND))


def _of_entity(billing: Billing) -> None:
    billing.grant("ann", "messages", 50, entity="a", expires_at=to_datetime(START + 600 * SECOND))


def _used(feature: str, quantity: int) -> Callable[[Billing], None]:
    def use(billing: Billing) -> None:
        billing.track("ann", feature, quantity)

    return use


@pytest.mark.parametrize(
    ("prepare", "feature", "seconds"),
    [
        pytest.param(_hold, "messages", 600, id="hold"),
        pytest.param(_limited_hold, "mails", 600, id="hold-within-limit"),
        pytest.param(_hold_at_no_cost, "chats", 600, id="hold-of-a-limit-alone"),
        pytest.param(_grant, "messages", 600, id="grant"),
        pytest.param(_of_entity, "messages", 600, id="entity"),
        pytest.param(_used("hourly", 4), "hourly", 2_800, id="period"),
        pytest.param(_used("rolling", 4), "rolling", 2_800, id="rollover"),
        pytest.param(_used("owing", 14), "owing", 2_800, id="debt"),
        pytest.param(_used("mails", 30), "mails", 2_800, id="limit"),
    ],
)
def test_an_answer_ends_where_time_changes_it(
    open_shop: Open, clock: StandingClock, prepare: Callable[[Billing], None], feature: str, seconds: int
) -> None:
    """However long answers may be kept: none outlives a hold, a grant, a period or the window of a limit."""
    here, there = open_shop("1h"), open_shop(None)
    prepare(here)
    before = here.check("ann", feature, entity="a")

    clock.micros += seconds * SECOND - 1
    last = here.check("ann", feature, entity="a")
    clock.micros += 1

    assert before == last
    fresh = there.check("ann", feature, entity="a")
    assert fresh == here.check("ann", feature, entity="a")
    assert (before.allowed, before.balance, before.limits) != (fresh.allowed, fresh.balance, fresh.limits)


def test_a_plan_that_runs_out_ends_an_answer(sqlite_url: str) -> None:
    """A plan whose invoice nobody pays counts to the last second of its grace, in memory as well."""
    stripe = StripeSimulator()
    shop: dict[str, Any] = {
        "plans": [Plan("free", features={"mails": Metered(5)}), Plan("pro", price_id="p", features={"sso": Boolean()})],
        "default_plan": "free",
        "snapshot_max_age": "1h",
    }
    with Billing(stripe_client=stripe, database=sqlite_url, **shop) as here:
        stripe.subscribe("ann", "pro")
        stripe.use_card("ann", "4000000000000002")
        stripe.advance(months=1, hours=2)
        customer = run_blocking(here._wiring.core.store.read(lambda tx: tx.customers.get(Reference("ann", "user"))))
        assert customer is not None
        end = customer.plan_until // SECOND

        stripe.clock.move_to(end - 600)
        before = [here.check("ann", each) for each in ("sso", "mails")]
        stripe.clock.move_to(end - 1)
        assert before == [here.check("ann", each) for each in ("sso", "mails")]
        stripe.clock.move_to(end)
        after = [here.check("ann", each) for each in ("sso", "mails")]

    assert [True, False, False, True] == [each.allowed for each in (*before, *after)]


# ── What this process writes ─────────────────────────────────────────────────────────────────────────────────────────


def _settle(billing: Billing) -> None:
    billing.reserve("ann", "messages", 20, idempotency_key="hold").settle(5)


def _release(billing: Billing) -> None:
    billing.reserve("ann", "messages", 20, idempotency_key="hold").release()


def _refund(billing: Billing) -> None:
    used = billing.track("ann", "messages", 10, idempotency_key="use")
    billing.refund("ann", used.event_id)


def _revoke(billing: Billing) -> None:
    billing.revoke("ann", billing.grant("ann", "messages", 40, idempotency_key="grant").id)


WRITES: dict[str, Callable[[Billing], object]] = {
    "track": lambda billing: billing.track("ann", "messages"),
    "consume": lambda billing: billing.consume("ann", "messages"),
    "give_back": lambda billing: billing.give_back("ann", "messages", 5),
    "set_usage": lambda billing: billing.set_usage("ann", "messages", 50),
    "track_many": lambda billing: billing.track_many([Use("bob", "messages"), Use("ann", "messages", 3)]),
    "reserve": lambda billing: billing.reserve("ann", "messages", 20),
    "settle": _settle,
    "release": _release,
    "refund": _refund,
    "grant": lambda billing: billing.grant("ann", "messages", 20),
    "revoke": _revoke,
    "by reference": lambda billing: billing.track(Reference("ann", "user"), "messages"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_own_writes_are_seen_at_once(open_shop: Open, write: Callable[[Billing], object]) -> None:
    """Whatever this object writes, its next check knows, by whichever spelling of the reference it asks."""
    here, there = open_shop(), open_shop(None)
    here.track("ann", "messages", 10, idempotency_key="use")
    here.grant("ann", "messages", 40, idempotency_key="grant")
    here.reserve("ann", "messages", 20, idempotency_key="hold")
    spellings = ("ann", Reference("ann", "user"))
    before = [here.check(each, "messages") for each in spellings]

    write(here)

    after = [here.check(each, "messages") for each in spellings]
    assert [there.check(each, "messages") for each in spellings] == after
    assert before != after
    assert after == [here.check(each, "messages") for each in spellings]


def test_writes_for_others_take_nothing_away(open_shop: Open) -> None:
    """What is written for one customer leaves the answers of all others."""
    here, there = open_shop(), open_shop(None)
    left(here)
    there.track("ann", "messages", 30)

    here.track("bob", "messages", 30)

    assert 100 == left(here)


def test_a_refusal_and_a_repetition_change_nothing_for_long(open_shop: Open) -> None:
    """A write that comes to nothing is over when it returns: the next answer is kept again."""
    here, there = open_shop(), open_shop(None)
    here.track("ann", "messages", 30, idempotency_key="use")
    here.track("ann", "messages", 30, idempotency_key="use")
    with pytest.raises(InsufficientBalance):
        here.consume("ann", "messages", 71)
    assert 70 == left(here)

    there.track("ann", "messages", 30)

    assert 70 == left(here)


def test_webhooks_and_jobs_are_writes(sqlite_url: str) -> None:
    """News of a subscription, its end, and an import of what no webhook told of change the next answer."""
    stripe = StripeSimulator()
    plans = [Plan("pro", price_id="price_pro", features={"messages": Metered(100)})]
    with Billing(stripe_client=stripe, database=sqlite_url, plans=plans, snapshot_max_age="1h") as here:
        assert not here.check("ann", "messages")
        stripe.subscribe("ann", "pro")
        assert here.check("ann", "messages")

        portal = here.portal("ann", return_url="/", flow="cancel")
        stripe.portal(portal, "cancel")
        subscription = here.subscriptions.get("ann")
        assert subscription is not None
        assert subscription.cancel_at is not None
        assert here.check("ann", "messages")
        stripe.advance(months=1)
        assert not here.check("ann", "messages")


def test_holds_that_the_worker_sweeps_are_writes(open_shop: Open, clock: StandingClock) -> None:
    """A hold whose end was written down by the jobs of this process is gone from its answers."""
    here, there = open_shop("1h"), open_shop(None)
    there.reserve("ann", "messages", 30, ttl=600)
    left(here)
    clock.micros += 600 * SECOND

    here.jobs.run()

    assert there.check("ann", "messages") == here.check("ann", "messages")


def test_events_of_others_end_an_answer(open_shop: Open) -> None:
    """What another process did and this one hands over to hooks is seen from then on."""
    plans = [Plan("free", features={"messages": Metered(100, alerts=(50,))})]
    here, there = (open_shop(age, plans=plans, features=[]) for age in ("1h", None))
    left(here)
    there.track("ann", "messages", 50)
    assert 100 == left(here)

    assert 1 == run_blocking(outbox.dispatch(here._wiring.core))

    assert 50 == left(here)


# ── Writes whose end nobody sees ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("commits", [True, False])
def test_a_write_in_the_hosts_transaction(
    open_shop: Open, clock: StandingClock, sqlite_url: str, commits: bool
) -> None:
    """Nothing is kept between such a write and the age after it, so what the host commits is seen at once."""
    here = open_shop()
    assert 100 == left(here)
    engine = create_engine(sqlite_url)
    with engine.connect() as connection, connection.begin() as transaction:
        here.track("ann", "messages", 30, transaction=connection)
        assert 100 == left(here)
        clock.micros += AGE * SECOND - 1
        assert 100 == left(here)
        (transaction.commit if commits else transaction.rollback)()
    engine.dispose()

    assert (70 if commits else 100) == left(here)


def test_after_a_write_of_the_host_answers_are_kept_again(
    open_shop: Open, clock: StandingClock, sqlite_url: str
) -> None:
    """Once the age has passed, checks of that customer come from memory as before."""
    here, there = open_shop(), open_shop(None)
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        here.track("ann", "messages", 30, transaction=connection)
    engine.dispose()
    there.track("ann", "messages", 1)
    assert 69 == left(here)
    there.track("ann", "messages", 1)
    assert 68 == left(here)

    clock.micros += AGE * SECOND
    assert 68 == left(here)
    there.track("ann", "messages", 1)
    assert 68 == left(here)


@pytest.mark.parametrize("mode", ["require", "cap", "record"])
def test_no_write_goes_by_an_answer_in_memory(open_shop: Open, mode: Any) -> None:
    """However stale the answer that somebody went by: never a unit beyond what there is."""
    here, there = open_shop("1h"), open_shop(None)
    assert here.check("ann", "messages", 100)
    there.consume("ann", "messages", 95)
    assert here.check("ann", "messages", 100)

    if mode == "require":
        with pytest.raises(InsufficientBalance):
            here.consume("ann", "messages", 100)
        with pytest.raises(FeatureDenied):
            here.reserve("ann", "messages", 6)
    else:
        assert 5 == here.track("ann", "messages", 100, mode=mode).funded

    assert here.balances("ann")["messages"].used <= 100


# ── The same as without ──────────────────────────────────────────────────────────────────────────────────────────────

FEATURE_KEYS = st.sampled_from(sorted(PLANS[0].features))
QUANTITIES = st.integers(1, 12)
WHERE = st.sampled_from([None, "a"])
KEYS = st.sampled_from(["k1", "k2", "k3"])
STEPS = st.one_of(
    st.tuples(st.just("check"), FEATURE_KEYS, QUANTITIES, WHERE),
    st.tuples(st.just("track"), FEATURE_KEYS, QUANTITIES, WHERE),
    st.tuples(st.just("give_back"), FEATURE_KEYS, QUANTITIES, WHERE),
    st.tuples(st.just("reserve"), FEATURE_KEYS, QUANTITIES, WHERE, st.sampled_from([30, 600, 7_200])),
    st.tuples(st.just("settle"), QUANTITIES),
    st.tuples(st.just("release")),
    st.tuples(st.just("grant"), FEATURE_KEYS, QUANTITIES, WHERE, st.sampled_from([None, 45, 1_000])),
    st.tuples(st.just("revoke")),
    st.tuples(st.just("refund")),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("pass"), st.sampled_from([1, 29, 30, 45, 600, 1_500, 3_599])),
)


class Pair:
    """One object that answers from memory, beside the same one that does not."""

    def __init__(self, clock: StandingClock) -> None:
        self.clock = clock
        clock.micros = START
        self.billing = Billing(**options("sqlite://", snapshot_max_age="1h"))
        self.billing.track("ann", "messages")
        self.holds: list[Any] = []
        self.given: list[str] = []
        self.uses: list[str] = []

    def agree(self, feature: str, required: int, entity: str | None) -> None:
        """Both give one answer, but for the instant that it tells of."""
        core = evolve(self.billing._wiring.core, snapshots=None)
        fresh = run_blocking(check.check(core, "ann", feature, required, entity=entity))
        found = self.billing.check("ann", feature, required, entity=entity)
        assert found.as_of <= fresh.as_of
        assert fresh == evolve(found, as_of=fresh.as_of)

    def take(self, step: tuple[Any, ...]) -> None:
        """One step; what is refused changes nothing."""
        name, *values = step
        with suppress(FeatureDenied, InvalidInput):
            getattr(self, f"_{name}")(*values)

    def _check(self, feature: str, required: int, entity: str | None) -> None:
        self.agree(feature, required, entity)

    def _track(self, feature: str, quantity: int, entity: str | None) -> None:
        self.uses.append(self.billing.track("ann", feature, quantity, entity=entity).event_id)

    def _give_back(self, feature: str, quantity: int, entity: str | None) -> None:
        self.billing.give_back("ann", feature, quantity, entity=entity)

    def _reserve(self, feature: str, quantity: int, entity: str | None, ttl: int) -> None:
        self.holds.append(self.billing.reserve("ann", feature, quantity, entity=entity, ttl=ttl))

    def _settle(self, quantity: int) -> None:
        if self.holds:
            self.holds.pop().settle(quantity)

    def _release(self) -> None:
        if self.holds:
            self.holds.pop().release()

    def _grant(self, feature: str, amount: int, entity: str | None, seconds: int | None) -> None:
        until = None if seconds is None else to_datetime(self.clock.micros + seconds * SECOND)
        amount = 1 if feature == "sso" else amount
        self.given.append(self.billing.grant("ann", feature, amount, entity=entity, expires_at=until).id)

    def _revoke(self) -> None:
        if self.given:
            self.billing.revoke("ann", self.given.pop())

    def _refund(self) -> None:
        if self.uses:
            self.billing.refund("ann", self.uses.pop())

    def _sweep(self) -> None:
        self.billing.jobs.run()

    def _pass(self, seconds: int) -> None:
        self.clock.micros += seconds * SECOND


@settings(max_examples=25)
@given(
    steps=st.lists(STEPS, max_size=25),
    asked=st.lists(st.tuples(FEATURE_KEYS, QUANTITIES, WHERE), min_size=1, max_size=4),
)
def test_answers_are_those_of_the_database(steps: list[tuple[Any, ...]], asked: list[tuple[Any, ...]]) -> None:
    """Whatever one process does and however time passes, memory never says anything else than a read would."""
    with pytest.MonkeyPatch.context() as patch:
        clock = StandingClock(START)
        patch.setattr("kernia_billing.compose.SystemClock", lambda: clock)
        pair = Pair(clock)
        for step in steps:
            for question in asked:
                pair.agree(*question)
            pair.take(step)
        for question in asked:
            pair.agree(*question)
        pair.billing.close()


# ── Threads and tasks ────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_read_what_they_wrote(sqlite_url: str) -> None:
    """While others fill the memory, whoever has written sees it in the next answer."""
    wrong: list[Decision] = []
    over = threading.Event()
    with Billing(**options(sqlite_url, snapshot_max_age="1h")) as here:

        def read() -> None:
            while not over.is_set():
                here.check("ann", "messages")

        def write() -> None:
            for _ in range(20):
                used = here.track("ann", "messages").balance.used
                found = here.check("ann", "messages")
                if found.balance.used < used:
                    wrong.append(found)

        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=write) for _ in range(2)]
        for each in (*readers, *writers):
            each.start()
        for each in writers:
            each.join()
        over.set()
        for each in readers:
            each.join()
        assert 60 == left(here)

    assert [] == wrong


@pytest.mark.anyio
async def test_tasks(clock: StandingClock, sqlite_url: str) -> None:
    """`AsyncBilling` answers from memory what is still awaited, and a forgotten `await` opens nothing."""
    here, there = (AsyncBilling(**options(sqlite_url, snapshot_max_age=age)) for age in (AGE, None))
    assert 100 == (await here.check("ann", "messages")).remaining
    await there.track("ann", "messages", 30)

    assert 100 == (await here.check("ann", "messages")).remaining
    assert 100 == (await asyncio.create_task(here.check("ann", "messages"))).remaining
    with pytest.raises(GuardError):
        bool(here.check("ann", "messages"))
    await here.track("ann", "messages")
    assert 69 == (await here.check("ann", "messages")).remaining

    await here.aclose()
    await there.aclose()
