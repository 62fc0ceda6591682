"""Many processes with leases of one customer, beside plain uses: never more than there is, and in the end all of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from sqlalchemy import Engine

from kernia_billing import Billing, InsufficientBalance
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.house import PRO, open_billing, subscribe
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
SECOND = 1_000_000


def _books(engine: Engine, url: str, stripe: StripeSimulator) -> Tables:
    """The tables, in which nothing may contradict anything."""
    with open_billing(url, stripe) as billing:
        assert [] == [each for each in billing.doctor().findings if each.severity == "error"]
    return coherent(engine, stripe)


def _until_refused(use: Callable[[int], object], chance: random.Random) -> int:
    """Use some until not even one is given; gives how many were used."""
    used = 0
    while True:
        units = chance.choice((1, 1, 2, 3))
        try:
            use(units)
            used += units
        except InsufficientBalance:
            if units == 1:
                return used


def test_every_unit_is_used_once(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Most use leases of several sizes, some plainly; each ends its lease and uses what others have left over."""
    subscribe(engine_url, stripe, "acme")

    def work(number: int) -> Callable[[RemoteStripe], int]:
        def use(remote: RemoteStripe) -> int:
            chance = random.Random(number)
            used = 0
            with open_billing(engine_url, remote) as billing:
                billing.check("acme", "messages")
                remote.ready()
                for units in _leases(number):
                    try:
                        with billing.lease("acme", "messages", units) as lease:
                            used += _until_refused(lease.consume, chance)
                    except InsufficientBalance:
                        break
                return used + _until_refused(lambda units: billing.consume("acme", "messages", units), chance)

        return use

    told = together(stripe, [work(number) for number in range(PROCESSES)])
    count("units of leases in races", sum(told))
    tables = _books(engine, engine_url, stripe)
    assert PRO == sum(told)
    assert PRO == tables.used("acme") == tables.funded("acme")
    assert [0] == [row["held"] for row in tables.of("acme", tables.buckets) if row["feature_key"] == "messages"]


def _leases(number: int) -> Iterator[int]:
    """Of how many units a process takes its leases, one after the other; two processes take none."""
    if number >= 2:
        yield from (number, 3 * number)


def test_nothing_is_lost_where_time_passes(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """With clocks that go on differently, leases lapse before they are stored: all is recorded, nothing twice."""
    subscribe(engine_url, stripe, "acme")

    def work(number: int) -> Callable[[RemoteStripe], int]:
        def use(remote: RemoteStripe) -> int:
            chance = random.Random(number)
            with open_billing(engine_url, remote) as billing:
                billing.check("acme", "messages")
                remote.ready()
                return sum(_hurry(billing, remote, chance) for _ in range(4))

        return use

    told = together(stripe, [work(number) for number in range(PROCESSES)])
    count("units of leases in races", sum(told))
    tables = _books(engine, engine_url, stripe)
    stored = [row for row in tables.of("acme", tables.events) if row["mode"] == "settle"]
    assert sum(told) == sum(row["quantity"] for row in stored)
    assert tables.used("acme") == sum(row["funded"] for row in stored) <= PRO


def _hurry(billing: Billing, remote: RemoteStripe, chance: random.Random) -> int:
    used = 0
    try:
        with billing.lease("acme", "messages", chance.randint(1, 15), ttl=4) as lease:
            for _ in range(6):
                units = chance.randint(1, 3)
                lease.consume(units)
                used += units
                remote.clock.micros += chance.choice((0, 0, 1, 2, 5)) * SECOND
                if chance.random() < 0.2:
                    lease.flush()
    except InsufficientBalance:
        pass
    return used
