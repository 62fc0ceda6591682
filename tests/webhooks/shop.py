"""An application on a simulated Stripe: what the tests between Stripe and the tables work on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field
from sqlalchemy import Engine, create_engine, select

from kernia_billing import AsyncBilling, Billing, Metered, Plan, Quantity
from kernia_billing.domain.answers import Checkout, Receipt, Subscription
from kernia_billing.storage.tables import metadata
from kernia_billing.testing import StripeSimulator
from tests.harness.tables import make_tables
from tests.simulator.shop import Shop as Account

T = TypeVar("T")
R = TypeVar("R")
Rows = dict[str, list[dict[str, Any]]]

PLANS = (
    Plan("free", features={"projects": Quantity(1), "messages": Metered(10)}),
    Plan(
        "pro",
        price_id="price_pro",
        annual_price_id="price_pro_year",
        features={"projects": Quantity(5), "messages": Metered(100)},
    ),
    Plan("team", price_id="price_team", features={"projects": Quantity(50), "messages": Metered(1_000)}),
    Plan("trial", price_id="price_trial", trial_days=14, features={"projects": Quantity(5)}),
    Plan("crew", price_id="price_crew", seat_price_id="price_crew_seat", seats=True, min_seats=2, max_seats=20),
    Plan("desk", price_id="price_desk", seats=True),
    Plan("metered", price_id="price_metered", metered=True, features={"messages": Metered(unlimited=True)}),
    Plan("keyed", lookup_key="keyed_month", annual_lookup_key="keyed_year", features={"projects": Quantity(7)}),
    Plan("extra", price_id="price_extra", group="extras", features={"messages": Metered(5)}),
    Plan("mapped", features={"projects": Quantity(9)}),
)
ORIGIN = "https://shop.example"
NEWS = ("webhook_event", "outbox", "stripe_object")
"""Tables that note every event, whatever it is about."""


class NoWait:
    """A pace at which nobody waits between two attempts."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Do not."""
        self.waited.append(seconds)

    def jitter(self) -> float:
        """None."""
        return 0.0

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """One after the other."""
        assert limit > 0
        return [await function(each) for each in items]


def hurry(billing: Billing | AsyncBilling) -> NoWait:
    """Let the calls of `billing` to Stripe be repeated without pauses."""
    pace = NoWait()
    stripe: Any = billing._wiring.core.stripe
    stripe._pace = pace
    return pace


