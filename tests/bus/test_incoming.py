"""What the host tells of its users, organizations and members: done at once, by the worker, or over a bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any, cast

import pytest
from sqlalchemy import create_engine

from kernia_billing import Billing, InvalidInput, Plan
from kernia_billing.bus.lanes import Patience
from kernia_billing.bus.memory import MemoryBus
from kernia_billing.domain.answers import Event
from kernia_billing.domain.instants import MINUTE
from kernia_billing.domain.messages import Message
from kernia_billing.domain.references import Reference
from kernia_billing.operations import incoming
from kernia_billing.ports.bus import Bus
from kernia_billing.testing import Fault, StripeSimulator
from tests.harness.tables import make_tables
from tests.webhooks.shop import hurry

ACME: Any = Reference("org_1", "organization")
PLANS = [
    Plan("free"),
    Plan("pro", price_id="price_pro"),
    Plan("team", price_id="price_team", seats=True, max_seats=9),
]
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("user.created", {"id": "ann"}),
    ("user.created", {"id": "ann", "email": "ann@shop.example", "name": "Ann", "emailVerified": True, "plan": 1}),
    ("user.updated", {"id": "ann", "email": None, "name": "Ann"}),
    ("user.deleted", {"id": "ann"}),
    ("organization.created", {"id": "org_1", "name": "Acme"}),
    ("organization.updated", {"id": "org_1", "name": "Acme"}),
    ("organization.deleted", {"id": "org_1", "policy": "cancel"}),
    ("organization.member.added", {"organizationId": "org_1", "userId": "ann"}),
    ("organization.member.removed", {"organizationId": "org_1", "userId": "ann", "members": 0}),
]
BAD: list[tuple[Any, Any, str]] = [
    ("user.created", {}, "data.id"),
    ("user.created", {"id": 7}, "data.id"),
    ("user.created", {"id": ""}, "data.id"),
    ("user.created", {"id": "x" * 256}, "data.id"),
    ("user.created", {"id": "a\nb"}, "data.id"),
    ("user.created", {"id": "ann", "email": 1}, "data.email"),
    ("user.updated", {"id": "ann", "name": ["Ann"]}, "data.name"),
    ("organization.deleted", {"organizationId": "org_1"}, "data.id"),
    ("organization.member.added", {"organizationId": "org_1"}, "data.userId"),
    ("organization.member.added", {"userId": "ann"}, "data.organizationId"),
    ("organization.member.added", {"organizationId": "org_1", "userId": "ann", "members": -1}, "data.members"),
    ("organization.member.added", {"organizationId": "org_1", "userId": "ann", "members": True}, "data.members"),
    ("organization.member.added", {"organizationId": "org_1", "userId": "ann", "members": "3"}, "data.members"),
    ("user.created", ["ann"], "data"),
    ("user.created", None, "data"),
    ("member.joined", {"at": object()}, "data"),
    ("member.joined", {"share": float("nan")}, "data"),
    ("member.joined", {"text": "x" * 70_000}, "data"),
    ("member.joined", "text", "data"),
    ("subscription.created", {}, "topic"),
    ("customer.deleted", {}, "topic"),
    ("bus.dead", {}, "topic"),
    ("User.created", {}, "topic"),
    ("user", {}, "topic"),
    ("user.*", {}, "topic"),
    ("", {}, "topic"),
    (7, {}, "topic"),
]


def open_billing(url: str, stripe: StripeSimulator, **options: Any) -> Billing:
    """An application on a database that has the tables."""
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()
    billing = Billing(stripe_client=stripe, database=url, plans=PLANS, default_plan="free", **options)
    hurry(billing)
    return billing


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe."""
    return StripeSimulator()


@pytest.fixture
def billing(engine_url: str, stripe: StripeSimulator) -> Generator[Billing]:
    """An application without a bus, on every engine."""
    with open_billing(engine_url, stripe) as billing:
        yield billing


def customers(stripe: StripeSimulator) -> list[dict[str, Any]]:
    """The customers at Stripe."""
    rows: dict[str, dict[str, Any]] = stripe.state.world.table("customer").rows
    return list(rows.values())


