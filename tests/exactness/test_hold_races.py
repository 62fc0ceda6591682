"""Many processes that set aside, settle, release and let expire at once: nothing is given twice, nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import Engine, text

from kernia_billing import Billing, Conflict, IdempotencyMismatch, InsufficientBalance
from kernia_billing.domain.answers import Usage
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import PRO, open_billing, subscribe
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
SECOND = 1_000_000


def _figures(engine: Engine, url: str, stripe: StripeSimulator) -> tuple[int, int]:
    """What is used and held of the messages, on paper; nothing may contradict anything."""
    with open_billing(url, stripe) as billing:
        assert [] == [each for each in billing.doctor().findings if each.severity == "error"]
    tables = coherent(engine, stripe)
    return tables.used("acme"), sum(row["held"] for row in tables.of("acme", tables.buckets))


def test_what_is_set_aside_is_nobody_elses(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """With holds made, settled, released and left open beside plain uses, every unit is somebody's, once."""
    subscribe(engine_url, stripe, "acme")

    def work(number: int) -> Callable[[RemoteStripe], tuple[int, int, int]]:
        def reserve(remote: RemoteStripe) -> tuple[int, int, int]:
            chance = random.Random(number)
            used = left = denied = 0
            with open_billing(engine_url, remote) as billing:
                billing.check("acme", "messages")
                remote.ready()
                for _ in range(20):
                    try:
                        hold = billing.reserve("acme", "messages", 5, ttl=3_600)
                        end = chance.choice(("settled", "settled", "released", "left"))
                        if end == "settled":
                            used += hold.settle(chance.choice((1, 3, 5))).funded
                        elif end == "released":
                            hold.release()
                        else:
                            left += 5
                        used += billing.consume("acme", "messages").funded
                    except InsufficientBalance:
                        denied += 1
            return used, left, denied

        return reserve

    told = together(stripe, [work(number) for number in range(PROCESSES)])
    count("holds in races", 20 * PROCESSES)
    used, left, denied = (sum(each) for each in zip(*told, strict=True))
    assert (used, left) == _figures(engine, engine_url, stripe)
    assert denied
    assert PRO - 5 < used + left <= PRO


def _ended(attempt: Callable[[], Usage | None]) -> str:
    try:
        usage = attempt()
    except IdempotencyMismatch:
        return "mismatch"
    except Conflict as conflict:
        return conflict.code
    return "released" if usage is None else f"{usage.event_id} {usage.funded}"


