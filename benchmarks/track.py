"""`track`, beside the writes that it makes. Afterwards used = ledger = events = what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from itertools import count

from attrs import define, evolve

from kernia_billing import AsyncBilling, Billing
from kernia_billing.domain.answers import Usage

from .drivers import sqlite_cursor
from .harness import Bench, Benchmark, Result, Sample, Side, async_callers, compare, in_turn, one_caller, thread_callers
from .pgbench import Pgbench, tracking
from .shop import FEATURE, PLANS, Shop, open_shop
from .writes import sqlite_track

_LEASED = 1_000


@define
class _Counted:
    """A side, with a note of all that it acknowledged."""

    side: Side
    total: int = 0

    def __call__(self, seconds: float) -> Sample:
        sample = self.side(seconds)
        self.total += sample.count
        return sample


@contextmanager
def _raw(bench: Bench, shop: Shop, clients: int, *, hot: bool) -> Generator[tuple[str, Side]]:
    """The baseline of an engine, with its name."""
    if shop.flavour == "sqlite":
        with sqlite_cursor(shop) as cursor:
            track, number = sqlite_track(shop, cursor), in_turn(range(1, shop.customers + 1))
            yield "the same writes by sqlite3, one caller", one_caller(lambda: track(number()))
    else:
        plural = "s" if clients > 1 else ""
        script = tracking(shop, hot=hot)
        yield f"pgbench, the same writes, {clients} client{plural}", Pgbench.on(bench, shop, script, clients)


def _measure(
    bench: Bench,
    engine: str,
    name: str,
    ours: Callable[[Shop], Generator[Side]],
    *,
    clients: int = 1,
    hot: bool = False,
) -> Result:
    """Compare on two shops alike, so that neither side pays for what the other one wrote; then look at the books."""
    number = bench.settings.customers
    with (
        open_shop(bench.servers, engine, number) as copy,
        open_shop(bench.servers, engine, number) as shop,
        contextmanager(ours)(shop) as side,
        _raw(bench, copy, clients, hot=hot) as (against, raw),
    ):
        baseline, counted = _Counted(raw), _Counted(side)
        result = compare(name, against, baseline=baseline, ours=counted, settings=bench.settings)
        found = [*shop.problems(counted.total), *(f"baseline: {each}" for each in copy.problems(baseline.total))]
        return evolve(result, problems=found)


def _one_caller(bench: Bench, engine: str, *, keyed: bool = False) -> Result:
    def ours(shop: Shop) -> Generator[Side]:
        reference, numbers = in_turn(shop.references), count()
        with Billing(database=shop.url, plans=PLANS) as billing:

            def use() -> None:
                key = f"request-{next(numbers)}" if keyed else None
                _funded(billing.track(reference(), FEATURE, idempotency_key=key))

            yield one_caller(use)

    return _measure(bench, engine, f"track, {engine}, one caller{', with a key' if keyed else ''}", ours)


def _tasks(bench: Bench, engine: str, *, hot: bool = False) -> Result:
    callers = bench.settings.callers

    def ours(shop: Shop) -> Generator[Side]:
        reference = in_turn(shop.references[:1] if hot else shop.references)
        with asyncio.Runner() as runner:
            billing = AsyncBilling(database=shop.url, plans=PLANS)

            async def use() -> None:
                _funded(await billing.track(reference(), FEATURE))

            try:
                yield async_callers(runner, callers, use)
            finally:
                runner.run(billing.aclose())

    customers = bench.settings.customers
    whose = "one customer" if hot else f"{customers} customers"
    return _measure(bench, engine, f"track, {engine}, {callers} tasks, {whose}", ours, clients=callers, hot=hot)


def _threads(bench: Bench) -> Result:
    callers = bench.settings.callers

    def ours(shop: Shop) -> Generator[Side]:
        reference = shop.references[0]
        with Billing(database=shop.url, plans=PLANS) as billing:
            yield thread_callers(callers, lambda: _funded(billing.track(reference, FEATURE)))

    name = f"track, postgresql, {callers} threads, one customer"
    return _measure(bench, "postgresql", name, ours, clients=callers, hot=True)


def _lease(bench: Bench) -> Result:
    """One caller that counts in memory, and stores what it used in the same time."""

    def ours(shop: Shop) -> Generator[Side]:
        with Billing(database=shop.url, plans=PLANS) as billing:

            def run(seconds: float) -> Sample:
                start = time.perf_counter()
                with billing.lease(shop.references[0], FEATURE, _LEASED) as lease:
                    sample = one_caller(lease.consume)(seconds)
                return Sample(sample.count, time.perf_counter() - start)

            yield run

    name = f"lease, postgresql, one caller, one customer, {_LEASED} units at a time"
    return _measure(bench, "postgresql", name, ours, clients=bench.settings.callers, hot=True)


def _funded(usage: Usage) -> None:
    assert usage.funded == usage.quantity == 1


BENCHMARKS = (
    Benchmark("P4", "track", "sqlite", partial(_one_caller, engine="sqlite")),
    Benchmark("P4/keyed", "track", "sqlite", partial(_one_caller, engine="sqlite", keyed=True)),
    Benchmark("P4/64", "track", "sqlite", partial(_tasks, engine="sqlite")),
    Benchmark("P5", "track", "postgresql", partial(_one_caller, engine="postgresql")),
    Benchmark("P6", "track", "postgresql", partial(_tasks, engine="postgresql")),
    Benchmark("P7", "track", "postgresql", partial(_tasks, engine="postgresql", hot=True)),
    Benchmark("P7/lease", "track", "postgresql", _lease),
    Benchmark("P8", "track", "postgresql", _threads),
)