def test_a_new_user(billing: Billing, stripe: StripeSimulator) -> None:
    """A user who is told of is a customer at Stripe when `publish` returns, and stays one however often it is told."""
    billing.publish("user.created", {"id": "ann", "email": "ann@shop.example", "name": "Ann"})
    billing.publish("user.created", {"id": "ann", "email": "ann@shop.example", "name": "Ann"})

    (ann,) = customers(stripe)
    assert ("ann@shop.example", "Ann") == (ann["email"], ann["name"])
    assert ann["id"] == billing.customers.get("ann").stripe_id  # type: ignore[union-attr]  # it was just told of


def test_a_changed_user(billing: Billing, stripe: StripeSimulator) -> None:
    """What changed of a user is told to Stripe; of somebody who was never billed nothing is."""
    billing.publish("user.created", {"id": "ann", "email": "old@shop.example"})
    billing.publish("user.updated", {"id": "ann", "email": "new@shop.example", "name": "Ann"})
    billing.publish("user.updated", {"id": "ben", "email": "ben@shop.example"})

    assert [("new@shop.example", "Ann")] == [(each["email"], each["name"]) for each in customers(stripe)]


def test_a_deleted_user(billing: Billing, stripe: StripeSimulator) -> None:
    """A user who goes is forgotten; one who pays stays, unless the host says that this is to end."""
    for user in ("ann", "ben"):
        billing.publish("user.created", {"id": user})
    stripe.subscribe("ben", "pro")
    for user in ("ann", "ben", "zoe"):
        billing.publish("user.deleted", {"id": user})

    assert billing.customers.get("ann") is None
    assert "active" == billing.subscriptions.get("ben").status  # type: ignore[union-attr]  # it was just sold
    billing.publish("user.deleted", {"id": "ben", "policy": "cancel"})
    assert billing.customers.get("ben") is None
    assert ["canceled"] == [each["status"] for each in stripe.state.world.table("subscription").rows.values()]


def test_members(billing: Billing, stripe: StripeSimulator) -> None:
    """A member who comes or goes changes the seats at Stripe before `publish` returns (R-128)."""
    stripe.subscribe(ACME, "team")
    for members, topic in ((3, "added"), (4, "added"), (2, "removed")):
        told = {"organizationId": "org_1", "userId": "ann", "members": members}
        billing.publish(f"organization.member.{topic}", told)
        (item,) = stripe.state.world.table("subscription_item").rows.values()
        assert members == item["quantity"]

    billing.publish("organization.member.added", {"organizationId": "org_1", "userId": "zoe", "members": 10})
    assert 2 == billing.subscriptions.get(ACME).seats  # type: ignore[union-attr]  # it was just sold
    billing.publish("organization.member.added", {"organizationId": "org_2", "userId": "zoe", "members": 10})


def test_members_counted(sqlite_url: str, stripe: StripeSimulator) -> None:
    """Without a number in the news the host is asked how many members there are."""
    counts = {"org_1": 5}
    with open_billing(sqlite_url, stripe, member_count=counts.get) as billing:
        stripe.subscribe(ACME, "team")
        counts["org_1"] = 6
        billing.publish("organization.member.added", {"organizationId": "org_1", "userId": "ann"})

        assert 6 == billing.subscriptions.get(ACME).seats  # type: ignore[union-attr]  # it was just sold


def test_stripe_is_down(billing: Billing, stripe: StripeSimulator) -> None:
    """While Stripe does not answer the host's work goes on, and the worker does what is left."""
    stripe.faults.append(Fault("status", 503, times=None))
    billing.publish("user.created", {"id": "ann", "email": "ann@shop.example"})
    stripe.faults.clear()
    assert [] == customers(stripe)
    stripe.clock.move_to(stripe.clock.seconds() + 120)
    billing.jobs.run()

    assert ["ann@shop.example"] == [each["email"] for each in customers(stripe)]


