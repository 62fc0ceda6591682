"""The rate budget: never more than the limit in a second, and jobs never delay what users wait for."""

from __future__ import annotations

import asyncio
import heapq
import math
import os
import threading
from bisect import bisect_left
from collections.abc import Sequence

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing._drive import run_blocking
from kernia_billing.domain.secret import Secret
from kernia_billing.errors import Unavailable
from kernia_billing.ports.stripe import StripePort
from kernia_billing.runtime.pace import AsyncPace
from kernia_billing.stripe.budget import RateBudget, shared_budget
from kernia_billing.stripe.client import AsyncStripe
from kernia_billing.stripe.core import BACKGROUND_PATIENCE
from tests.harness.counts import count
from tests.stripe.network import KEY, KINDS, OK, FakeTime, Kind, Wired, error
from tests.stripe.virtual_time import run_virtually

PATIENT = math.inf


def play(limit: int, users: Sequence[float], jobs: Sequence[float]) -> tuple[list[float], list[float]]:
    """When the requests that arrive at these instants are sent, those of users and those of jobs."""
    budget = RateBudget(limit)
    # At one instant users come first or last, whichever is worse: jobs go first here.
    waiting = [(at, 0, number) for number, at in enumerate(jobs)] + [(at, 1, number) for number, at in enumerate(users)]
    heapq.heapify(waiting)
    sent: tuple[list[float], list[float]] = ([], [])
    while waiting:
        now, is_user, number = heapq.heappop(waiting)
        if is_user:
            wait = budget.claim(now, PATIENT)
            assert wait is not None
            sent[0].append(now + wait)
        else:
            wait = budget.claim_spare(now)
            if wait:
                heapq.heappush(waiting, (now + wait, is_user, number))
            else:
                sent[1].append(now)
    return sent


def most_in_a_second(instants: Sequence[float]) -> int:
    """The greatest number of instants in any second [t, t + 1)."""
    ordered = sorted(instants)
    # A hair less than a second, for what floating point adds.
    return max((bisect_left(ordered, at + 1 - 1e-6) - index for index, at in enumerate(ordered)), default=0)


instants = st.floats(0, 5) | st.integers(0, 5).map(float)
bursts = st.tuples(instants, st.sampled_from([1, 1, 1, 2, 5, 30]))
arrivals = st.lists(bursts, max_size=25).map(lambda told: [at for at, number in told for _ in range(number)])


@given(st.integers(2, 120), arrivals, arrivals)
@settings(max_examples=300)
def test_never_more_than_the_limit_in_any_second(limit: int, users: list[float], jobs: list[float]) -> None:
    """Whatever arrives when, everything is sent, and no second sees more than the limit."""
    by_users, by_jobs = play(limit, users, jobs)

    assert (len(by_users), len(by_jobs)) == (len(users), len(jobs))
    assert most_in_a_second(by_users + by_jobs) <= limit
    count("requests within a rate budget", len(users) + len(jobs))


@given(st.integers(2, 120), arrivals, arrivals)
@settings(max_examples=300)
def test_jobs_never_delay_what_users_wait_for(limit: int, users: list[float], jobs: list[float]) -> None:
    """With jobs and without them the requests of users are sent at the very same instants."""
    with_jobs, _ = play(limit, users, jobs)
    without, _ = play(limit, users, [])

    assert with_jobs == pytest.approx(without, abs=1e-9)


def test_jobs_get_what_is_left() -> None:
    """Alone, jobs have the whole speed; with users at half of it they have the other half."""
    alone = play(100, [], [0.0] * 1000)[1]
    beside = play(100, [number / 37.5 for number in range(375)], [0.0] * 1000)[1]

    assert max(alone) == pytest.approx(999 / 75)
    assert sum(at < 10 for at in beside) == pytest.approx(375, abs=30)


def test_a_burst_goes_at_once_and_the_rest_is_spread() -> None:
    """Of a limit of 100 a quarter goes at once, then 75 a second."""
    sent = play(100, [0.0] * 100, [])[0]

    assert sent[:25] == [0.0] * 25
    assert sent[25:] == pytest.approx([number / 75 for number in range(1, 76)])