@define(eq=False)
class Shop:
    """A `Billing` on a database, the account that it sells on, and what is needed to look at both."""

    url: str
    deliver: Any = "auto"
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    stripe: StripeSimulator = field(init=False)
    account: Account = field(init=False)
    billing: Billing = field(init=False)
    _opened: list[Billing] = field(factory=list[Billing], init=False)
    _watcher: Engine | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.url.startswith("sqlite"):
            engine = create_engine(self.url)
            make_tables(engine)
            engine.dispose()
        self.stripe = StripeSimulator(deliver=self.deliver)
        self.account = Account(self.stripe)
        self.billing = self.open(**self.options)

    def open(self, url: str | None = None, **options: Any) -> Billing:
        """One more process of the application, as it were; events go to it from now on."""
        given: dict[str, Any] = {
            "database": url or self.url,
            "stripe_client": self.stripe,
            "plans": PLANS,
            "default_plan": "free",
            "base_url": ORIGIN,
        }
        billing = Billing(**{**given, **options})
        hurry(billing)
        self._opened.append(billing)
        return billing

    def close(self) -> None:
        """Close everything."""
        for billing in self._opened:
            billing.close()
        if self._watcher is not None:
            self._watcher.dispose()
            self._watcher = None
        self.account.http.close()

    # ── Buying ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def upgrade(self, reference: str = "ann", plan: str = "pro", **options: Any) -> Checkout:
        """Open a checkout page."""
        given: dict[str, Any] = {"success_url": "/welcome?s={CHECKOUT_SESSION_ID}", "cancel_url": "/plans", **options}
        return self.billing.subscriptions.upgrade(reference, plan, **given)

    def buy(self, reference: str = "ann", plan: str = "pro", **options: Any) -> Subscription:
        """Buy a plan, and let the news of it arrive."""
        opened = self.upgrade(reference, plan, **options)
        self.stripe.pay(opened)
        if self.deliver == "manual":
            self.stripe.deliver()
        bought = self.billing.subscriptions.get(reference, group=self.group(plan))
        assert bought is not None
        return bought

    @staticmethod
    def group(plan: str) -> str:
        """The group of a plan."""
        return next((each.group for each in PLANS if each.key == plan), "default")

    def subscription(self, reference: str = "ann") -> Subscription:
        """What the reference is subscribed to."""
        found = self.billing.subscriptions.get(reference)
        assert found is not None
        return found

    def customer(self, reference: str = "ann") -> str:
        """The Stripe customer of a reference."""
        found = self.billing.customers.get(reference)
        assert found is not None
        assert found.stripe_id is not None
        return found.stripe_id

    def change_price(self, subscription_id: str, price: str) -> None:
        """Switch a subscription to another price, as in the dashboard."""
        (item,) = self.account.subscription(subscription_id)["items"]["data"]
        self.account.post(
            f"/v1/subscriptions/{subscription_id}", {"items[0][id]": item["id"], "items[0][price]": price}
        )

    # ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def event_ids(self, *types: str) -> list[str]:
        """The ids of the events of these types, oldest first; of all without types."""
        return [str(each["id"]) for each in self.stripe.events if not types or each["type"] in types]

    def event(self, type: str) -> dict[str, Any]:
        """The newest event of a type."""
        return dict(next(each for each in reversed(self.stripe.events) if each["type"] == type))

    def post(self, event: object, billing: Billing | None = None) -> Receipt:
        """Deliver an event of the test's own, signed."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return (billing or self.billing).webhooks.receive(body, self.stripe.sign(body))

    def inbox(self) -> dict[str, dict[str, Any]]:
        """The stored events by id."""
        return {row["event_id"]: row for row in self.rows()["webhook_event"]}

    # ── Tables and requests ─────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> Rows:
        """Every row of every table, in the order of its key; by the tables' names without `billing_`."""
        if self._watcher is None:
            self._watcher = create_engine(self.url)
        return read_rows(self._watcher)

    def called(self, method: str, path: str) -> list[Any]:
        """The requests of a method to a path; a path that ends in "/" stands for all below it."""
        return [
            each
            for each in self.stripe.requests
            if each.method == method and (each.path.startswith(path) if path.endswith("/") else each.path == path)
        ]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """What Stripe has of a kind."""
        return list(self.stripe.state.world.table(kind).rows.values())


_QUERIES = [
    (table.name.removeprefix("billing_"), select(table).order_by(*table.primary_key))
    for table in metadata.tables.values()
]


def rows_of(url: str) -> Rows:
    """Every row of every billing table of a database."""
    engine = create_engine(url)
    try:
        return read_rows(engine)
    finally:
        engine.dispose()


def read_rows(engine: Engine) -> Rows:
    """The same over an engine that stays open."""
    with engine.connect() as connection:
        return {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in _QUERIES}


_OURS = {"id", "entitlement_id", "bucket_id", "created_seq", "ledger_seq", "config_epoch", "seq", "source_id"}
"""Columns that count or name what happened here, and say nothing of the state."""


def state(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """What was sold and is allowed, without the names that each database gives by itself."""
    tables = ("customer", "subscription", "checkout_session", "entitlement", "bucket", "product", "price", "plan_price")
    return {
        name: sorted(({k: v for k, v in row.items() if k not in _OURS} for row in rows[name]), key=repr)
        for name in tables
    }


def without(rows: Rows, *tables: str) -> Rows:
    """The rows of all but these tables."""
    return {name: each for name, each in rows.items() if name not in tables}


def copied(url: str, folder: Path, name: str) -> str:
    """The URL of a copy of an SQLite file, which nobody may have open."""
    source = url.removeprefix("sqlite:///")
    target = folder / f"{name}.sqlite"
    shutil.copyfile(source, target)
    return f"sqlite:///{target}"


@contextmanager
def opened(shop: Shop) -> Generator[Shop]:
    """The shop, closed at the end."""
    try:
        yield shop
    finally:
        shop.close()


def envelope(type: str, subject: Mapping[str, Any], id: str, **members: Any) -> dict[str, Any]:
    """An event about an object, as Stripe wraps it."""
    return {
        "id": id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_768_478_400,
        "data": {"object": dict(subject)},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
        **members,
    }
