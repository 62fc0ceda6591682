"""`check`, beside the SELECT that it sends, and from memory, beside a dictionary."""

from __future__ import annotations

import asyncio
from functools import partial

from attrs import define, evolve

from kernia_billing import AsyncBilling, Billing
from kernia_billing.domain.answers import Decision

from . import pgbench
from .drivers import cursor_of, select_of_check
from .harness import Bench, Benchmark, Result, async_callers, compare, each_in_turn, in_turn, one_caller
from .shop import FEATURE, PLANS, open_shop

_REMEMBERED = 1_000
"""So many customers are asked about where answers come from memory, which has room for ten times as many."""
_DRIVERS = {"sqlite": "sqlite3", "postgresql": "psycopg, prepared"}


@define
class _Answers:
    """Looks at every answer: each customer has used one unit."""

    wrong: int = 0

    def take(self, decision: Decision) -> None:
        balance = decision.balance
        if not decision.allowed or balance.used != 1 or decision.remaining != balance.included - 1:
            self.wrong += 1

    def judge(self, result: Result) -> Result:
        return evolve(result, problems=[f"{self.wrong} wrong answers"] if self.wrong else [])


def _one_caller(bench: Bench, engine: str) -> Result:
    settings, answers = bench.settings, _Answers()
    with (
        open_shop(bench.servers, engine, settings.customers) as shop,
        cursor_of(shop) as cursor,
        Billing(database=shop.url, plans=PLANS) as billing,
    ):
        select = select_of_check(shop)
        parameters = in_turn([select.of(reference) for reference in shop.references])
        reference = in_turn(shop.references)

        def raw() -> None:
            cursor.execute(select.text, parameters())
            assert len(cursor.fetchall()) == 1

        result = compare(
            f"check, {engine}, one caller",
            f"the same SELECT by {_DRIVERS[engine]}",
            baseline=one_caller(raw),
            ours=one_caller(lambda: answers.take(billing.check(reference(), FEATURE))),
            settings=settings,
        )
    return answers.judge(result)


class _Answer:
    """What a gate that is written by hand answers."""

    __slots__ = ("allowed", "feature", "remaining")

    def __init__(self, feature: str, remaining: int, required: int) -> None:
        self.allowed = remaining >= required
        self.feature = feature
        self.remaining = remaining


def _from_memory(bench: Bench) -> Result:
    """Everything that is asked was asked before, a short while ago."""
    settings, answers = bench.settings, _Answers()
    with (
        open_shop(bench.servers, "sqlite", settings.customers) as shop,
        Billing(database=shop.url, plans=PLANS, snapshot_max_age="1h") as billing,
    ):
        references = shop.references[:_REMEMBERED]
        first = [billing.check(reference, FEATURE) for reference in references]
        questions = [(reference, FEATURE) for reference in references]
        left = dict.fromkeys(questions, 10**9)

        def known(reference: str, feature: str, required: int = 1) -> _Answer:
            return _Answer(feature, left[reference, feature], required)

        result = compare(
            "check, from memory, one caller",
            "a dictionary, and a slotted result made for each call",
            baseline=each_in_turn(questions, known),
            ours=each_in_turn(questions, billing.check),
            settings=settings,
        )
        for reference, decision in zip(references, first, strict=True):
            found = billing.check(reference, FEATURE)
            answers.take(found)
            answers.wrong += found is not decision
    return answers.judge(result)


def _tasks(bench: Bench) -> Result:
    settings, answers = bench.settings, _Answers()
    with open_shop(bench.servers, "postgresql", settings.customers) as shop, asyncio.Runner() as runner:
        billing = AsyncBilling(database=shop.url, plans=PLANS)
        reference = in_turn(shop.references)

        async def ask() -> None:
            answers.take(await billing.check(reference(), FEATURE))

        try:
            result = compare(
                f"check, postgresql, {settings.callers} tasks",
                f"pgbench, the same SELECT, {settings.callers} clients",
                baseline=pgbench.Pgbench.on(bench, shop, pgbench.checking(shop), settings.callers),
                ours=async_callers(runner, settings.callers, ask),
                settings=settings,
            )
        finally:
            runner.run(billing.aclose())
    return answers.judge(result)


BENCHMARKS = (
    Benchmark("P1", "check", "sqlite", _from_memory),
    Benchmark("P2", "check", "sqlite", partial(_one_caller, engine="sqlite")),
    Benchmark("P3", "check", "postgresql", partial(_one_caller, engine="postgresql")),
    Benchmark("P3/64", "check", "postgresql", _tasks),
)
