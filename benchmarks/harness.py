"""Taking turns with a baseline: samples, rounds, ratios and percentiles."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import ceil
from statistics import median
from typing import TypeVar

from attrs import field, frozen

from tests.servers import Servers

T = TypeVar("T")


@frozen
class Sample:
    """What one side did in one round: so many operations in so many seconds.

    `latencies` are the seconds of each operation where they were taken.
    """

    count: int
    seconds: float
    latencies: Sequence[float] = field(default=(), repr=False)

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.count / self.seconds


Side = Callable[[float], Sample]
"""Works for about so many seconds."""


@frozen
class Settings:
    """How long to measure, on what, and how large the databases are: a large one has `growth` times the customers."""

    seconds: float = 1.0
    rounds: int = 5
    customers: int = 1_000
    callers: int = 64
    growth: int = 100


@frozen
class Result:
    """What a benchmark found.

    `baseline` and `ours` are the medians of the rounds, operations per second; `ratio` is the median of the ratios of
    the rounds, larger is better; `p50` and `p99` are seconds. `problems` says in what respect the run was not exact.
    """

    name: str
    against: str
    baseline: float
    ours: float
    ratio: float
    p50: float | None = None
    p99: float | None = None
    problems: Sequence[str] = ()


@frozen
class Bench:
    """What a benchmark works with."""

    settings: Settings
    servers: Servers


@frozen
class Benchmark:
    """One line of the table: its number in the table of targets, what it is about, and the engine that it needs."""

    key: str
    subject: str
    engine: str | None
    run: Callable[[Bench], Result]


class Unbuilt(Exception):
    """What a benchmark measures does not exist; the text says what is missing."""


def compare(name: str, against: str, *, baseline: Side, ours: Side, settings: Settings) -> Result:
    """Measure both sides in turns, each round in the other order, after a short run of each that does not count."""
    warm_up = min(settings.seconds, 0.2)
    for side in (baseline, ours):
        side(warm_up)
    pairs = [_round(baseline, ours, settings.seconds, first=number % 2 == 0) for number in range(settings.rounds)]
    latencies = sorted(latency for _, sample in pairs for latency in sample.latencies)
    return Result(
        name,
        against,
        baseline=median(sample.rate for sample, _ in pairs),
        ours=median(sample.rate for _, sample in pairs),
        ratio=median(sample.rate / base.rate for base, sample in pairs),
        p50=percentile(latencies, 0.5),
        p99=percentile(latencies, 0.99),
    )


def _round(baseline: Side, ours: Side, seconds: float, *, first: bool) -> tuple[Sample, Sample]:
    if first:
        return baseline(seconds), ours(seconds)
    sample = ours(seconds)
    return baseline(seconds), sample


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of no values."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def one_caller(call: Callable[[], object]) -> Side:
    """One caller that calls again as soon as it has its answer."""

    def run(seconds: float) -> Sample:
        count = 0
        start = time.perf_counter()
        end = start + seconds
        while (now := time.perf_counter()) < end:
            call()
            count += 1
        return Sample(count, now - start)

    return run


def each_in_turn(arguments: Sequence[tuple[str, str]], call: Callable[[str, str], object]) -> Side:
    """One caller with each of these arguments, over and over, for what takes less time than looking at a clock."""

    def run(seconds: float) -> Sample:
        rounds = 0
        start = time.perf_counter()
        end = start + seconds
        while (now := time.perf_counter()) < end:
            for one, other in arguments:
                call(one, other)
            rounds += 1
        return Sample(rounds * len(arguments), now - start)

    return run


def one_caller_given(prepare: Callable[[], T], call: Callable[[T], object]) -> Side:
    """The same, with something to prepare for each call that is not counted."""

    def run(seconds: float) -> Sample:
        count, spent = 0, 0.0
        while spent < seconds:
            given = prepare()
            start = time.perf_counter()
            call(given)
            spent += time.perf_counter() - start
            count += 1
        return Sample(count, spent)

    return run


def async_callers(runner: asyncio.Runner, number: int, call: Callable[[], Awaitable[object]]) -> Side:
    """So many tasks on one event loop, each of which calls again as soon as it has its answer."""

    async def caller(end: float, latencies: list[float]) -> None:
        while (start := time.perf_counter()) < end:
            await call()
            latencies.append(time.perf_counter() - start)

    async def together(seconds: float) -> Sample:
        latencies: list[float] = []
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(caller(start + seconds, latencies))
        return Sample(len(latencies), time.perf_counter() - start, latencies)

    return lambda seconds: runner.run(together(seconds))


def thread_callers(number: int, call: Callable[[], object]) -> Side:
    """So many threads, each of which calls again as soon as it has its answer."""

    def run(seconds: float) -> Sample:
        latencies: list[float] = []
        failures: list[BaseException] = []
        start = time.perf_counter()
        end = start + seconds

        def caller() -> None:
            try:
                while (begun := time.perf_counter()) < end:
                    call()
                    latencies.append(time.perf_counter() - begun)
            except BaseException as failure:  # noqa: BLE001 - raised again where somebody looks
                failures.append(failure)

        threads = [threading.Thread(target=caller) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return Sample(len(latencies), time.perf_counter() - start, latencies)

    return run


def in_turn(items: Sequence[T]) -> Callable[[], T]:
    """Gives the items one after the other, over and over, from any thread."""
    lock = threading.Lock()
    endless = _over_and_over(items)

    def take() -> T:
        with lock:
            return next(endless)

    return take


def _over_and_over(items: Sequence[T]) -> Iterator[T]:
    while True:
        yield from items
