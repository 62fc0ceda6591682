"""Events on their way to the bus: after their commit, in order, whatever hooks do, and none of them lost."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from kernia_billing import AsyncBilling, Billing, Metered, Plan
from kernia_billing._drive import run_blocking
from kernia_billing.bus.lanes import Patience
from kernia_billing.bus.memory import MemoryBus
from kernia_billing.domain.answers import Event
from kernia_billing.domain.instants import DAY, MINUTE, SECOND, to_iso_ms
from kernia_billing.domain.messages import Message, lane_of
from kernia_billing.errors import ConfigError, InvalidInput
from kernia_billing.operations import relaying, retention
from kernia_billing.ports.telemetry import QUEUE_DEPTH
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.bus.faulty import FaultyBus
from tests.harness.tables import make_tables

PLANS = [
    Plan("free", features={"messages": Metered(10, alerts=[50])}),
    Plan("pro", price_id="price_pro", features={"messages": Metered(100)}),
]
OWN = ("subscription.", "balance.", "member.")


@define(eq=False)
class House:
    """A `Billing` whose events go to a bus that can fail."""

    billing: Billing
    stripe: StripeSimulator
    bus: FaultyBus

    def received(self, group: str = "reader") -> list[Message]:
        """What a group has not seen yet."""
        got: list[Message] = []
        self.billing.bus.receive(group, got.append, limit=10_000)
        return got

    def topics(self, group: str = "reader") -> list[str]:
        """Its topics, of events that are ours or the host's."""
        return [each.topic for each in self.received(group) if each.topic.startswith(OWN)]

    def later(self, micros: int) -> None:
        """Let time pass."""
        self.stripe.clock.move_to(self.stripe.clock.seconds() + micros // 1_000_000)


@contextmanager
def open_house(url: str, **options: Any) -> Generator[House]:
    """A house on a database that has the tables."""
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()
    stripe, bus = StripeSimulator(), FaultyBus(patience=Patience(retry=0.0))
    with Billing(
        stripe_client=stripe, database=url, event_bus=bus, plans=PLANS, default_plan="free", **options
    ) as billing:
        billing.jobs.run()
        yield House(billing, stripe, bus)


@pytest.fixture
def house(engine_url: str) -> Generator[House]:
    """A house on every engine."""
    with open_house(engine_url) as house:
        yield house


@pytest.fixture
def small(sqlite_url: str) -> Generator[House]:
    """A house on SQLite."""
    with open_house(sqlite_url) as house:
        yield house


def test_one_list(house: House) -> None:
    """A hook and the bus hear of the same events, in the same order, under the same ids."""
    heard: list[Event] = []
    house.billing.on()(heard.append)
    house.stripe.subscribe("ann", "pro")
    house.billing.consume("ann", "messages", 1)
    house.billing.jobs.run()

    got = house.received()

    assert [each.id for each in heard if each.reference is not None] == [each.id for each in got if each.key]
    assert sorted(each.id for each in heard) == sorted(each.id for each in got)
    assert {"user:ann", ""} == {each.key for each in got}
    assert [] == house.received()


def test_the_shape(small: House) -> None:
    """A message is JSON that says what happened, when, and to whom; a subscription with the names of the HTTP API."""
    small.stripe.subscribe("ann", "pro")
    small.billing.jobs.run()

    (told,) = [each for each in small.received() if each.topic == "subscription.activated"]

    body = json.loads(json.dumps(told.body))
    assert {"id", "type", "occurredAt", "reference", "data", "subscription", "previous"} == set(body)
    assert (told.id, "subscription.activated") == (body["id"], body["type"])
    assert {"id": "ann", "type": "user"} == body["reference"]
    assert "2026-01-15T12:00:00Z" == body["occurredAt"]
    assert body["previous"] is None
    shown = body["subscription"]
    assert ("active", "pro", False) == (shown["status"], shown["plan"], shown["cancelAtPeriodEnd"])
    assert ("2026-01-15T12:00:00Z", "2026-02-15T12:00:00Z") == (shown["periodStart"], shown["periodEnd"])
    assert "cus_" not in json.dumps(body["reference"])


def test_nothing_of_a_rollback(small: House) -> None:
    """An event whose transaction is undone reaches nobody."""
    engine = create_engine(small.billing.config.database)
    with engine.begin() as transaction:
        small.billing.publish("member.joined", {"id": "1"}, transaction=transaction)
        transaction.rollback()
    with engine.begin() as transaction:
        small.billing.publish("member.joined", {"id": "2"}, transaction=transaction)
        assert [] == small.bus.asked
    engine.dispose()
    small.billing.jobs.run()

    assert [{"id": "2"}] == [each.body["data"] for each in small.received()]


def test_a_bus_that_is_down(house: House) -> None:
    """While the bus is down hooks hear of everything, nothing fails, and nothing is lost: it comes in order later."""
    heard: list[str] = []

    def hook(event: Event) -> None:
        heard.append(str(event.data["id"]))

    house.billing.on("member.joined")(hook)
    house.bus.down = True
    for number in range(3):
        house.billing.publish("member.joined", {"id": str(number)})
    report = house.billing.jobs.run()

    assert ["0", "1", "2"] == heard
    assert {} == report.failed
    assert [] == house.received()
    house.bus.down = False
    house.later(6 * MINUTE)
    assert house.billing.jobs.run().counts["bus"] >= 3
    assert ["0", "1", "2"] == sorted(each.body["data"]["id"] for each in house.received())
    assert ["0", "1", "2"] == heard


def test_one_try_while_it_is_down(small: House) -> None:
    """A bus that does not answer is asked once in a run, however much waits: every question takes its time."""
    small.bus.down = True
    engine = create_engine(small.billing.config.database)
    with engine.begin() as transaction:
        for number in range(20):
            small.billing.publish("member.joined", {"id": str(number)}, transaction=transaction)
    engine.dispose()
    small.billing.jobs.run()

    assert 1 == len(small.bus.asked)


def test_a_hook_that_fails(house: House) -> None:
    """A hook that always raises keeps nothing from the bus, and hears of everything again and again itself."""
    tries: list[str] = []

    def hook(event: Event) -> None:
        tries.append(event.id)
        raise RuntimeError("never")

    house.billing.on("subscription.activated")(hook)
    house.stripe.subscribe("ann", "pro")
    house.billing.jobs.run()
    before = len(tries)
    house.later(10 * MINUTE)
    house.billing.jobs.run()

    assert 1 <= before < len(tries)
    assert ["subscription.created", "subscription.activated", "subscription.completed"] == house.topics()


def test_what_the_bus_refuses(house: House) -> None:
    """An event that the bus never takes holds up what follows of the same customer, and nobody else's."""
    house.billing.customers.ensure("ann")
    house.billing.customers.ensure("ben")
    house.billing.jobs.run()
    house.received()
    house.bus.refuses = lambda message: message.body["data"].get("name") == "no"
    for user, name in (("ann", "no"), ("ann", "yes"), ("ben", "yes")):
        house.billing.publish("user.updated", {"id": user, "name": name})
    for _ in range(3):
        house.later(10 * MINUTE)
        house.billing.jobs.run()

    assert ["user:ben"] == [each.key for each in house.received() if each.topic == "user.updated"]
    house.bus.refuses = lambda _: False
    house.later(10 * MINUTE)
    house.billing.jobs.run()
    told = [each.body["data"]["name"] for each in house.received() if each.topic == "user.updated"]
    assert ["no", "yes"] == told


def test_an_answer_that_was_lost(small: House) -> None:
    """What the bus took without our knowing is published again under its id, and arrives once."""
    small.bus.lost = True
    small.billing.publish("member.joined", {"id": "1"})
    small.bus.lost = False
    small.later(6 * MINUTE)
    small.billing.jobs.run()

    assert 2 == len(small.bus.asked) == len([each for each in small.bus.asked if each.topic == "member.joined"])
    assert 1 == len(small.received())


def test_what_was_before_the_bus(sqlite_url: str) -> None:
    """Who turns a bus on gets what happens from then on, not the events of the last month."""
    engine = create_engine(sqlite_url)
    make_tables(engine)
    engine.dispose()
    stripe, bus = StripeSimulator(), MemoryBus()
    options: dict[str, Any] = {"stripe_client": stripe, "database": sqlite_url, "plans": PLANS, "default_plan": "free"}
    with Billing(**options) as billing:
        billing.publish("member.joined", {"id": "old"})
        past = create_engine(sqlite_url)
        with past.begin() as transaction:
            for number in range(250):
                billing.publish("member.joined", {"id": f"old {number}"}, transaction=transaction)
        past.dispose()
        while billing.jobs.run().counts["events"]:
            pass
    stripe.clock.move_to(stripe.clock.seconds() + 60)
    with Billing(**options, event_bus=bus) as billing:
        billing.jobs.run()
        billing.publish("member.joined", {"id": "new"})
        got: list[Message] = []
        billing.bus.receive("reader", got.append)

    assert [{"id": "new"}] == [each.body["data"] for each in got]


def test_retention(small: House) -> None:
    """What the bus has not taken is never thrown away, however old; what everybody has is."""
    small.bus.down = True
    small.billing.publish("member.joined", {"id": "1"})
    small.later(40 * DAY)
    core = small.billing._wiring.core
    run_blocking(retention.prune(core))
    small.bus.down = False
    small.billing.jobs.run()
    assert 1 == len(small.received())

    def stored() -> int:
        return run_blocking(core.store.read(lambda tx: len(tx.outbox.claim(0, 0, 0)) + _stored(core)))

    assert 1 == stored()
    small.later(40 * DAY)
    run_blocking(retention.prune(core))
    assert 0 == stored()


def _stored(core: Any) -> int:
    with core.store._store.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM billing_outbox").scalar_one())


def test_lag(small: House) -> None:
    """How much the bus has not taken is measured, and since when."""
    core = small.billing._wiring.core
    assert (0, None) == run_blocking(core.store.read(lambda tx: tx.bus.lag(core.now())))
    small.bus.down = True
    small.billing.publish("member.joined", {"id": "1"})
    written = core.now()
    small.later(MINUTE)

    assert (1, written) == run_blocking(core.store.read(lambda tx: tx.bus.lag(core.now())))
    assert "kernia_billing.queue.depth" == QUEUE_DEPTH.name


def test_what_waits_is_a_finding(small: House) -> None:
    """After a day the doctor names what the bus did not take, and what nobody took from it, with since when."""
    small.bus.now = lambda: float(small.stripe.clock.seconds())

    def found() -> list[tuple[str, int, tuple[str, ...]]]:
        found = small.billing.doctor().findings
        return [(each.severity, each.count, each.ids) for each in found if each.check == "bus.waiting"]

    assert [] == found()
    since = small.stripe.clock.seconds()
    small.bus.down = True
    first = small.billing.publish("user.created", {"id": "ann"})
    small.later(DAY)
    assert [("warning", 1, ())] == found()
    small.later(SECOND)
    assert [("error", 1, (f"user.created {first}",)), ("warning", 1, ())] == found()
    (told,) = [each.found for each in small.billing.doctor().findings if each.severity == "error"]
    assert told == f"1 found, the oldest since {to_iso_ms(since * SECOND)}"

    small.bus.down = False
    second = small.billing.publish("user.created", {"id": "ben"})
    assert [] == found()
    small.later(DAY + SECOND)
    lanes = {lane_of(Message(each, "", key, {})) for each, key in ((first, "user:ann"), (second, "user:ben"))}
    ((severity, count, ids),) = found()
    assert (severity, count) == ("error", len(lanes))
    assert set(ids) <= {f"user.created {first}", f"user.created {second}"}
    small.billing.jobs.run()
    assert [] == found()


def test_two_relays(house: House) -> None:
    """Two workers at once publish everything once, and each customer's events in order."""
    house.billing.customers.ensure("ann")
    house.billing.jobs.run()
    house.received()
    engine = create_engine(house.billing.config.database)
    with engine.begin() as transaction:
        for number in range(5):
            house.billing.publish("user.updated", {"id": "ann", "name": str(number)}, transaction=transaction)
    engine.dispose()
    core = house.billing._wiring.core
    seen: list[int] = []

    def publish_inside(message: Message) -> bool:
        # Another worker comes while this one is at it.
        house.bus.refuses = lambda _: False
        seen.append(run_blocking(relaying.relay(core)))
        return False

    house.bus.refuses = publish_inside
    run_blocking(relaying.relay(core))

    assert [0] == seen
    assert list("01234") == [each.body["data"]["name"] for each in house.received() if each.topic == "user.updated"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["ann", "ben", "down", "up", "lost", "run", "later"]), max_size=25))
