"""Stripe's customer id in the host's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text

from kernia_billing import Billing, ConfigError, Plan, Reference
from kernia_billing.domain.host_columns import HostColumn, host_column
from kernia_billing.domain.references import CustomerType
from kernia_billing.errors import InvalidInput
from kernia_billing.testing import StripeSimulator
from tests.harness.tables import make_tables

TEAM = uuid4()
Columns = dict[CustomerType, str]


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """A database with the host's users, whose ids are numbers, and teams, whose ids are texts of their own column."""
    engine = create_engine(engine_url)
    make_tables(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE app_user (id INTEGER PRIMARY KEY, stripe_id VARCHAR(255))"))
        connection.execute(text("CREATE TABLE team (slug VARCHAR(50) PRIMARY KEY, customer VARCHAR(255))"))
        connection.execute(text("INSERT INTO app_user (id, stripe_id) VALUES (7, NULL), (8, 'cus_old')"))
        connection.execute(text("INSERT INTO team (slug, customer) VALUES (:slug, NULL)"), {"slug": str(TEAM)})
    yield engine
    engine.dispose()


def columns(engine: Engine) -> tuple[list[str | None], list[str | None]]:
    """What the host's tables hold."""
    with engine.connect() as connection:
        users = connection.execute(text("SELECT stripe_id FROM app_user ORDER BY id")).scalars().all()
        teams = connection.execute(text("SELECT customer FROM team")).scalars().all()
    return list(users), list(teams)


def test_the_hosts_columns_follow(engine: Engine, engine_url: str) -> None:
    """They get the id with the link and lose it with the customer; nobody else's row changes, nor does a stranger's."""
    given: Columns = {"user": "app_user.stripe_id", "organization": "team.customer:slug"}
    stripe = StripeSimulator()
    with Billing(database=engine_url, stripe_client=stripe, plans=[Plan("free")], mirror_columns=given) as billing:
        user = billing.customers.ensure("7").stripe_id
        team = billing.customers.ensure(Reference(str(TEAM), "organization")).stripe_id
        billing.customers.ensure("no number")
        billing.customers.ensure("9")
        assert columns(engine) == ([user, "cus_old"], [team])

        billing.customers.delete("7")
        assert columns(engine) == ([None, "cus_old"], [team])


@pytest.mark.parametrize("column", ["nowhere.stripe_id", "app_user.nothing", "app_user.stripe_id:nothing"])
def test_a_column_that_is_not_there(engine: Engine, engine_url: str, column: str) -> None:
    """The mistake is named at the first customer, and nobody is linked."""
    stripe = StripeSimulator()
    given: Columns = {"user": column}
    with Billing(database=engine_url, stripe_client=stripe, plans=[Plan("free")], mirror_columns=given) as billing:
        with pytest.raises(ConfigError, match="mirror_columns: "):
            billing.customers.ensure("7")
        assert columns(engine)[0] == [None, "cus_old"]
        found = billing.customers.get("7")
        assert found is None or found.stripe_id is None


def test_how_columns_are_written() -> None:
    """With a key and a schema, or without; nothing else is a column."""
    assert host_column("users.stripe_id") == HostColumn("users", "stripe_id")
    assert host_column("app.users.stripe_id:uid") == HostColumn("users", "stripe_id", "uid", "app")
    for wrong in ("users", "a.b.c.d", "users.stripe id", "users.x:y:z", "users.x\n", '"users".x', ""):
        with pytest.raises(InvalidInput):
            host_column(wrong)
