"""How many SQL statements each call sends, in every usual state, on every kind of database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from attrs import evolve, frozen
from sqlalchemy import Engine, event

from kernia_billing import AsyncBilling, Billing, Credits, Feature, Metered, Plan, UsageLimit
from kernia_billing._blocking.holding import Hold
from kernia_billing.domain.answers import Use
from tests.harness.ears import hearing
from tests.harness.house import new_engine
from tests.harness.processes import StandingClock

START = 1_790_000_000_000_000
SECOND = 1_000_000
MONTH = 31 * 86_400 * SECOND
FEATURES = [Feature("tokens", credit_cost={"credits": 10})]
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(100),
            "tokens": Metered(5),
            "credits": Credits(1_000),
            "mails": Metered(100, limits=[UsageLimit(30, "day")]),
            "calls": Metered(100, rollover=200, overage="free", debt="carry"),
            "both": Metered(100, rollover=200, limits=[UsageLimit(30, "day")]),
        },
    ),
    Plan("paid", price_id="price_paid", features={"videos": Metered(1)}),
]
USUAL = ["messages", "tokens", "credits", "mails", "calls", "both"]
"""A simple allowance, one that credits pay for, credits, with a usage limit, with rollover and debt, with all of it."""

LIMITED = ["mails", "both"]


class Listener:
    """Hears every statement that goes to the database, those that bypass SQLAlchemy too, and every commit."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.commits = 0

    def hear_commit(self, _connection: object) -> None:
        """Note a commit."""
        self.commits += 1

    def during(self, call: Callable[[], object]) -> tuple[int, int]:
        """How many statements a call sends, and how often it begins and commits a transaction.

        A statement with many rows of values is one: it is prepared once, and the drivers send them together.
        """
        self.sent.clear()
        self.commits = 0
        call()
        return sum(not each.startswith("BEGIN") for each in self.sent), self.commits


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Ears at every statement and at every commit."""
    listener = Listener()
    event.listen(Engine, "commit", listener.hear_commit)
    with hearing(listener.sent.append):
        yield listener
    event.remove(Engine, "commit", listener.hear_commit)


class Shop:
    """A library that is offline, its time, and what it sends."""

    def __init__(self, url: str, listener: Listener) -> None:
        new_engine(url).dispose()
        self.clock = StandingClock(START)
        self.billing = Billing(database=url, plans=PLANS, features=FEATURES, default_plan="free")
        self.billing._wiring.core = evolve(self.billing._wiring.core, clock=self.clock)
        self.billing.check("somebody", "messages")
        self._sent = listener.during

    def reads(self, call: Callable[[], object]) -> int:
        """The statements of a call that only reads: it begins no transaction."""
        statements, commits = self._sent(call)
        assert 0 == commits
        return statements

    def writes(self, call: Callable[[], object]) -> int:
        """The statements of a call that writes, in one transaction."""
        statements, commits = self._sent(call)
        assert 1 == commits
        return statements

    def later(self, micros: int) -> None:
        """Let time pass."""
        self.clock.micros += micros

    def looks(self, feature: str) -> tuple[int, int]:
        """The statements of a check of a feature, and of balances."""
        billing = self.billing
        return self.reads(lambda: billing.check("ann", feature)), self.reads(lambda: billing.balances("ann"))


@pytest.fixture
def shop(engine_url: str, listener: Listener) -> Iterator[Shop]:
    """A shop on each kind of database."""
    shop = Shop(engine_url, listener)
    yield shop
    shop.billing.close()


@frozen
class Stated:
    """What a docstring says."""

    alone: int
    keyed: int = 0
    limited: int = 0
    by_credits: int = 0
    on_mysql: int = 0
    on_postgresql: int = 0
    """So many fewer there."""

    def on(self, engine_name: str, feature: str = "messages", *, keyed: bool = False) -> int:
        """How many statements it promises for a feature on a kind of database."""
        more = self.limited if feature in LIMITED else self.by_credits if feature == "tokens" else 0
        other = {"mariadb": self.on_mysql, "postgresql": -self.on_postgresql}
        return (self.keyed if keyed else self.alone) + more + other.get(engine_name, 0)


_NUMBERS = {
    "alone": r"Statements[^:.]*: (?:at most )?(\d+)",
    "keyed": r"with an idempotency key (\d+)",
    "limited": r"under usage limits (\d+) more",
    "by_credits": r"where credits pay (\d+) more",
    "on_mysql": r"on MySQL (\d+) more",
    "on_postgresql": r"on PostgreSQL (\d+) fewer",
}


def stated(method: Callable[..., object]) -> Stated:
    """What the docstring of a public method says."""
    told = {name: re.search(pattern, method.__doc__ or "") for name, pattern in _NUMBERS.items()}
    return Stated(**{name: int(found[1]) for name, found in told.items() if found is not None})


def test_what_reads_promise() -> None:
    """A check is one statement, and balances are."""
    assert (Stated(1), Stated(1)) == (stated(Billing.check), stated(Billing.balances))


@pytest.mark.parametrize("feature", USUAL)
def test_reads(shop: Shop, feature: str) -> None:
    """In every usual state a check is one statement, and so are balances."""
    seen = {"unknown": shop.looks(feature)}
    shop.billing.customers.get("ann")
    seen["default plan without rows"] = shop.looks(feature)
    shop.billing.track("ann", feature, 6)
    seen["used"] = shop.looks(feature)
    shop.billing.grant("ann", feature, 5)
    shop.billing.reserve("ann", feature, 2, ttl=60)
    seen["held"] = shop.looks(feature)
    shop.later(60 * SECOND)
    seen["lapsed"] = shop.looks(feature)
    shop.later(MONTH)
    seen["unopened, with what lapsed before"] = shop.looks(feature)
    shop.billing.track("ann", feature)
    shop.later(3 * MONTH)
    seen["unopened for months"] = shop.looks(feature)

    assert dict.fromkeys(seen, (1, 1)) == seen


def test_why_nothing_is_held(shop: Shop) -> None:
    """Where a customer has nothing of a feature, a second statement finds out why."""
    assert 1 == shop.reads(lambda: shop.billing.check("ann", "videos"))
    shop.billing.track("ann", "messages")
    assert 2 == shop.reads(lambda: shop.billing.check("ann", "videos"))


@pytest.mark.parametrize("feature", USUAL)
def test_writes(shop: Shop, engine_name: str, feature: str) -> None:
    """Every write of a running period sends as many statements as its docstring says, in one transaction."""
    billing = shop.billing
    # Where credits pay, the own allowance is used up by now.
    billing.track("ann", feature, 6)
    use = billing.track("ann", feature, 4)
    holds: list[Any] = []

    def set_usage(idempotency_key: str | None = None) -> None:
        billing.set_usage("ann", feature, 2 if idempotency_key else 3, idempotency_key=idempotency_key)

    def reserve(idempotency_key: str | None = None) -> None:
        holds.append(billing.reserve("ann", feature, 2, idempotency_key=idempotency_key))

    calls: dict[Callable[..., Any], Callable[..., object]] = {
        Billing.track: partial(billing.track, "ann", feature),
        Billing.consume: partial(billing.consume, "ann", feature),
        Billing.refund: partial(billing.refund, "ann", use.event_id, 1),
        Billing.give_back: partial(billing.give_back, "ann", feature),
        Billing.set_usage: set_usage,
        Billing.reserve: reserve,
        Hold.settle: lambda: holds.pop().settle(1),
        Hold.release: lambda: holds.pop().release(),
    }
    if feature == "tokens":
        # They move in more than one bucket there.
        del calls[Billing.give_back], calls[Billing.set_usage]

    sent = {method: shop.writes(call) for method, call in calls.items() if method is not Hold.release}
    keyed = [method for method in calls if stated(method).keyed]
    sent_keyed = {
        method: shop.writes(partial(calls[method], idempotency_key=f"key-{number}"))
        for number, method in enumerate(keyed)
    }
    sent[Hold.release] = shop.writes(calls[Hold.release])

    assert {method: stated(method).on(engine_name, feature) for method in sent} == sent
    assert {method: stated(method).on(engine_name, feature, keyed=True) for method in keyed} == sent_keyed


@pytest.mark.parametrize("feature", USUAL)
def test_other_calls(shop: Shop, engine_name: str, feature: str) -> None:
    """The same of what only reads, of a replay, and of several uses at once."""
    billing = shop.billing
    billing.track("ann", feature, 6)
    billing.track("ann", feature, idempotency_key="once")

    assert 1 == shop.reads(lambda: billing.track("ann", feature, idempotency_key="once"))
    assert stated(Billing.usage).alone == shop.reads(lambda: billing.usage("ann", feature))
    assert stated(Billing.usage_series).alone == shop.reads(lambda: billing.usage_series("ann", feature))
    assert stated(Billing.export_usage).alone == shop.reads(lambda: billing.export_usage("ann"))
    assert stated(Billing.ledger).alone == shop.reads(lambda: billing.ledger("ann", feature))
    uses = [Use("ann", feature)] * 3
    each = stated(Billing.track).on(engine_name, feature) + (engine_name == "postgresql")
    assert 3 * each == shop.writes(lambda: billing.track_many(uses))


def test_grants(shop: Shop, engine_name: str) -> None:
    """The same of what is given beside plans, and taken back."""
    billing = shop.billing
    billing.track("ann", "messages")
    given: list[str] = []
    give = partial(billing.grant, "ann", "messages", 5)

    promised = stated(Billing.grant)
    assert promised.on(engine_name) == shop.writes(lambda: given.append(give().id))
    assert promised.on(engine_name, keyed=True) == shop.writes(lambda: give(idempotency_key="once"))
    assert stated(Billing.revoke).on(engine_name) == shop.writes(lambda: billing.revoke("ann", given[0]))

    override = partial(billing.overrides.set, "ann", "messages", 5)
    promised = stated(type(billing.overrides).set)
    assert promised.on(engine_name) == shop.writes(override)
    billing.overrides.remove("ann", "messages")
    assert promised.on(engine_name, keyed=True) == shop.writes(lambda: override(idempotency_key="set"))

    limit = partial(billing.overrides.set_limit, "ann", "mails", UsageLimit(5, "day"))
    promised = stated(type(billing.overrides).set_limit)
    assert promised.on(engine_name) == shop.writes(limit)
    billing.overrides.remove_limits("ann", "mails")
    assert promised.on(engine_name, keyed=True) == shop.writes(lambda: limit(idempotency_key="limit"))


def test_grants_of_credits(shop: Shop, engine_name: str) -> None:
    """Credits take one more, to see whether anything is overdrawn, and five more to repay it."""
    billing = shop.billing
    billing.set_credit_min("ann", "credits", -50)
    alone = stated(Billing.grant).on(engine_name)
    assert alone + 1 == shop.writes(lambda: billing.grant("ann", "credits", 5))
    billing.track("ann", "credits", 1_025)
    assert alone + 1 + 5 == shop.writes(lambda: billing.grant("ann", "credits", 5))


def test_minimums(shop: Shop, engine_name: str) -> None:
    """The same of how low credits may get: the first time, and when something is drawn already."""
    billing = shop.billing
    billing.track("ann", "credits")
    promised = stated(Billing.set_credit_min)
    assert promised.on(engine_name) == shop.writes(lambda: billing.set_credit_min("ann", "credits", -5))
    billing.track("ann", "credits", 1_003)
    more = shop.writes(lambda: billing.set_credit_min("ann", "credits", -9)) - promised.on(engine_name)
    assert 3 == more
    assert stated(Billing.overdraft_used).alone == shop.reads(lambda: billing.overdraft_used("ann", "credits"))


def test_checks_at_once(postgresql_url: str, listener: Listener) -> None:
    """Of checks that are asked at once on asyncio two go alone, the rest is one statement; a check alone is one."""
    new_engine(postgresql_url).dispose()

    async def ask(number: int) -> None:
        async with AsyncBilling(database=postgresql_url, plans=PLANS, default_plan="free") as billing:
            await billing.track("user_1", "messages")
            listener.sent.clear()
            found = await asyncio.gather(*(billing.check(f"user_{each}", "messages") for each in range(number)))
            assert [f"user_{each}" for each in range(number)] == [each.reference.id for each in found]

    asyncio.run(ask(2))
    assert 2 == len(listener.sent)
    asyncio.run(ask(1))
    assert 1 == len(listener.sent)
    asyncio.run(ask(64))
    assert 3 == len(listener.sent)
