"""kavachOS's columns of the host's users, kept in step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, DateTime, Engine, Integer, MetaData, String, Table, create_engine, select, text

from kernia_billing import Billing, ConfigError, Plan, Reference
from kernia_billing.domain.host_columns import HostTable, host_table
from kernia_billing.errors import InvalidInput
from kernia_billing.testing import StripeSimulator
from tests.harness.tables import make_tables

PLANS = [Plan("pro", price_id="price_pro")]
USERS = Table(
    "users",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("stripe_customer_id", String(255), unique=True),
    Column("stripe_subscription_id", String(255)),
    Column("stripe_subscription_status", String(50)),
    Column("stripe_price_id", String(255)),
    Column("stripe_current_period_end", DateTime(timezone=True)),
    Column("stripe_cancel_at_period_end", Boolean, nullable=False, server_default=text("FALSE")),
)
NOTHING = (None, None, None, None, None, False)


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """A database with our tables and two users, as kavachOS has them."""
    engine = create_engine(engine_url)
    make_tables(engine)
    USERS.create(engine)
    with engine.begin() as connection:
        connection.execute(USERS.insert(), [{"id": 7}, {"id": 8}])
    yield engine
    engine.dispose()


def held(engine: Engine, user: int = 7) -> tuple[Any, ...]:
    """What the six columns of a user hold; a date without a zone is UTC."""
    with engine.connect() as connection:
        row = connection.execute(select(USERS).where(USERS.c.id == user)).one()[1:]
    return tuple(each.replace(tzinfo=UTC) if isinstance(each, datetime) and not each.tzinfo else each for each in row)


def test_the_columns_follow(engine: Engine, engine_url: str) -> None:
    """From the customer to its deletion they hold what `get_subscription` tells; nobody else's row changes."""
    stripe = StripeSimulator()
    with Billing(database=engine_url, stripe_client=stripe, plans=PLANS, kavach_columns="users") as billing:
        customer = billing.customers.ensure("7").stripe_id
        assert held(engine) == (customer, *NOTHING[1:])

        stripe.subscribe("7", "pro")
        info = billing.kavach.get_subscription("7")
        assert info is not None
        assert info.current_period_end is not None
        assert held(engine) == (customer, info.id, "active", "price_pro", info.current_period_end, False)

        billing.subscriptions.cancel("7")
        assert held(engine) == (customer, info.id, "active", "price_pro", info.current_period_end, True)

        stripe.advance(months=2)
        assert billing.kavach.get_subscription("7") is None
        assert held(engine) == (customer, None, "canceled", None, None, False)

        billing.customers.delete("7")
        assert held(engine) == (None, None, "canceled", None, None, False)

        billing.customers.ensure(Reference("8", "organization"))
        billing.customers.ensure("no number")
        assert held(engine, 8) == NOTHING


def test_the_columns_and_ours_are_one_change(engine: Engine, engine_url: str) -> None:
    """Where the host's row cannot be written, ours is not either, and the mistake is named."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME COLUMN stripe_price_id TO price"))
    stripe = StripeSimulator()
    with Billing(database=engine_url, stripe_client=stripe, plans=PLANS, kavach_columns="users") as billing:
        customer = billing.customers.ensure("7").stripe_id
        assert customer is not None
        stripe.subscribe("7", "pro")
        with pytest.raises(ConfigError, match="kavach_columns: the table users has no column stripe_price_id"):
            billing.customers.link("7", customer)
        assert not billing.subscriptions.list("7")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE users RENAME COLUMN price TO stripe_price_id"))

        billing.customers.link("7", customer)

        assert held(engine)[2] == "active"


def test_columns_of_other_types(sqlite_url: str) -> None:
    """Dates are seconds in whole numbers and ISO 8601 in texts; the key may have its own name."""
    engine = create_engine(sqlite_url)
    make_tables(engine)
    named = ", ".join(f"{each.name} TEXT" for each in USERS.c if isinstance(each.type, String))
    with engine.begin() as connection:
        for table, kind, user in (("seconds", "INTEGER", "ann"), ("texts", "TEXT", "bob")):
            dated = f"stripe_current_period_end {kind}, stripe_cancel_at_period_end INTEGER NOT NULL DEFAULT 0"
            connection.execute(text(f"CREATE TABLE {table} (uid TEXT PRIMARY KEY, {named}, {dated})"))
            connection.execute(text(f"INSERT INTO {table} (uid) VALUES ('{user}')"))
    for table, user in (("seconds", "ann"), ("texts", "bob")):
        stripe = StripeSimulator()
        where = f"main.{table}:uid"
        with Billing(database=sqlite_url, stripe_client=stripe, plans=PLANS, kavach_columns=where) as billing:
            stripe.subscribe(user, "pro")
            info = billing.kavach.get_subscription(user)
        assert info is not None
        assert info.current_period_end is not None
        end = info.current_period_end
        query = f"SELECT stripe_current_period_end, stripe_cancel_at_period_end FROM {table}"
        with engine.connect() as connection:
            found = tuple(connection.execute(text(query)).one())
        assert found == (int(end.timestamp()) if table == "seconds" else end.isoformat(), 0)
    engine.dispose()


@pytest.mark.parametrize("wrong", ["", "users; DROP TABLE users", "a.b.c", "users:", 'us"ers', "users\n", "1users", 5])
def test_what_names_no_table(wrong: Any) -> None:
    """It is refused where the object is made."""
    with pytest.raises(ConfigError, match="kavach_columns"):
        Billing(database="sqlite://", plans=PLANS, kavach_columns=wrong)


def test_how_tables_are_written() -> None:
    """With a key and a schema, or without; nothing else is a table."""
    assert host_table("users") == HostTable("users")
    assert host_table("app.users:uid") == HostTable("users", "uid", "app")
    with pytest.raises(InvalidInput):
        host_table("users.x.y")
