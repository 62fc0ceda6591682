"""`check`, beside the SELECT that it sends."""

from __future__ import annotations

import asyncio
from functools import partial

from attrs import define, evolve

from kernia_billing import AsyncBilling, Billing
from kernia_billing.domain.answers import Decision

from . import pgbench
from .drivers import cursor_of, select_of_check
from .harness import Bench, Benchmark, Result, async_callers, compare, in_turn, one_caller
from .shop import FEATURE, PLANS, open_shop

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
    Benchmark("P2", "check", "sqlite", partial(_one_caller, engine="sqlite")),
    Benchmark("P3", "check", "postgresql", partial(_one_caller, engine="postgresql")),
    Benchmark("P3/64", "check", "postgresql", _tasks),
)