def test_in_a_transaction(billing: Billing, stripe: StripeSimulator) -> None:
    """What is told within the host's transaction is done after its commit, and not at all if it is undone."""
    engine = create_engine(billing.config.database)
    with engine.begin() as transaction:
        billing.publish("user.created", {"id": "ann"}, transaction=transaction)
        transaction.rollback()
    with engine.begin() as transaction:
        billing.publish("user.created", {"id": "ben"}, transaction=transaction)
        assert [] == customers(stripe)
    engine.dispose()
    billing.jobs.run()

    assert ["ben"] == [each["metadata"]["referenceId"] for each in customers(stripe)]


def test_a_key(billing: Billing) -> None:
    """Under a key an event is published once, also by two who do not know of each other; the id tells which."""
    heard: list[Event] = []
    billing.on("member.joined", "member.left")(heard.append)

    ids = [billing.publish("member.joined", {"id": "1"}, idempotency_key="k") for _ in range(3)]
    other = billing.publish("member.left", {"id": "1"}, idempotency_key="k")

    assert 1 == len(set(ids))
    assert [ids[0], other] == [each.id for each in heard]


def test_no_customers(sqlite_url: str, stripe: StripeSimulator) -> None:
    """Who makes no customers at sign-up gets none by the news of one; offline there is no Stripe to tell."""
    with open_billing(sqlite_url, stripe, create_customer_on_sign_up=False) as billing:
        billing.publish("user.created", {"id": "ann"})
    with Billing(database="sqlite://") as offline:
        for topic, data in GOOD:
            offline.publish(topic, data)

    assert [] == customers(stripe)


@pytest.mark.parametrize(("topic", "data"), GOOD)
def test_shapes(sqlite_url: str, stripe: StripeSimulator, topic: str, data: dict[str, Any]) -> None:
    """Every documented shape is taken, for somebody whom nobody knows too; a member that is unknown is ignored."""
    heard: list[Event] = []
    with open_billing(sqlite_url, stripe) as billing:
        billing.on(topic)(heard.append)
        billing.publish(topic, data)
        assert {} == billing.jobs.run().failed

    assert [data] == [dict(each.data) for each in heard]


@pytest.mark.parametrize(("topic", "data", "field"), BAD)
def test_bad_shapes(sqlite_url: str, stripe: StripeSimulator, topic: Any, data: Any, field: str) -> None:
    """What has not the documented shape is refused by its member, and nothing is stored of it."""
    with open_billing(sqlite_url, stripe) as billing:
        heard: list[Event] = []
        billing.on()(heard.append)
        with pytest.raises(InvalidInput) as refused:
            billing.publish(topic, data)
        billing.jobs.run()

    assert field == refused.value.field
    assert [] == heard
    assert [] == customers(stripe)


# ── Over a bus ───────────────────────────────────────────────────────────────────────────────────────────────────────

_NOW = Patience(retry=0.0, deliveries=3)