def test_impatient_requests_are_not_counted() -> None:
    """Who would wait too long is told at once, and takes nobody's place."""
    budget = RateBudget(4)
    assert budget.claim(0.0, 0.0) == 0.0

    assert [budget.claim(0.0, 0.1) for _ in range(50)] == [None] * 50
    assert budget.claim(0.0, 1.0) == pytest.approx(1 / 3)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Time that is seen twice is not credited twice."""
    budget = RateBudget(4)
    assert budget.claim(10.0, PATIENT) == 0.0
    assert budget.claim(0.0, PATIENT) == pytest.approx(1 / 3)
    assert budget.claim(10.0, PATIENT) == pytest.approx(2 / 3)


@pytest.mark.parametrize("limit", [1, 0, -1])
def test_a_limit_has_a_lowest_value(limit: int) -> None:
    """With one request a second nothing could be promised."""
    with pytest.raises(ValueError, match="at least 2"):
        RateBudget(limit)


def test_threads_share_it_exactly() -> None:
    """However many threads claim at one instant, each place is given once."""
    budget = RateBudget(100)
    waits: list[float] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        mine = [budget.claim(0.0, PATIENT) for _ in range(500)]
        waits.extend(each for each in mine if each is not None)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(waits) == pytest.approx([max(0.0, (number - 24) / 75) for number in range(4000)])


def test_objects_of_one_account_share_it() -> None:
    """The key and the limit say which budget it is; another key has another."""
    first = shared_budget(Secret("sk_test_a"), 25)

    assert shared_budget(Secret("sk_test_a"), 25) is first
    assert shared_budget(Secret("sk_test_b"), 25) is not first
    assert "sk_test_a" not in repr(vars(first))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are Unix's")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_is_not_locked_out() -> None:
    """A lock that another thread held at the moment of the fork does not exist in the child."""
    budget = RateBudget(10)
    with budget._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if budget.claim(0.0, PATIENT) == 0.0 else 1)

    assert os.waitpid(child, 0)[1] == 0


# ── In the clients ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_the_client_waits_for_its_turn(kind: Kind) -> None:
    """Requests beyond the burst are delayed by the pace, retries count as well."""
    wired = Wired(kind, OK, OK, error(500), OK, budget=RateBudget(4))

    for _ in range(3):
        wired.get()

    assert len(wired.requests) == 4
    assert wired.time.slept == pytest.approx([1 / 3, 1 / 3, 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_would_wait_too_long_is_refused(kind: Kind) -> None:
    """Nothing is sent, the caller may try later, and it is known that nothing happened."""
    budget = RateBudget(2)
    for _ in range(12):
        budget.claim(0.0, PATIENT)
    wired = Wired(kind, OK, budget=budget)

    with pytest.raises(Unavailable) as caught:
        wired.post()

    assert (caught.value.code, caught.value.outcome_unknown, caught.value.retryable) == ("STRIPE_BUSY", False, True)
    assert (wired.requests, wired.time.slept) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
def test_background_requests_wait_until_the_budget_is_full(kind: Kind) -> None:
    """After three requests of users a job waits until all three are made up for, and has its full time then."""
    wired = Wired(kind, OK, budget=RateBudget(16))
    background: StripePort = wired.stripe.in_background()
    for _ in range(3):
        wired.get()

    wired.run(background.request("GET", "/v1/customers/cus_1"))

    assert background.in_background() is background
    assert wired.time.slept == pytest.approx([3 / 12])
    assert wired.requests[-1].extensions["timeout"]["read"] == 20.0
    wired.run(background.close())


@pytest.mark.parametrize("kind", KINDS)
def test_background_requests_give_up_after_a_minute(kind: Kind) -> None:
    """Where users need everything, a job ends for now instead of standing in a queue for ever."""
    budget = RateBudget(4)

    class Crowded(FakeTime):
        async def sleep(self, seconds: float) -> None:
            """While the job waits, somebody else comes."""
            await super().sleep(seconds)
            budget.claim(self.elapsed, PATIENT)

    wired = Wired(kind, OK, budget=budget)
    wired.time = crowded = Crowded()
    wired.stripe._pace, wired.stripe._monotonic = crowded, crowded.monotonic
    budget.claim(0.0, PATIENT)

    with pytest.raises(Unavailable) as caught:
        wired.run(wired.stripe.in_background().page("/v1/customers"))

    assert caught.value.retry_after == BACKGROUND_PATIENCE
    assert crowded.elapsed <= BACKGROUND_PATIENCE
    assert wired.requests == []


def test_concurrent_tasks_share_the_second() -> None:
    """200 requests of users and 200 of jobs at once over the real client: no second sees more than 25."""
    sent: list[tuple[float, bool]] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append((loop.time(), "job" in request.url.path))
            return httpx.Response(200, json={"id": "cus_1"})

        stripe = AsyncStripe(
            KEY,
            clock=FakeTime(),
            pace=AsyncPace(),
            transport=httpx.MockTransport(answer),
            monotonic=loop.time,
            budget=RateBudget(25),
        )
        background = stripe.in_background()

        async def users(number: int) -> None:
            await asyncio.sleep(number / 10)
            await stripe.request("GET", "/v1/customers/user")

        async def jobs() -> None:
            for _ in range(200):
                await background.request("GET", "/v1/customers/job")

        await asyncio.gather(jobs(), *(users(number) for number in range(200)))
        await stripe.close()

    run_virtually(story())

    assert len(sent) == 400
    assert most_in_a_second([at for at, _ in sent]) <= 25
    assert [at for at, of_job in sent if not of_job] == pytest.approx([number / 10 for number in range(200)])


def test_nobody_waits_for_a_budget_that_is_not_there() -> None:
    """A client without a budget sends at once, in the background too."""
    wired = Wired("blocking", OK)
    background = wired.stripe.in_background()
    for _ in range(200):
        run_blocking(background.request("GET", "/v1/customers/cus_1"))

    assert wired.time.slept == []
