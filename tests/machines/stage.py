"""An application with one customer, who is given whatever a test says, on a clock that stands."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from attrs import define, evolve, field
from sqlalchemy import Engine, create_engine, text

from kernia_billing import Billing, Credits, Feature, Metered, Plan
from kernia_billing._drive import run_blocking
from kernia_billing.domain.grants import holding
from kernia_billing.domain.instants import FOREVER, Instant, to_instant
from kernia_billing.domain.plan_items import PlanItem, PlanVersion
from kernia_billing.domain.references import Reference
from kernia_billing.operations.core import Core
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.grants import apply_plans
from kernia_billing.operations.ledger import Books
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.tables import metadata
from kernia_billing.testing.conformance import rows
from tests.harness.processes import RemoteStripe, StandingClock
from tests.harness.tables import make_tables

T = TypeVar("T")

START: Instant = to_instant(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
REFERENCE = "org"


def instant(text: str | None) -> Instant:
    """A time of the worked examples; null is never."""
    return FOREVER if text is None else to_instant(datetime.fromisoformat(text))


@define(eq=False)
class Stage:
    """A `Billing` that knows `features`; nobody has any of them who is not given it. Stripe is never asked.

    `engine` is for looking at the rows.
    """

    database: Any
    features: Mapping[str, Metered | Credits]
    declared: Sequence[Feature] = ()
    clock: StandingClock = field(factory=lambda: StandingClock(START))
    billing: Billing = field(init=False)
    engine: Engine = field(init=False)
    _given: int = field(init=False, default=0)
    _nowhere: socket.socket = field(init=False, factory=socket.socket)

    def __attrs_post_init__(self) -> None:
        in_memory = self.database == "sqlite://"
        self.engine = create_engine(self.database)
        make_tables(self.engine)
        self.billing = Billing(
            database=self.engine if in_memory else self.database,
            stripe_client=RemoteStripe("sk_test_stage", "whsec_stage", self.clock, self._nowhere),
            plans=[Plan("pro", price_id="price_pro", features=self.features)],
            features=self.declared,
        )

    def close(self) -> None:
        """Close every connection."""
        self.billing.close()
        self.engine.dispose()
        self._nowhere.close()

    def clear(self) -> None:
        """Begin anew, with an empty database and at the first instant."""
        self.clock.micros = START
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())

    # ── What is given ────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, feature: str, amount: int | None, *, used: int = 0, **more: Any) -> str:
        """A grant, of any kind; gives its id. `used` units of it are gone already."""
        self._given += 1
        row = rows.grant(
            feature=feature,
            amount=amount,
            source_type="manual",
            source_id=f"gift {self._given}",
            effective_at=self.clock.micros,
            anchor_at=self.clock.micros,
        )
        grant = evolve(row, **{"interval": None, **more})

        def give(books: Books, _: Transaction) -> str:
            given = books.give(grant)
            books.move(holding(given, None, self.clock.micros), used, "carry")
            return given.id

        return self._write(give)

    def amend(self, grant_id: str, amount: int) -> None:
        """A grant includes another amount, also in its running period."""

        def amend(books: Books, tx: Transaction) -> None:
            held = tx.entitlements.of_customer(books.customer.id, None, self.clock.micros)
            grant, bucket = next(each for each in held if each[0].id == grant_id)
            changed = evolve(grant, amount=amount)
            books.put(changed)
            books.amend(books.open(holding(changed, bucket, self.clock.micros)), amount)

        self._write(amend)

    def change_plan(self, *items: PlanItem, seats: int = 1) -> None:
        """The subscription gives these from now on, as if Stripe had told of another plan."""
        self._given += 1
        version = PlanVersion(f"plan:{self._given}", "pro", self._given, f"content {self._given}", items)

        def change(books: Books, tx: Transaction) -> None:
            tx.plans.add(version, title=None, now=self.clock.micros)
            row = rows.subscription(
                customer_id=books.customer.id,
                plan="pro",
                plan_version_id=version.id,
                item_id="item",
                seats=seats,
                billing_cycle_anchor=START,
                created_at=START,
                stripe_subscription_id="sub_stage",
            )
            tx.subscriptions.put(row)
            ticket = tx.objects.take_ticket("subscription", row.stripe_subscription_id)
            tx.objects.apply("subscription", row.stripe_subscription_id, ticket, deleted=False, now=self.clock.micros)
            apply_plans(self.core, tx, books, [row])

        self._write(change)

    # ── What is looked at ────────────────────────────────────────────────────────────────────────────────────────────

    def judge(self) -> None:
        """Fail if any row contradicts another."""
        found = [each for each in self.billing.doctor().findings if each.check != "plans.prices"]
        assert not found, found

    def buckets(self) -> list[dict[str, Any]]:
        """The rows of all buckets, with those of their grants under the names `grant_...`."""
        grants = {each["id"]: each for each in self.rows("entitlement")}
        return [
            {**each, **{f"grant_{name}": value for name, value in grants[each["entitlement_id"]].items()}}
            for each in self.rows("bucket")
        ]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        with self.engine.connect() as connection:
            found = connection.execute(text(f"SELECT * FROM billing_{table}")).mappings().all()
            connection.rollback()
        return [
            {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
            for row in found
        ]

    @property
    def core(self) -> Core:
        """What the operations of this application work with."""
        return self.billing._wiring.core

    def _write(self, work: Callable[[Books, Transaction], T]) -> T:
        def unit(tx: Transaction) -> T:
            customer = lock_or_add(self.core, tx, Reference(REFERENCE, "user"), self.clock.micros)
            books = Books(tx, self.core.ids, customer, self.clock.micros)
            answer = work(books, tx)
            books.close()
            return answer

        return run_blocking(self.core.store.transaction(unit))