@pytest.fixture(params=["memory", "redis", "nats", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def opened(
    request: pytest.FixtureRequest, make_database: Callable[[str], str], broker_url: Callable[[str], str], prefix: str
) -> tuple[str, Any]:
    """A database, and a bus or the URL of one, each on its real server."""
    kind: str = request.param
    if kind == "memory":
        return make_database("sqlite"), MemoryBus(patience=_NOW)
    if kind == "postgresql":
        return make_database("postgresql"), "postgresql"
    bus: Bus
    if kind == "redis":
        from kernia_billing.bus.redis import RedisBus

        bus = RedisBus(broker_url("redis"), prefix=prefix, patience=_NOW)
    else:
        from kernia_billing.bus.nats import NatsBus

        bus = NatsBus(broker_url("nats"), prefix=prefix, patience=_NOW)
    return make_database("sqlite"), bus


def test_over_a_bus(opened: tuple[str, Any], stripe: StripeSimulator) -> None:
    """What is published is done by whoever runs the jobs, and what cannot be understood is a dead letter."""
    url, bus = opened
    with open_billing(url, stripe, event_bus=bus) as billing:
        billing.publish("user.created", {"id": "ann", "email": "ann@shop.example"})
        assert [] == customers(stripe)
        strange = Message("event_strange", "user.created", "user:ben", {"data": {"id": 7}})
        _drive(billing, strange)
        billing.publish("member.joined", {"id": "1"})
        billing.publish("user.updated", {"id": "ann", "name": "Ann"})
        for _ in range(20):
            if not billing.jobs.run().counts["bus"] and customers(stripe):
                break

        assert [("ann@shop.example", "Ann")] == [(each["email"], each["name"]) for each in customers(stripe)]
        assert ["event_strange"] == [each.id for each in billing.bus.dead_letters(incoming.GROUP)]


def _drive(billing: Billing, message: Message) -> None:
    from kernia_billing._drive import run_blocking

    bus = billing._wiring.core.bus
    assert bus is not None
    run_blocking(bus.publish([message]))


def test_stripe_is_down_over_a_bus(sqlite_url: str, stripe: StripeSimulator) -> None:
    """A message that Stripe's failure kept from being done comes again."""
    bus = MemoryBus(patience=_NOW)
    with open_billing(sqlite_url, stripe, event_bus=bus) as billing:
        billing.publish("user.created", {"id": "ann"})
        stripe.faults.append(Fault("status", 503, times=None))
        assert {} == billing.jobs.run().failed
        assert [] == customers(stripe)
        stripe.faults.clear()
        stripe.clock.move_to(stripe.clock.seconds() + 2 * MINUTE // 1_000_000)
        billing.jobs.run()

        assert 1 == len(customers(stripe))
        assert [] == list(billing.bus.dead_letters(incoming.GROUP))


def test_others_write_to_redis(sqlite_url: str, broker_url: Callable[[str], str], stripe: StripeSimulator) -> None:
    """A program in another language appends to a stream, as documented, and is understood; rubbish does no harm."""
    import redis

    from kernia_billing.bus.redis import RedisBus

    bus = RedisBus(broker_url("redis"), prefix="others", patience=_NOW)
    client: Any = redis.Redis
    theirs = client.from_url(broker_url("redis"))
    good = json.dumps({"data": {"id": "ann", "email": "ann@shop.example"}})
    theirs.xadd("{others:3}:stream", {"id": "b", "topic": "user.created", "body": "{"})
    theirs.xadd("{others:3}:stream", {"id": "c", "topic": "user.created", "body": "[1]"})
    theirs.xadd("{others:3}:stream", {"what": "ever"})
    theirs.xadd("{others:3}:stream", {"id": "a", "topic": "user.created", "key": "user:ann", "body": good})
    theirs.close()
    with open_billing(sqlite_url, stripe, event_bus=bus) as billing:
        billing.jobs.run()

        assert ["ann@shop.example"] == [each["email"] for each in customers(stripe)]
        assert ["b", "c"] == [each.id for each in billing.bus.dead_letters(incoming.GROUP)]


def test_others_write_to_nats(sqlite_url: str, broker_url: Callable[[str], str], stripe: StripeSimulator) -> None:
    """A program in another language publishes to a subject, as documented, and is understood; rubbish does no harm."""
    import nats

    from kernia_billing.bus.nats import NatsBus

    bus = NatsBus(broker_url("nats"), prefix="others", patience=_NOW)

    async def write() -> None:
        connect: Any = cast("Any", nats).connect
        connection = await connect(broker_url("nats"))
        stream = connection.jetstream()
        good = json.dumps({"data": {"id": "ann", "email": "ann@shop.example"}}).encode()
        await stream.publish("others.events.3.user.created", b"{", headers={"Nats-Msg-Id": "b"})
        await stream.publish("others.events.3.user.created", good)
        await connection.close()

    with open_billing(sqlite_url, stripe, event_bus=bus) as billing:
        assert billing.bus.healthy()
        asyncio.run(write())
        billing.jobs.run()

        assert ["ann@shop.example"] == [each["email"] for each in customers(stripe)]
        assert ["b"] == [each.id for each in billing.bus.dead_letters(incoming.GROUP)]
