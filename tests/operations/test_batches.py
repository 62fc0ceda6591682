"""Many uses at once: all of them or none, each once for its key, answered in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from kernia_billing import (
    AsyncBilling,
    Billing,
    Feature,
    IdempotencyMismatch,
    InvalidInput,
    Metered,
    Plan,
    Reference,
    Use,
)
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.harness.tables import make_tables

FREE: dict[str, Any] = {
    "plans": [Plan("free", features={"calls": Metered(10), "peak": Metered(10), "users": Metered(10)})],
    "features": [Feature("peak", aggregation="max"), Feature("users", aggregation="unique")],
    "default_plan": "free",
}


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Iterator[Billing]:
    """Everybody has ten of everything; the books are in order in the end."""
    billing = open_billing(**FREE)
    assert [0] == used(billing, "nobody")
    yield billing
    assert [] == [each for each in billing.doctor().findings if each.check != "plans.prices"]


def used(billing: Billing, *references: str | Reference, feature: str = "calls") -> list[int]:
    """How much each has used."""
    return [billing.balances(each)[feature].used for each in references]


def rows(url: str, table: str) -> int:
    """How many rows a table has."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        number = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(number)


def test_answers_come_in_the_order_given(shop: Billing) -> None:
    """Of several customers, of both kinds, with several uses each, whoever is written first."""
    org = Reference("b", "organization")
    uses = [
        Use("c", "calls", 3),
        Use("a", "calls", 2),
        Use(org, "calls", 9),
        Use("a", "peak", 5),
        Use("c", "calls", 8),
        Use("a", "peak", 4),
        Use("b", "users", properties={"value": "u1"}),
    ]
    found = shop.track_many(uses)

    assert [3, 2, 9, 5, 8, 0, 1] == [each.quantity for each in found]
    assert [3, 2, 9, 5, 7, 0, 1] == [each.funded for each in found]
    assert [each.feature for each in uses] == [each.feature for each in found]
    assert [3, 2, 9, 5, 10, 5, 1] == [each.balance.used for each in found]
    assert [2, 0, 9, 10] == used(shop, "a", "b", org, "c")
    assert len(found) == len({each.event_id for each in found})
    assert [8, 3] == [event.quantity for event in shop.usage("c")]


def test_customers_are_locked_in_one_order(shop: Billing, sqlite_url: str) -> None:
    """That of their references, whatever the order of the uses: two calls never wait for each other."""
    shop.track_many([Use(each, "calls") for each in ("c", "a", Reference("b", "organization"), "b", "c")])

    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        made = connection.execute(sa.text("SELECT customer_type, reference_id FROM billing_customer ORDER BY rowid"))
        found = [tuple(row) for row in made]
    engine.dispose()
    assert [("organization", "b"), ("user", "a"), ("user", "b"), ("user", "c")] == found


def test_nothing_is_nothing(shop: Billing, sqlite_url: str) -> None:
    """Without uses nothing is written, and an iterator is taken as it comes."""
    assert [] == list(shop.track_many([]))
    assert 0 == rows(sqlite_url, "billing_customer")
    assert 2 == len(shop.track_many(Use(who, "calls") for who in "ab"))


def test_what_a_use_says_is_stored(shop: Billing, stripe: StripeSimulator) -> None:
    """Its time and its properties, as `track` stores them."""
    when = stripe.now - timedelta(days=3)
    (usage,) = shop.track_many([Use("a", "calls", 2, "k", when, {"model": "x"})])

    (event,) = shop.usage("a")
    assert (usage.event_id, when, {"model": "x"}) == (event.id, event.occurred_at, event.properties)
    assert usage.late
    again = shop.track("a", "calls", 2, idempotency_key="k", occurred_at=when, properties={"model": "x"})
    assert evolve(usage, replayed=True) == again


def test_a_key_counts_once(shop: Billing) -> None:
    """Where it stands twice, and where it was used before; keys belong to their reference."""
    before = shop.track("a", "calls", 1, idempotency_key="old")
    uses = [
        Use("a", "calls", 2, "k"),
        Use("b", "calls", 2, "k"),
        Use("a", "calls", 2, "k"),
        Use("a", "calls", 1, "old"),
        Use("a", "calls", 4),
        Use("a", "calls", 4),
    ]
    found = shop.track_many(uses)

    assert [False, False, True, True, False, False] == [each.replayed for each in found]
    assert found[2] == evolve(found[0], replayed=True)
    assert found[3] == evolve(before, replayed=True)
    assert found[0].event_id != found[1].event_id
    again = shop.track_many(uses[:4])
    assert [evolve(each, replayed=True) for each in found[:4]] == list(again)
    assert [10, 2] == used(shop, "a", "b")


@pytest.mark.parametrize("before", [True, False])
def test_a_key_used_for_something_else_writes_nothing(shop: Billing, sqlite_url: str, before: bool) -> None:
    """Not even for others, whether it was used before or in the same call."""
    first = [Use("b", "calls", 1, "k")]
    if before:
        shop.track_many(first)
    events = rows(sqlite_url, "billing_usage_event")
    with pytest.raises(IdempotencyMismatch):
        shop.track_many([Use("a", "calls"), *first, Use("c", "calls"), Use("b", "calls", 2, "k")])

    assert events == rows(sqlite_url, "billing_usage_event")
    assert [0, int(before), 0] == used(shop, "a", "b", "c")