def test_a_hold_ends_in_one_way(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Of processes that settle one hold with two quantities and release it one wins; the others hear which it was."""
    subscribe(engine_url, stripe, "acme")
    keys = [f"job-{number}" for number in range(10)]

    def work(number: int) -> Callable[[RemoteStripe], list[str]]:
        def end(remote: RemoteStripe) -> list[str]:
            with open_billing(engine_url, remote) as billing:
                billing.check("acme", "messages")
                remote.ready()
                outcomes: list[str] = []
                for key in keys:
                    hold = billing.reserve("acme", "messages", 7, idempotency_key=key)
                    attempt = hold.release if number % 3 == 0 else partial(hold.settle, 2 + number % 3)
                    outcomes.append(_ended(attempt))
            return outcomes

        return end

    told = together(stripe, [work(number) for number in range(PROCESSES)])
    count("holds in races", PROCESSES * len(keys))
    used = 0
    for mine in zip(*told, strict=True):
        by_way = [{each for number, each in enumerate(mine) if number % 3 == way} for way in range(3)]
        winner = next(
            way for way in range(3) if by_way[way] == {"released"} or any(" " in each for each in by_way[way])
        )
        assert 1 == len(by_way[winner])
        others = {"HOLD_RELEASED"} if winner == 0 else {"mismatch", "HOLD_SETTLED"}
        assert set().union(*(by_way[way] for way in range(3) if way != winner)) == others
        used += 0 if winner == 0 else 2 + winner
    assert (used, 0) == _figures(engine, engine_url, stripe)


def test_around_the_end_of_holds(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Around the instants at which holds expire, with clocks that differ, no unit is given twice.

    Some hold and settle, before their time is up or late; some look; some take what comes free at once.
    """
    subscribe(engine_url, stripe, "acme")
    with open_billing(engine_url, stripe) as billing:
        held = billing.reserve("acme", "messages", PRO, ttl=5, idempotency_key="all")
    ends = int(held.expires_at.timestamp() * SECOND)
    works = [
        partial(_settle_in_time, engine_url, ends),
        partial(_look, engine_url, ends),
        *(partial(_take, engine_url, ends + number * 100_000) for number in range(PROCESSES - 2)),
    ]
    told = [each for process in together(stripe, works) for each in process]
    count("holds in races", len(told))
    used, _ = _figures(engine, engine_url, stripe)
    assert used == sum(funded for _, funded in told)
    assert used <= PRO
    assert {"in time", "late", "used", "denied"} <= {kind for kind, _ in told}
    stripe.clock.move_to(ends // SECOND + 3_600)
    with open_billing(engine_url, stripe) as billing:
        assert PRO - used == billing.check("acme", "messages").remaining
        billing.track("acme", "messages", PRO)
    assert (PRO, 0) == _figures(engine, engine_url, stripe)


def _settle_in_time(url: str, ends: int, remote: RemoteStripe) -> list[tuple[str, int]]:
    with open_billing(url, remote) as billing:
        hold = billing.reserve("acme", "messages", PRO, ttl=5, idempotency_key="all")
        remote.ready()
        remote.clock.micros = ends - 2 * SECOND
        usage = hold.settle(40)
        return [("late" if usage.late else "in time", usage.funded)]


def _look(url: str, ends: int, remote: RemoteStripe) -> list[tuple[str, int]]:
    with open_billing(url, remote) as billing:
        remote.ready()
        for step in range(60):
            remote.clock.micros = ends + (step - 16) * SECOND // 4
            balance = billing.check("acme", "messages").balance
            assert 0 <= balance.held <= PRO - balance.used
            assert balance.remaining == PRO - balance.used - balance.held
    return []


def _take(url: str, ends: int, remote: RemoteStripe) -> list[tuple[str, int]]:
    taken: list[tuple[str, int]] = []
    with open_billing(url, remote) as billing:
        billing.customers.get("acme")
        remote.ready()
        for step in range(15):
            remote.clock.micros = ends + (step - 4) * SECOND
            try:
                hold = billing.reserve("acme", "messages", 4, ttl=1)
                remote.clock.micros += (step % 2) * 2 * SECOND
                usage = hold.settle(2)
                taken.append(("late" if usage.late else "in time", usage.funded))
                taken.append(("used", billing.consume("acme", "messages", 3).funded))
            except InsufficientBalance:
                taken.append(("denied", 0))
    return taken


def test_one_key_is_one_hold(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Processes that reserve under the same keys at once share the holds, for a reference nobody has seen too."""
    subscribe(engine_url, stripe, "acme")
    keys = [(who, f"key-{number}") for number in range(5) for who in ("acme", "new")]

    def work(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote) as billing:
            billing.customers.get("acme")
            remote.ready()
            return [billing.reserve(who, "messages", 2, ttl=60, idempotency_key=key).id for who, key in keys]

    told = together(stripe, [work] * PROCESSES)
    count("holds in races", PROCESSES * len(keys))
    assert [told[0]] * PROCESSES == told
    assert len(set(told[0])) == len(keys)
    assert (0, 10) == _figures(engine, engine_url, stripe)


@pytest.mark.parametrize("lapsed", [False, True])
def test_a_joined_use_sees_holds_that_its_snapshot_hides(
    lapsed: bool, engine: Engine, engine_name: str, engine_url: str, stripe: StripeSimulator
) -> None:
    """In a host's older transaction holds made since then count, and those that have lapsed are released."""
    subscribe(engine_url, stripe, "acme")
    with open_billing(engine_url, stripe) as billing, engine.connect() as host:
        if engine_name != "sqlite":
            host.execute(text("SELECT count(*) FROM billing_hold")).all()
        _elsewhere(engine_url, stripe, lambda other: other.reserve("acme", "messages", 60, ttl=60))
        if lapsed:
            stripe.clock.move_to(stripe.clock.seconds() + 61)
            assert 70 == billing.consume("acme", "messages", 70, transaction=host).funded
        else:
            with pytest.raises(InsufficientBalance):
                billing.consume("acme", "messages", 70, transaction=host)
            assert 40 == billing.consume("acme", "messages", 40, transaction=host).funded
        host.commit()
    assert ((70, 0) if lapsed else (40, 60)) == _figures(engine, engine_url, stripe)


def _elsewhere(url: str, stripe: StripeSimulator, act: Callable[[Billing], object]) -> None:
    with open_billing(url, stripe) as billing:
        act(billing)
