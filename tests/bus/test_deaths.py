"""Processes that die: while they publish, at every statement and message, and while they work on what they received."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from sqlalchemy import create_engine

from kernia_billing import Billing
from kernia_billing.bus.lanes import Patience
from kernia_billing.domain.messages import Message
from kernia_billing.ports.bus import Bus
from kernia_billing.testing import StripeSimulator
from tests.bus.conftest import open_postgresql
from tests.harness.coherent import coherent
from tests.harness.house import open_billing
from tests.harness.kill import Boundaries, die
from tests.harness.processes import RemoteStripe, alone
from tests.harness.tables import make_tables

_HASTE = Patience(lease=0.3, retry=0.05)
_TOLD = [(user, number) for number in range(2) for user in ("ann", "ben")]
_KINDS = ("redis", "nats", pytest.param("postgresql", marks=pytest.mark.postgresql))
_EVERY = {"redis": 17, "nats": 40, "postgresql": 80}
"""At each of how many boundaries somebody dies, unless at every one."""


@frozen
class Place:
    """A database and a bus, as any process can open them."""

    url: str
    open_bus: Callable[[], Bus]

    def open(self, stripe: Any, bus: Bus) -> AbstractContextManager[Billing]:
        """An application on them."""
        return open_billing(self.url, stripe, event_bus=bus)


@pytest.fixture(params=_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which bus."""
    return str(request.param)


@pytest.fixture
def new_place(
    kind: str, make_database: Callable[[str], str], broker_url: Callable[[str], str], prefix: str
) -> Callable[[int], Place]:
    """Makes empty places by their number."""

    def new(number: int) -> Place:
        url = make_database("postgresql" if kind == "postgresql" else "sqlite")
        engine = create_engine(url)
        make_tables(engine)
        engine.dispose()
        if kind == "postgresql":
            return Place(url, lambda: open_postgresql(url, _HASTE, asynchronous=False))
        return Place(url, partial(_broker, kind, broker_url(kind), f"{prefix}x{number}"))

    return new


@pytest.fixture(params=[pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.full)])
def step(request: pytest.FixtureRequest, kind: str) -> int:
    """From one death to the next."""
    return 1 if request.param else _EVERY[kind]


def _broker(kind: str, url: str, prefix: str) -> Bus:
    if kind == "redis":
        from kernia_billing.bus.redis import RedisBus

        return RedisBus(url, prefix=prefix, patience=_HASTE)
    from kernia_billing.bus.nats import NatsBus

    return NatsBus(url, prefix=prefix, patience=_HASTE)


def _tell(billing: Billing) -> None:
    """Publish, under keys that make it the same the next time."""
    for user, number in _TOLD:
        billing.publish("user.updated", {"id": user, "name": f"n{number}"}, idempotency_key=f"{user}-{number}")


def _prepare(place: Place, stripe: StripeSimulator) -> None:
    with place.open(stripe, place.open_bus()) as billing:
        billing.catalog.sync()
        for user in ("ann", "ben"):
            billing.customers.ensure(user)
        billing.jobs.run()


def _publish(place: Place, deadly: int | None, stripe: RemoteStripe) -> Sequence[str]:
    """Publish in a process of its own that dies at a boundary: a statement, a call, or a message to the bus."""
    boundaries = Boundaries(deadly)
    bus = place.open_bus()
    publish = bus.publish

    async def watched(messages: Sequence[Message]) -> None:
        boundaries.reach("before publish")
        await publish(messages)
        boundaries.reach("after publish")

    bus.publish = watched  # type: ignore[method-assign]  # watched on its way
    with place.open(stripe, bus) as billing:
        boundaries.start(stripe)
        _tell(billing)
        return list(boundaries.passed)


def _received(place: Place, stripe: StripeSimulator) -> list[Message]:
    """What reaches a reader once everything that was left is done."""
    stripe.clock.move_to(stripe.clock.seconds() + 400)
    got: list[Message] = []
    with place.open(stripe, place.open_bus()) as billing:
        _tell(billing)
        # What the first run brings to the bus in the place of the dead, the second may have to take from there.
        billing.jobs.run()
        billing.jobs.run()
        while billing.bus.receive("reader", got.append, topics=["user.*"]):
            pass
        assert not billing.doctor().findings
    engine = create_engine(place.url)
    coherent(engine)
    engine.dispose()
    return got


