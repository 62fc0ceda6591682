"""A shop whose customers are alike: one subscribes, by the library and Stripe's simulator; the others are copies."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from attrs import field, frozen
from sqlalchemy import Engine, Select, Table, create_engine, func, select

from kernia_billing import Billing, Metered, Plan
from kernia_billing.storage import tables
from kernia_billing.storage.migrations import upgrade
from kernia_billing.testing import StripeSimulator
from tests.servers import Servers

from .filling import fill, numbered, settle

FEATURE = "messages"
PLANS = [Plan("pro", price_id="price_pro", features={FEATURE: Metered(10**9)})]
REFERENCE = "shopper"
KEY = "sk_test_benchmark"
SECRET = "whsec_benchmark"  # noqa: S105 - of a Stripe account that is not there
UNPACED = 10_000
"""Requests a second to Stripe: more than can be made here, so that our pace for a sandbox is not what is measured."""

_SHARED = (tables.setting, tables.plan, tables.plan_feature)
_OWNED = (
    tables.customer,
    tables.subscription,
    tables.stripe_object,
    tables.entitlement,
    tables.bucket,
    tables.usage_event,
    tables.ledger,
)
_IDENTITIES = ("id", "reference_id", "stripe_customer_id", "stripe_subscription_id", "stripe_id", "idempotency_key")

Row = Mapping[str, Any]


@frozen
class Seed:
    """The rows of one customer who subscribed and used one unit, and what Stripe says of the subscription."""

    rows: Mapping[str, Sequence[Row]] = field(repr=False)
    identities: frozenset[str] = field(repr=False)
    subscription: Mapping[str, Any] = field(repr=False)
    event: Mapping[str, Any] = field(repr=False)

    def one(self, table: Table) -> Row:
        """The last row of a table."""
        return self.rows[table.name][-1]

    def stored(self, table: Table) -> Row:
        """The same in the form that a driver takes."""
        return {
            name: json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, dict) else value
            for name, value in self.one(table).items()
        }

    def copy(self, row: Row, number: int) -> Row:
        """The row of another customer: whatever names this one gets a number behind it."""
        return {name: f"{value}_{number}" if self.is_identity(value) else value for name, value in row.items()}

    def is_identity(self, value: object) -> bool:
        """Whether it names this customer, or something that is only its own."""
        return isinstance(value, str) and value in self.identities


@cache
def seed() -> Seed:
    """One customer, made through the public API."""
    with tempfile.TemporaryDirectory(prefix="kernia-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'seed.sqlite'}"
        stripe = StripeSimulator(ticking=True, api_key=KEY, webhook_secret=SECRET)
        with Billing(stripe_client=stripe, database=url, plans=PLANS) as billing:
            stripe.subscribe(REFERENCE, "pro")
            billing.track(REFERENCE, FEATURE)
        rows = _rows(url)
    owner = rows[tables.subscription.name][0]["stripe_subscription_id"]
    rows[tables.stripe_object.name] = [row for row in rows[tables.stripe_object.name] if row["stripe_id"] == owner]
    identities = {row[name] for table in _OWNED for row in rows[table.name] for name in _IDENTITIES if name in row}
    return Seed(
        rows,
        frozenset(identities),
        subscription=_subscription(stripe, owner),
        event=next(event for event in stripe.events if event["type"] == "customer.subscription.created"),
    )


def _rows(url: str) -> dict[str, Sequence[Row]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in (*_SHARED, *_OWNED)
            }
    finally:
        engine.dispose()


def _subscription(stripe: StripeSimulator, subscription_id: str) -> Mapping[str, Any]:
    """The subscription as our client gets it: in the version and with the expansion that it asks for."""
    path = f"/v1/subscriptions/{subscription_id}"
    asked = next(each for each in stripe.requests if each.method == "GET" and each.path == path)
    headers = {"authorization": f"Bearer {KEY}", "stripe-version": asked.headers["stripe-version"]}
    with httpx.Client(transport=stripe.transport, headers=headers) as client:
        answer = client.get(f"https://api.stripe.com{path}", params={"expand[0]": "latest_invoice"})
    found: Mapping[str, Any] = json.loads(answer.content)
    return found


@frozen
class Shop:
    """A database with so many customers, numbered from 1."""

    url: str
    engine: Engine = field(repr=False)
    customers: int
    seed: Seed = field(repr=False)

    @property
    def flavour(self) -> str:
        """The engine: "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    @property
    def references(self) -> Sequence[str]:
        """Whom they are billed to."""
        return [f"{REFERENCE}_{number}" for number in range(1, self.customers + 1)]

    def problems(self, acknowledged: int) -> Sequence[str]:
        """In what respect the books are wrong: used = ledger = events for every customer, and all of it acknowledged.

        `acknowledged` is how many units were used since the shop opened.
        """
        bucket, ledger, event, customer = tables.bucket.c, tables.ledger.c, tables.usage_event.c, tables.customer.c
        used = self._by_customer(select(bucket.customer_id, func.sum(bucket.used)).group_by(bucket.customer_id))
        lines = self._by_customer(select(ledger.customer_id, func.sum(ledger.amount)).group_by(ledger.customer_id))
        events = self._by_customer(select(event.customer_id, func.sum(event.funded)).group_by(event.customer_id))
        last = self._by_customer(select(event.customer_id, func.max(event.seq)).group_by(event.customer_id))
        seen = self._by_customer(select(customer.id, customer.ledger_seq))
        found: list[str] = []
        if not used == lines == events:
            found.append("used, ledger and events differ")
        if last != seen:
            found.append("a sequence has gaps")
        if sum(used.values()) != self.customers + acknowledged:
            found.append(f"{acknowledged} acknowledged, {sum(used.values()) - self.customers} stored")
        return found

    def _by_customer(self, query: Select[Any, Any]) -> dict[str, int]:
        with self.engine.connect() as connection:
            return {name: int(number) for name, number in connection.execute(query)}


def online(shop: Shop, answer: Callable[[httpx.Request], httpx.Response]) -> Billing:
    """A library on the shop that asks a Stripe in this process, through httpx. Closed by its caller."""
    return Billing(
        database=shop.url,
        plans=PLANS,
        stripe_key=KEY,
        stripe_webhook_secrets=[SECRET],
        stripe_client=httpx.Client(transport=httpx.MockTransport(answer)),
        stripe_rate_limit=UNPACED,
        base_url="http://localhost:8000",
    )


@contextmanager
def open_shop(servers: Servers, engine: str, customers: int) -> Generator[Shop]:
    """A shop in a new database, which goes when the shop closes."""
    url = servers.create_database(engine)
    own = create_engine(url)
    try:
        upgrade(own)
        _fill(own, seed(), customers)
        yield Shop(url, own, customers, seed())
    finally:
        own.dispose()
        servers.drop_database(url)


def _fill(engine: Engine, one: Seed, customers: int) -> None:
    with engine.begin() as connection:
        for table in _SHARED:
            if rows := one.rows[table.name]:
                connection.execute(table.insert(), [dict(row) for row in rows])
        for table in _OWNED:
            for row in one.rows[table.name]:
                named = {name: numbered(f"{value}_") for name, value in row.items() if one.is_identity(value)}
                fill(connection, table, row, customers, named)
    settle(engine)