def test_any_failures(steps: list[str]) -> None:
    """Whatever fails in between: in the end each customer's events are on the bus, once and in order."""
    stripe, bus = StripeSimulator(), FaultyBus(patience=Patience(retry=0.0))
    with Billing(stripe_client=stripe, database="sqlite://", event_bus=bus, plans=PLANS) as billing:
        house = House(billing, stripe, bus)
        for user in ("ann", "ben"):
            billing.customers.ensure(user)
        billing.jobs.run()
        house.received()
        told: dict[str, list[str]] = {"ann": [], "ben": []}
        for number, step in enumerate(steps):
            bus.down = step == "down" or (bus.down and step != "up")
            bus.lost = step == "lost" or (bus.lost and step != "up")
            if step in told:
                billing.publish("user.updated", {"id": step, "name": f"n{number}"})
                told[step].append(f"n{number}")
            elif step == "run":
                billing.jobs.run()
            elif step == "later":
                house.later(6 * MINUTE)
        bus.down = bus.lost = False
        house.later(6 * MINUTE)
        billing.jobs.run()
        got = [each for each in house.received() if each.topic == "user.updated"]

    for user, names in told.items():
        assert names == [each.body["data"]["name"] for each in got if each.key == f"user:{user}"]


def test_without_a_bus(sqlite_url: str) -> None:
    """Who has no bus is told so when he listens to it."""
    with Billing(database=sqlite_url) as billing:
        for ask in (
            lambda: billing.bus.receive("g", print),
            lambda: billing.bus.dead_letters("g"),
            billing.bus.healthy,
        ):
            with pytest.raises(ConfigError):
                ask()


async def _nothing(_message: Message) -> None:
    pass


def test_handlers(small: House) -> None:
    """A handler that `Billing` cannot await, or that cannot be called, is refused; so is an odd limit."""
    for handler in (_nothing, "print"):
        with pytest.raises(ConfigError):
            small.billing.bus.receive("g", handler)  # type: ignore[arg-type]  # wrong on purpose
    for limit in (0, 10_001, True):
        with pytest.raises(InvalidInput):
            small.billing.bus.receive("g", print, limit=limit)


@pytest.mark.anyio
async def test_async(sqlite_url: str) -> None:
    """`AsyncBilling` publishes, and awaits a handler that is a coroutine function."""
    got: list[str] = []

    async def handler(message: Message) -> None:
        got.append(message.topic)

    async with AsyncBilling(
        stripe_client=AsyncStripeSimulator(), database=sqlite_url, event_bus="memory://", plans=PLANS
    ) as billing:
        await billing.publish("member.joined", {"id": "1"})
        assert 1 == await billing.bus.receive("g", handler)
        assert await billing.bus.healthy()
        assert [] == list(await billing.bus.dead_letters("g"))

    assert ["member.joined"] == got