def test_publisher(new_place: Callable[[int], Place], step: int) -> None:
    """Wherever a publisher dies: after a restart every event is on the bus once, each user's in order."""
    stripe = StripeSimulator(deliver="manual")
    first = new_place(0)
    _prepare(first, stripe)
    boundaries = alone(stripe, partial(_publish, first, None)).value or []
    assert 8 <= sum("publish" in each for each in boundaries)
    told = {f"user:{user}": ["n0", "n1"] for user in ("ann", "ben")}

    for number in range(1, len(boundaries) + 1, step):
        stripe = StripeSimulator(deliver="manual")
        place = new_place(number)
        _prepare(place, stripe)
        assert alone(stripe, partial(_publish, place, number)).killed, boundaries[number - 1]
        got = _received(place, stripe)
        found = {key: [each.body["data"]["name"] for each in got if each.key == key] for key in told}
        assert told == found, f"died at {boundaries[number - 1]}"


def _receive(place: Place, seen: Path, stripe: RemoteStripe) -> None:
    """Receive, and die between the work on the second message and its acknowledgement."""

    def handler(message: Message) -> None:
        with seen.open("a") as file:
            file.write(f"{message.body['data']['name']}\n")
        if message.body["data"]["name"] == "n1":
            die()

    with place.open(stripe, place.open_bus()) as billing:
        while True:
            billing.bus.receive("reader", handler, topics=["user.*"])


def test_consumer(new_place: Callable[[int], Place], tmp_path: Path) -> None:
    """What a consumer had done and not acknowledged when it was killed comes to another one, before what follows."""
    stripe = StripeSimulator(deliver="manual")
    place, seen = new_place(0), tmp_path / "seen"
    _prepare(place, stripe)
    with place.open(stripe, place.open_bus()) as billing:
        for number in range(4):
            billing.publish("user.updated", {"id": "ann", "name": f"n{number}"})
        billing.jobs.run()

    assert alone(stripe, partial(_receive, place, seen)).killed
    names: list[str] = []

    def name(message: Message) -> None:
        names.append(message.body["data"]["name"])

    with place.open(stripe, place.open_bus()) as billing:
        while "n3" not in names:
            billing.bus.receive("reader", name, topics=["user.*"])

    assert ["n0", "n1"] == seen.read_text().split()
    assert ["n1", "n2", "n3"] == names


def _work(place: Place, deadly: int | None, stripe: RemoteStripe) -> Sequence[str]:
    boundaries = Boundaries(deadly)
    with place.open(stripe, place.open_bus()) as billing:
        boundaries.start(stripe)
        while not boundaries.passed or not any("customers" in each for each in boundaries.passed):
            billing.jobs.run()
        return list(boundaries.passed)


def _is_customer(billing: Billing) -> bool:
    ann = billing.customers.get("ann")
    return ann is not None and ann.stripe_id is not None


def test_worker(new_place: Callable[[int], Place], step: int) -> None:
    """Wherever a worker dies that makes a customer of a new user: in the end there is one at Stripe, and it is ours."""
    total = 0
    number: int | None = None
    while number is None or number <= total:
        stripe = StripeSimulator(deliver="manual")
        place = new_place(number or 0)
        with place.open(stripe, place.open_bus()) as billing:
            billing.publish("user.created", {"id": "ann", "email": "ann@shop.example"})
        ended = alone(stripe, partial(_work, place, number))
        total = total or len(ended.value or ())
        stripe.clock.move_to(stripe.clock.seconds() + 400)
        with place.open(stripe, place.open_bus()) as billing:
            while not _is_customer(billing):
                billing.jobs.run()
            billing.jobs.run()
            (ann,) = stripe.state.world.table("customer").rows.values()
            ours = billing.customers.get("ann")
            assert ours is not None
            assert ann["id"] == ours.stripe_id
        number = (number or 1 - step) + step
