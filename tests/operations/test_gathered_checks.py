"""Checks that wait for each other on asyncio and PostgreSQL answer as each would alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing import AsyncBilling, BillingError, Credits, Feature, Metered, Plan, UsageLimit
from kernia_billing.storage.entitlements import Entitlements
from kernia_billing.storage.gathering import MOST_TOGETHER
from tests.harness.house import new_engine
from tests.harness.processes import StandingClock

START = 1_790_000_000_000_000
WHO = [*(f"user_{number}" for number in range(5)), "nobody", 'o"\\%s\u00e9{}', "\ud800", ""]
"""Customers, one who is not known, one whose name means something elsewhere, and two who cannot be."""
FEATURES = ["tokens", "messages", "credits", "mails", "moving", "nothing", "none\0"]
PLANS = [
    Plan(
        "free",
        features={
            "tokens": Metered(5),
            "messages": Metered(100),
            "credits": Credits(1_000),
            "mails": Metered(100, limits=[UsageLimit(30, "day")]),
            "moving": Metered(10, rollover=20),
        },
    )
]
"""An allowance that credits pay for, a simple one, credits, and two of which more has to be read."""
Question = tuple[str, str, int, str | None]


@frozen
class House:
    """An asynchronous library on a database with customers, and the loop that it lives on."""

    runner: asyncio.Runner
    billing: AsyncBilling

    def ask(self, questions: list[Question], *, at_once: bool) -> list[Any]:
        """The answers, or what was raised."""

        async def one(who: str, feature: str, required: int, entity: str | None) -> object:
            try:
                return await self.billing.check(who, feature, required, entity=entity)
            except BillingError as error:
                return type(error), str(error)

        async def all_() -> list[object]:
            if at_once:
                return await asyncio.gather(*(one(*each) for each in questions))
            return [await one(*each) for each in questions]

        return self.runner.run(all_())


@pytest.fixture
def house(postgresql_url: str) -> Iterator[House]:
    """A library whose customers have used this and that, and hold something: some of it no longer."""
    new_engine(postgresql_url).dispose()
    with asyncio.Runner() as runner:
        features = [Feature("tokens", credit_cost={"credits": 10})]
        billing = AsyncBilling(database=postgresql_url, plans=PLANS, features=features, default_plan="free")
        clock = StandingClock(START)
        billing._wiring.core = evolve(billing._wiring.core, clock=clock)

        async def begin() -> None:
            for number, who in enumerate([*WHO[:5], WHO[6]], start=1):
                await billing.track(who, "messages", number)
                await billing.track(who, "tokens", number, entity=f"team_{number % 2}")
                await billing.reserve(who, "messages", number, ttl=60)
                await billing.reserve(who, "messages", 10 * number, ttl=3_600)
            clock.micros += 120_000_000

        runner.run(begin())
        yield House(runner, billing)
        runner.run(billing.aclose())


_QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from(WHO),
        st.sampled_from(FEATURES),
        st.sampled_from([0, 1, 3, 95, 10**9 + 1]),
        st.sampled_from([None, "team_0", "team_1"]),
    ),
    min_size=2,
    max_size=2 * MOST_TOGETHER,
)


def test_the_same_answers(house: House) -> None:
    """Whatever is asked at once, of whomever: every answer and every error is that of the question asked alone."""

    @settings(max_examples=25, deadline=None)
    @given(_QUESTIONS)
    def play(questions: list[Question]) -> None:
        alone = dict(zip(questions, house.ask(questions, at_once=False), strict=True))
        assert [alone[each] for each in questions] == house.ask(questions, at_once=True)

    play()


def test_own_writes_are_seen(house: House) -> None:
    """Whoever has written asks afterwards and sees it, whatever statement was on its way meanwhile."""
    billing = house.billing

    async def one(number: int) -> None:
        who = f"writer_{number}"
        for used in range(1, 9):
            await billing.track(who, "messages")
            decision = await billing.check(who, "messages")
            assert (used, 100 - used) == (decision.balance.used, decision.remaining)

    async def all_() -> None:
        await asyncio.gather(*(one(number) for number in range(30)))

    house.runner.run(all_())


def test_cancelled_callers(house: House) -> None:
    """Callers who give up, at any point of the way, leave the answers of the others as they are."""

    async def storm(turns: int) -> list[Any]:
        tasks = [asyncio.create_task(_check(house.billing, number)) for number in range(40)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for each in tasks[::3]:
            each.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    expected = [house.runner.run(_check(house.billing, number)) for number in range(40)]
    for turns in range(12):
        found = house.runner.run(storm(turns))
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            assert one == other or (number % 3 == 0 and isinstance(other, asyncio.CancelledError))


async def _check(billing: AsyncBilling, number: int) -> object:
    return await billing.check(WHO[number % 6], "messages")


def test_a_common_statement_that_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the common statement cannot be answered, everybody is, one by one."""
    tried: list[int] = []

    def refuse(_entitlements: Entitlements, asked: list[object]) -> None:
        tried.append(len(asked))
        raise ZeroDivisionError

    questions: list[Question] = [(who, "messages", 1, None) for who in WHO[:6]]
    expected = house.ask(questions, at_once=False)
    monkeypatch.setattr(Entitlements, "of_references", refuse)
    assert expected == house.ask(questions, at_once=True)
    assert [4] == tried


def test_a_library_is_used_by_one_loop_after_another(postgresql_url: str) -> None:
    """Nobody waits for readers of a loop that has ended."""
    new_engine(postgresql_url).dispose()

    async def live(billing: AsyncBilling) -> None:
        checks = (billing.check("ann", "messages") for _ in range(9))
        assert 9 == len(await asyncio.gather(*checks))
        await billing.aclose()

    billing = AsyncBilling(database=postgresql_url, plans=PLANS, default_plan="free")
    asyncio.run(live(billing))
    asyncio.run(live(billing))
