"""Copies of the database that a history starts from: each heard of it in its own way, and can be set back."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from attrs import define, evolve, field
from sqlalchemy import Engine, Select, bindparam, insert, select

from kernia_billing import Billing
from kernia_billing.domain.answers import Receipt
from kernia_billing.domain.instants import FOREVER, Instant
from kernia_billing.storage.engines import blocking_engine
from kernia_billing.storage.tables import metadata
from kernia_billing.testing.simulator.webhooks.signing import signature
from tests.convergence.scene import Scene, new_billing
from tests.convergence.tape import Tape, Told, Version
from tests.harness.tables import make_tables

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class Keeper(Protocol):
    """Takes a database's contents, and puts contents back."""

    def take(self) -> Any:
        """Everything in it."""
        ...

    def put(self, contents: Any) -> None:
        """Make it that."""
        ...


@define(eq=False)
class MemoryKeeper:
    """Of an SQLite database in memory: its bytes."""

    engine: Engine

    def take(self) -> bytes:
        """The bytes of the database."""
        return bytes(self._driver().serialize())

    def put(self, contents: bytes) -> None:
        """Other bytes, by a connection of their own: SQLite does not survive them beneath a prepared statement."""
        source = sqlite3.connect(":memory:")
        try:
            source.deserialize(contents)
            source.backup(self._driver())
        finally:
            source.close()

    def _driver(self) -> Any:
        with self.engine.connect() as connection:
            return connection.connection.driver_connection


@define(eq=False)
class RowKeeper:
    """Of any database: its rows, but for what hooks heard, whose numbers are the database's own."""

    engine: Engine

    def take(self) -> Rows:
        """Every row of every table."""
        with self.engine.connect() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in metadata.sorted_tables
                if table.name != "billing_outbox"
            }

    def put(self, contents: Rows) -> None:
        """These rows and no others."""
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
            for table in metadata.sorted_tables:
                if rows := contents.get(table.name):
                    connection.execute(insert(table), list(rows))


@define(eq=False)
class Copy:
    """A database that hears of a history from its tape."""

    tape: Tape
    keeper: Keeper
    engine: Engine
    billing: Billing
    secret: str = field(repr=False)
    delivered: int = 0

    @classmethod
    def of(cls, scene: Scene, tape: Tape, url: str = "sqlite://") -> Copy:
        """A new database at that URL."""
        engine = blocking_engine(url)
        make_tables(engine)
        billing = new_billing(scene.stripe, engine)
        wiring = billing._wiring
        wiring.core = evolve(wiring.core, stripe=tape, clock=tape)
        keeper: Keeper = MemoryKeeper(engine) if url == "sqlite://" else RowKeeper(engine)
        return cls(tape, keeper, engine, billing, scene.stripe.webhook_secret)

    def hear(self, told: Told, version: Version) -> Receipt:
        """Have an event delivered at the tape's moment."""
        self.delivered += 1
        body = told.bodies[version]
        signed = signature(body, self.secret, self.tape.now() // 1_000_000)
        return self.billing.webhooks.receive(body, signed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.billing.close()
        self.engine.dispose()


_OURS = frozenset({"customer_id", "updated_at"})
_LEFT_OUT: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"id", "email", "name", "ledger_seq", "config_epoch", "created_at"}),
    "subscription": frozenset({"id", "plan_version_id"}),
    "invoice": frozenset(),
    "subscription_schedule": frozenset(),
    "payment_method": frozenset(),
    "stripe_customer": frozenset(),
    "product": frozenset(),
    "price": frozenset(),
    "plan_price": frozenset(),
    "entitlement": frozenset({"id", "source_id", "created_seq"}),
    "bucket": frozenset({"id", "entitlement_id"}),
    "checkout_session": frozenset(),
    "webhook_event": frozenset(),
}
"""The tables that must be equal, but for the ids and the times that each database gives by itself."""
_DONE = ("processed", "ignored")


def _query(name: str) -> Select[Any]:
    """What counts of a table. What was given or there until it ended is history, which an import does not know."""
    table = metadata.tables[f"billing_{name}"]
    query = select(*(column for column in table.c if column.name not in _LEFT_OUT[name] | _OURS))
    match name:
        case "entitlement":
            return query.where(table.c.closed_at == FOREVER, table.c.expires_at > bindparam("now"))
        case "bucket":
            return query.where(table.c.closed_at == FOREVER, table.c.period_end > bindparam("now"))
        case "checkout_session":
            return query.where(table.c.status == "open")
        case "webhook_event":
            return query.where(table.c.status.not_in(_DONE))
        case "payment_method":
            return query.where(table.c.detached == 0)
        case "product" | "price" | "invoice" | "subscription_schedule":
            return query.where(table.c.deleted == 0)
        case _:
            return query


_QUERIES = {name: _query(name) for name in _LEFT_OUT}
State = Mapping[str, Sequence[tuple[Any, ...]]]


def state_of(engine: Engine, now: Instant) -> State:
    """What a database says at that time of Stripe's objects and of what they give."""
    with engine.connect() as connection:
        found = {name: connection.execute(query, {"now": now}).all() for name, query in _QUERIES.items()}
    rows = {name: sorted((tuple(map(_plain, row)) for row in each), key=repr) for name, each in found.items()}
    # Of a deleted customer Stripe says nothing but that it is deleted.
    return rows | {"stripe_customer": [row[:2] if row[1] else row for row in rows["stripe_customer"]]}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, str)) else repr(value)


def difference(one: State, other: State) -> dict[str, tuple[list[Any], list[Any]]]:
    """The rows that only one of two states has, by table."""
    return {
        name: (
            [row for row in one[name] if row not in other[name]],
            [row for row in other[name] if row not in one[name]],
        )
        for name in one
        if one[name] != other[name]
    }


def told_apart(one: State, other: State) -> str:
    """The difference in words."""
    return "\n".join(
        f"{name}: only here {mine}, only there {theirs}" for name, (mine, theirs) in difference(one, other).items()
    )