def test_every_mistake_is_named(shop: Billing, sqlite_url: str) -> None:
    """By its position, all of them at once; nothing is written."""
    wrong: list[Any] = [
        Use("a", "calls"),
        Use("", "calls"),
        Use("a", "callz"),
        Use("a", "calls", 0),
        ("a", "calls"),
        Use("a", "calls", idempotency_key="a b"),
        Use("a", "calls", occurred_at=datetime(2035, 1, 1, tzinfo=UTC)),
        Use("a", "calls", properties={"a": 1.5}),  # type: ignore[dict-item]  # on purpose
        Use("a", "users"),
    ]
    with pytest.raises(InvalidInput) as caught:
        shop.track_many(wrong)

    fields = ["[1].reference", "[2].feature", "[3].quantity", "[4]", "[5].idempotency_key", "[6].occurred_at"]
    fields += ["[7].properties.a", "[8].properties.value"]
    assert [f"uses{each}" for each in fields] == [each.split()[0] for each in caught.value.message.split("; ")]
    assert "uses[1].reference" == caught.value.field
    assert 0 == rows(sqlite_url, "billing_customer")


def test_as_many_as_one_call_takes(shop: Billing, sqlite_url: str) -> None:
    """A thousand; of one more none is written, and of many mistakes the first are named."""
    with pytest.raises(InvalidInput) as caught:
        shop.track_many([Use("a", "calls")] * 1_001)
    assert "uses" == caught.value.field
    with pytest.raises(InvalidInput) as many:
        shop.track_many([Use("a", "calls", 0)] * 30)
    assert many.value.message.endswith("; and 10 more")
    assert 0 == rows(sqlite_url, "billing_customer")

    found = shop.track_many([Use(f"u{number % 7}", "calls", idempotency_key=str(number)) for number in range(1_000)])
    assert (1_000, 70) == (len(found), sum(each.funded for each in found))
    assert 1_000 == rows(sqlite_url, "billing_usage_event")


def open_on(url: str) -> Billing:
    """A shop on a database."""
    engine = sa.create_engine(url)
    make_tables(engine)
    engine.dispose()
    return Billing(stripe_client=StripeSimulator(), database=url, **FREE)


def test_written_whole_on_every_engine(engine_url: str) -> None:
    """In the host's transaction, which decides; a repeated call after a rollback is the first."""
    uses = [Use(who, "calls", 1, "k") for who in ("b", "a", "b", "c")]
    with open_on(engine_url) as billing:
        billing.track("b", "calls", 5)
        engine = sa.create_engine(engine_url)
        for ends, replayed in (("rollback", False), ("commit", False), ("commit", True)):
            with engine.connect() as host:
                found = billing.track_many(uses, transaction=host)
                assert [replayed, replayed, True, replayed] == [each.replayed for each in found]
                getattr(host, ends)()
            assert (ends == "commit") is (1 == used(billing, "a")[0])
        engine.dispose()
        assert [1, 6, 1] == used(billing, "a", "b", "c")
        assert [] == [each for each in billing.doctor().findings if each.check != "plans.prices"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]
)
def test_a_snapshot_of_the_host_that_hides_a_key(name: str, make_database: Callable[[str], str]) -> None:
    """What was committed after the host's first read is found all the same; SQLite tells such a host to begin anew."""
    url = make_database(name)
    with open_on(url) as billing:
        first = billing.track("a", "calls", 1)
        engine = sa.create_engine(url)
        with engine.connect() as host:
            host.execute(sa.text("SELECT count(*) FROM billing_usage_event"))
            known = billing.track("a", "calls", 2, idempotency_key="k")
            other = billing.track("z", "calls", 2, idempotency_key="k")
            uses = [Use("a", "calls", 2, "k"), Use("z", "calls", 2, "k"), Use("a", "calls", 3)]
            found = billing.track_many(uses, transaction=host)
            host.commit()
        engine.dispose()
        assert [True, True, False] == [each.replayed for each in found]
        assert [known.event_id, other.event_id] == [each.event_id for each in found[:2]]
        assert first.event_id not in {each.event_id for each in found}
        assert [6, 2] == used(billing, "a", "z")


def test_calls_in_opposite_orders_do_not_wait_for_each_other(engine_url: str) -> None:
    """Several at once, new customers among them, every two of them with the same keys: every use is counted once."""
    names = [f"u{number}" for number in range(6)]
    with open_on(engine_url) as billing:

        def call(number: int) -> int:
            order = names if number % 2 else names[::-1]
            return len(billing.track_many([Use(who, "calls", 1, f"{number // 2}") for who in order]))

        with ThreadPoolExecutor(4) as pool:
            assert [6] * 8 == list(pool.map(call, range(8)))
        assert [4] * 6 == used(billing, *names)
        assert [] == [each for each in billing.doctor().findings if each.check != "plans.prices"]


@pytest.mark.anyio
async def test_on_asyncio(tmp_path: Any) -> None:
    """`AsyncBilling` has the same calls."""
    simulator = AsyncStripeSimulator()
    async with AsyncBilling(stripe_client=simulator, database=f"sqlite:///{tmp_path / 'a.sqlite'}", **FREE) as billing:
        first, second = await billing.track_many([Use("b", "calls", 3), Use("a", "calls", 2)])
        assert (3, 2) == (first.funded, second.funded)
        assert 3 == (await billing.refund("b", first.event_id)).restored
        assert 7 == (await billing.set_usage("a", "calls", 7)).balance.used
