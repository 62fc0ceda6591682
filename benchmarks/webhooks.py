"""Webhook intake, one delivery at a time, beside verifying, deduplicating and writing with the bare driver.

Each delivery says that a subscription changed. Ours stores it, asks Stripe (answered in this process, through httpx and
our client), projects what it hears and notes the end; the baseline verifies the same bytes, inserts the same inbox row
and updates the same subscription row, in one transaction, taking the state from the event.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

import httpx
from attrs import define, evolve, field
from sqlalchemy import func, select

from kernia_billing.storage import tables

from .drivers import Cursor, cursor_of
from .harness import Bench, Benchmark, Result, compare, in_turn, one_caller_given
from .shop import SECRET, Seed, Shop, online, open_shop

Delivery = tuple[bytes, str]
_INSERT = (
    "INSERT INTO billing_webhook_event (account, event_id, event_type, livemode, api_version, object_kind, object_id,"
    " payload, created_at, received_at, status, attempts, lease_until)"
    " VALUES ({p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}, 'processed', 1, 0)"
    " ON CONFLICT (account, event_id) DO NOTHING"
)
_UPDATE = (
    "UPDATE billing_subscription SET status = {p}, cancel_at_period_end = {p}, updated_at = {p}"
    " WHERE stripe_subscription_id = {p} AND updated_at < {p}"
)


@define
class _Stripe:
    """An account in which each subscription changes its mind with every delivery."""

    seed: Seed
    cancels: dict[str, bool] = field(factory=dict[str, bool])
    _template: str = field(init=False)
    _subscription_id: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._subscription_id = str(self.seed.subscription["id"])
        self._template = json.dumps(self.seed.subscription)

    def change(self, number: int) -> Delivery:
        """The delivery after a change of the subscription of this number."""
        subscription_id = f"{self._subscription_id}_{number}"
        self.cancels[subscription_id] = not self.cancels.get(subscription_id, False)
        event = {
            **self.seed.event,
            "id": f"evt_{next(_EVENTS)}",
            "type": "customer.subscription.updated",
            "created": int(time.time()),
            "data": {"object": self._object(subscription_id)},
        }
        body = json.dumps(event, indent=2).encode()
        return body, _signature(body, int(time.time()))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the API says."""
        subscription_id = request.url.path.rsplit("/", 1)[1]
        return httpx.Response(200, json=self._object(subscription_id))

    def _object(self, subscription_id: str) -> Mapping[str, Any]:
        number = subscription_id.removeprefix(f"{self._subscription_id}_")
        customer_id = self.seed.subscription["customer"]
        content: dict[str, Any] = json.loads(self._template)
        content |= {
            "id": subscription_id,
            "customer": f"{customer_id}_{number}",
            "cancel_at_period_end": self.cancels[subscription_id],
        }
        return content


_EVENTS = count(1)


def _signature(body: bytes, seconds: int) -> str:
    return f"t={seconds},v1={_mac(body, str(seconds))}"


def _mac(body: bytes, seconds: str) -> str:
    return hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


def _raw(shop: Shop, cursor: Cursor) -> Callable[[Delivery], None]:
    """Verify, deduplicate, update unless newer state is there: the least that is right."""
    placeholder = "?" if shop.flavour == "sqlite" else "%s"
    begin = "BEGIN IMMEDIATE" if shop.flavour == "sqlite" else "BEGIN"
    insert, update = _INSERT.format(p=placeholder), _UPDATE.format(p=placeholder)

    def take(delivery: Delivery) -> None:
        body, header = delivery
        stamp, _, told = header.removeprefix("t=").partition(",v1=")
        assert hmac.compare_digest(_mac(body, stamp), told)
        event = json.loads(body)
        subject = event["data"]["object"]
        now = time.time_ns() // 1_000
        kept = json.dumps({"customer": subject["customer"]})
        inbox = ("", event["id"], event["type"], 0, event["api_version"], subject["object"], subject["id"], kept)
        cursor.execute(begin)
        cursor.execute(insert, (*inbox, event["created"] * 1_000_000, now))
        if cursor.rowcount == 1:
            state = (subject["status"], int(subject["cancel_at_period_end"]), now)
            cursor.execute(update, (*state, subject["id"], now))
            assert cursor.rowcount == 1
        cursor.execute("COMMIT")

    return take


def _intake(bench: Bench, engine: str) -> Result:
    customers = bench.settings.customers
    with (
        open_shop(bench.servers, engine, customers) as copy,
        open_shop(bench.servers, engine, customers) as shop,
        cursor_of(copy) as cursor,
    ):
        number = in_turn(range(1, customers + 1))
        here, there = _Stripe(shop.seed), _Stripe(copy.seed)
        with online(shop, here.answer) as billing:
            receipts: list[str] = []

            def take(delivery: Delivery) -> None:
                receipts.append(billing.webhooks.receive(*delivery).status)

            # The copies' grants are not called as ours would be: the first news of each puts others in their place.
            for each in range(1, customers + 1):
                take(here.change(each))
            baseline = _Taking(_raw(copy, cursor))
            result = compare(
                f"webhook, {engine}, one caller",
                f"verify, dedupe, update by {'sqlite3' if engine == 'sqlite' else 'psycopg'}",
                baseline=one_caller_given(lambda: there.change(number()), baseline),
                ours=one_caller_given(lambda: here.change(number()), take),
                settings=bench.settings,
            )
        problems = _problems(shop, here, len(receipts))
        if set(receipts) != {"applied"}:
            problems.append(f"outcomes {sorted(set(receipts))}")
        problems += [f"baseline: {each}" for each in _problems(copy, there, baseline.taken)]
    return evolve(result, problems=problems)


@define
class _Taking:
    """Counts the deliveries that were taken."""

    take: Callable[[Delivery], None]
    taken: int = 0

    def __call__(self, delivery: Delivery) -> None:
        self.take(delivery)
        self.taken += 1


def _problems(shop: Shop, stripe: _Stripe, taken: int) -> list[str]:
    """Every delivery is stored once and done, and every subscription is as Stripe has it."""
    event, subscription = tables.webhook_event.c, tables.subscription.c
    with shop.engine.connect() as connection:
        counts = connection.execute(select(event.status, func.count()).group_by(event.status)).all()
        known = connection.execute(select(subscription.stripe_subscription_id, subscription.cancel_at_period_end)).all()
    stored = {row[0]: row[1] for row in counts}
    rows = {row[0]: bool(row[1]) for row in known}
    found: list[str] = []
    if stored != {"processed": taken}:
        found.append(f"{taken} deliveries acknowledged, stored are {stored}")
    if rows != dict.fromkeys(rows, False) | stripe.cancels:
        found.append("subscriptions differ from Stripe's")
    return found


BENCHMARKS = (
    Benchmark("P9", "webhooks", "sqlite", partial(_intake, engine="sqlite")),
    Benchmark("P9/postgresql", "webhooks", "postgresql", partial(_intake, engine="postgresql")),
)
