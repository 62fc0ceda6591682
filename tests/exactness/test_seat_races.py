"""Members come and go in many processes: Stripe charges for those there are in the end, by few changes in turn."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from kernia_billing import Billing, Plan
from kernia_billing.testing import Fault, StripeSimulator
from tests.harness.counts import count
from tests.harness.house import open_account, open_billing, watched_billing
from tests.harness.processes import RemoteStripe, alone, together
from tests.webhooks.shop import hurry

PROCESSES, CHANGES = 16, 6
TEAM = Plan("team", price_id="price_team", seats=True, seat_price_id="price_seat")
UPDATE = "POST /v1/subscriptions/"


class Host:
    """The host's own tables, in the same database: who is a member, and which calls to Stripe are under way."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    def open(self) -> None:
        """Make the tables, with the first member."""
        with self._engine.begin() as connection:
            connection.execute(text("CREATE TABLE host_member (who VARCHAR(50) PRIMARY KEY)"))
            connection.execute(text("CREATE TABLE host_call (name VARCHAR(50) PRIMARY KEY)"))
        self.add("first")

    def add(self, who: str) -> None:
        """Somebody comes."""
        self._run("INSERT INTO host_member (who) VALUES (:value)", who)

    def remove(self, who: str) -> None:
        """Somebody goes."""
        self._run("DELETE FROM host_member WHERE who = :value", who)

    def count(self, _organization: str) -> int:
        """`member_count`."""
        with self._engine.connect() as connection:
            return int(connection.execute(text("SELECT COUNT(*) FROM host_member")).scalar_one())

    def watch(self, boundary: str) -> None:
        """Fail where two changes of the subscription are under way at once: the second breaks the primary key."""
        when, _, what = boundary.partition(" ")
        if what.startswith(UPDATE):
            verb = "INSERT INTO host_call (name) VALUES (:value)"
            self._run(verb if when == "before" else "DELETE FROM host_call WHERE name = :value", "seats")

    def _run(self, statement: str, value: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), {"value": value})


def may(*_: object) -> bool:
    """`authorize_reference` of a host that trusts everybody."""
    return True


def options(host: Host) -> Mapping[str, Any]:
    """An application that bills organizations for their members."""
    return {
        "plans": [TEAM],
        "default_plan": None,
        "subscription_for": "organization",
        "member_count": host.count,
        "authorize_reference": may,
    }


@pytest.fixture
def host(engine_url: str, engine: Engine, stripe: StripeSimulator) -> Host:
    """The host, whose organization pays for one member."""
    assert engine is not None
    open_account(engine_url, stripe)
    host = Host(engine_url)
    host.open()
    with open_billing(engine_url, stripe, **options(host)) as billing:
        stripe.subscribe("org", "team")
        assert billing.subscriptions.sync_seats("org").seats == 1  # type: ignore[union-attr]  # it was just sold
    return host


def charged(stripe: StripeSimulator) -> int | None:
    """The seats that Stripe charges for."""
    items = stripe.state.world.table("subscription_item").rows.values()
    (seats,) = [each["quantity"] for each in items if each["price"] == "price_seat"]
    return seats  # type: ignore[no-any-return]  # an integer of the simulator's


@contextmanager
def quick(url: str, remote: RemoteStripe, host: Host) -> Generator[Billing]:
    """A `Billing` that does not wait between two attempts, whose calls are watched."""
    remote.on_call = host.watch
    with open_billing(url, remote, **options(host)) as billing:
        hurry(billing)
        yield billing


def _works(url: str, host: Host, number: int, remote: RemoteStripe) -> None:
    with quick(url, remote, host) as billing:
        billing.subscriptions.get("org")
        remote.ready()
        for change in range(CHANGES):
            who = f"{number}-{change}"
            host.add(who)
            billing.subscriptions.sync_seats("org")
            if change % 3 == 2:
                host.remove(who)
                billing.subscriptions.sync_seats("org")


def test_many_changes_at_once(engine_url: str, stripe: StripeSimulator, host: Host) -> None:
    """16 processes change the members 128 times while Stripe fails at first: the final quantity is the final count.

    At no time are two changes under way, and fewer are sent than an hour allows.
    """
    stripe.faults.append(Fault("status", 500, method="POST", path="/v1/subscriptions/*", times=4))
    stripe.faults.append(Fault("timeout_after", method="POST", path="/v1/subscriptions/*", times=4))
    before = len(stripe.requests)
    together(stripe, [partial(_works, engine_url, host, number) for number in range(PROCESSES)])

    for _ in range(3):
        _an_hour_passes(engine_url, stripe, host)
    members = 1 + PROCESSES * (CHANGES - CHANGES // 3)
    assert (charged(stripe), host.count("org")) == (members, members)
    sent = [each for each in stripe.requests[before:] if f"{each.method} {each.path}".startswith(UPDATE)]
    count("changes of seats in races", PROCESSES * (CHANGES + CHANGES // 3))
    count("changes of seats sent", len(sent))
    assert len({each.headers["idempotency-key"] for each in sent}) <= 100
    with open_billing(engine_url, stripe, **options(host)) as billing:
        assert billing.subscriptions.get("org").seats == members  # type: ignore[union-attr]  # it was sold
        assert billing.check("org", "seats").balance.used == members


@pytest.mark.parametrize("exhaustive", [False, pytest.param(True, marks=pytest.mark.full)], ids=["some", "all"])
@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_death_anywhere(
    engine_url: str, stripe: StripeSimulator, host: Host, change: str, engine_name: str, exhaustive: bool
) -> None:
    """Whoever dies while the seats are changed, another process goes on once the dead one's turn is over."""

    def live(deadly: int | None, remote: RemoteStripe) -> list[str]:
        with watched_billing(engine_url, remote, deadly, **options(host)) as (billing, passed):
            billing.subscriptions.sync_seats("org")
            return list(passed)

    def turn(number: int, deadly: int | None) -> list[str] | None:
        who = f"{change} {number}"
        if change == "remove":
            host.add(who)
            _an_hour_passes(engine_url, stripe, host)
            host.remove(who)
        else:
            host.add(who)
        ended = alone(stripe, partial(live, deadly))
        assert ended.killed is (deadly is not None)
        _an_hour_passes(engine_url, stripe, host)
        assert charged(stripe) == host.count("org")
        return ended.value

    boundaries = turn(0, None)
    assert boundaries is not None
    numbers = range(1, len(boundaries) + 1)
    for number in numbers if exhaustive else random.sample(numbers, 12 if engine_name == "sqlite" else 4):
        turn(number, number)
        count("kills", 1)


def _an_hour_passes(url: str, stripe: StripeSimulator, host: Host) -> None:
    """The jobs run twice, with an hour between: whatever nobody could store, the count of the hour finds."""
    with open_billing(url, stripe, **options(host)) as billing:
        for _ in range(2):
            billing.jobs.run()
            stripe.clock.move_to(stripe.clock.seconds() + 3_660)
        billing.jobs.run()
