"""A database of an earlier version that is in use is brought up to date, and nothing in it is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import FOREVER
from kernia_billing.domain.outbound import IntentRow
from kernia_billing.domain.plan_items import PlanItem
from kernia_billing.domain.references import Reference
from kernia_billing.domain.upkeep import Lease, SyncState
from kernia_billing.storage import migrations, revision
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.rows import MONTH, NOW
from tests.storage.conftest import BlockingPace
from tests.storage.deaths import Killed, counting

_ORG = Reference("org_ä", "organization")
_ROWS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "billing_customer": [
        {
            "id": "cus:a",
            "customer_type": "organization",
            "reference_id": "org_ä",
            "stripe_customer_id": "cus_1",
            "ledger_seq": 3,
            "config_epoch": 1,
            "plan_until": 0,
            "created_at": NOW,
        }
    ],
    "billing_intent": [
        {
            "idempotency_key": f"kernia-{state}",
            "operation": "customer",
            "customer_id": "cus:a",
            "path": "/v1/customers",
            "params": '{"a":"ü"}',
            "state": state,
            "stripe_id": stripe_id,
            "created_at": NOW + number,
        }
        for number, (state, stripe_id) in enumerate((("pending", None), ("done", "cus_1"), ("failed", None)))
    ],
    "billing_stripe_object": [
        {"kind": "price", "stripe_id": f"price_{number}", "next_ticket": 5, "applied_ticket": number, "deleted": gone}
        for number, gone in ((0, 0), (4, 0), (5, 1))
    ],
    "billing_subscription": [
        {
            "id": f"sub:{number}",
            "customer_id": "cus:a",
            "stripe_subscription_id": f"sub_{number}",
            "plan_group": "default",
            "plan": "pro",
            "plan_version_id": "plan:a",
            "status": "active",
            "billing_interval": "year",
            "price_id": "price_1",
            "item_id": "si_1",
            "seats": 3,
            "period_start": NOW,
            "period_end": NOW + MONTH,
            "trial_start": NOW + 1,
            "trial_end": NOW + 2,
            "cancel_at_period_end": 1,
            "cancel_at": NOW + 3,
            "canceled_at": NOW + 4,
            "ended_at": NOW + 5,
            "billing_cycle_anchor": NOW + 6,
            "past_due_since": NOW + 7,
            "pause_behavior": behavior,
            "schedule_id": "sub_sched_1",
            "duplicate": 0,
            "created_at": NOW,
            "updated_at": NOW + number,
        }
        for number, behavior in enumerate((None, "void"))
    ],
    "billing_sync_state": [{"kind": "catalog", "started_at": NOW, "finished_at": NOW + 1, "counts": '{"prices":2}'}],
    "billing_webhook_event": [
        {
            "account": "",
            "event_id": f"evt_{status}",
            "event_type": "invoice.paid",
            "livemode": 1,
            "api_version": None,
            "object_kind": "invoice",
            "object_id": "in_1",
            "payload": '{"customer":"cus_1"}',
            "created_at": NOW,
            "received_at": NOW + number,
            "status": status,
            "attempts": number,
            "lease_until": 0,
            "note": None,
        }
        for number, status in enumerate(("received", "processed", "unmatched", "dead"))
    ],
    "billing_plan": [
        {"id": "plan:a", "plan_key": "pro", "version": 1, "content_hash": "h", "title": None, "created_at": NOW}
    ],
    "billing_plan_feature": [
        {
            "plan_id": "plan:a",
            "feature_key": "messages",
            "kind": "metered",
            "amount": 100,
            "per_seat": 0,
            "reset": "month",
            "anchor": "billing",
            "overage": "none",
            "overage_limit": None,
            "meter": None,
            "on_plan_change": "reset",
        }
    ],
    "billing_entitlement": [
        {
            "id": f"grt:{kind}",
            "customer_id": "cus:a",
            "feature_key": "messages",
            "entity_id": "",
            "kind": kind,
            "source_type": "plan",
            "source_id": "sub_1:item:plan:a",
            "category": 1,
            "amount": amount,
            "priority": 50,
            "effective_at": NOW,
            "expires_at": FOREVER,
            "closed_at": FOREVER,
            "interval_unit": "month",
            "interval_count": 1,
            "anchor_at": NOW,
            "meter": None,
            "created_seq": 1,
        }
        for kind, amount in (("grant", 100), ("overage", None))
    ],
    "billing_bucket": [
        {
            "id": f"bkt:{number}",
            "entitlement_id": f"grt:{kind}",
            "customer_id": "cus:a",
            "feature_key": "messages",
            "entity_id": "",
            "period_no": number - 1,
            "period_start": NOW + number * MONTH,
            "period_end": NOW + (number + 1) * MONTH,
            "amount": amount,
            "used": used,
            "held": 0,
            "closed_at": FOREVER,
        }
        for number, kind, amount, used in ((0, "grant", 100, 100), (1, "grant", 100, 5), (2, "overage", None, 2))
    ],
    "billing_usage_event": [
        {
            "id": f"use:{seq}",
            "customer_id": "cus:a",
            "seq": seq,
            "feature_key": "messages",
            "entity_id": "",
            "quantity": quantity,
            "funded": abs(quantity),
            "unfunded": 0,
            "mode": mode,
            "occurred_at": NOW + seq,
            "received_at": NOW + seq,
            "properties": '{"model":"ü"}',
            "idempotency_key": f"key:{seq}",
            "fingerprint": "f",
            "result": "{}",
        }
        for seq, mode, quantity in ((1, "require", 9), (2, "return", -2))
    ],
    "billing_ledger": [
        {
            "customer_id": "cus:a",
            "seq": seq,
            "line": line,
            "bucket_id": "bkt:1",
            "entry": entry,
            "amount": amount,
            "used_after": used,
            "event_id": f"use:{seq}",
        }
        for seq, line, entry, amount, used in (
            (1, 0, "open", 0, 0),
            (1, 1, "use", 9, 9),
            (2, 0, "return", -2, 7),
            (3, 0, "carry", -2, 5),
            (3, 1, "amend", 0, 5),
        )
    ],
}
"""Rows as the first version wrote them, and the second one too. A table comes after those that it refers to."""


@pytest.fixture(params=["0001", "0002"])
def version(request: pytest.FixtureRequest) -> str:
    """The version that the database is at."""
    name: str = request.param
    return name


@pytest.fixture
def engine(engine_url: str, version: str) -> Iterator[Engine]:
    """A host's engine on a database as an earlier version left it, in use."""
    engine = create_engine(engine_url)
    _make(engine, version)
    yield engine
    engine.dispose()


def _make(engine: Engine, version: str) -> None:
    migrations.upgrade(engine, "0001")
    _insert(engine)
    if version != "0001":
        migrations.upgrade(engine, version)


def _insert(engine: Engine) -> None:
    with engine.begin() as connection:
        for table, lines in _ROWS.items():
            for line in lines:
                named = ", ".join(f":{column}" for column in line)
                connection.execute(text(f"INSERT INTO {table} ({', '.join(line)}) VALUES ({named})"), line)


def _lost(engine: Engine) -> list[str]:
    """What of the rows is no longer as it was."""
    found: list[str] = []
    with engine.connect() as connection:
        for table, lines in _ROWS.items():
            stored = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
            plain = [
                {key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}
                for row in stored
            ]
            if len(plain) != len(lines):
                found.append(f"{table} has {len(plain)} rows")
            found += [f"{table} lost {line}" for line in lines if not any(line.items() <= row.items() for row in plain)]
    return found


def test_rows_survive(engine: Engine, version: str) -> None:
    """Every row is there with what it held."""
    assert version == migrations.current(engine)
    migrations.upgrade(engine)

    assert [] == migrations.check(engine)
    assert [] == _lost(engine)


def test_new_columns_have_values(engine: Engine, engine_url: str) -> None:
    """What is new in old rows is as if they had been written by the new version, and nothing was compared yet."""
    migrations.upgrade(engine)
    store = BlockingStore.open(engine_url, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)

    dead = driven.read(lambda tx: tx.inbox.get("", "evt_dead"))
    assert ("", "webhook") == (dead and dead.customer, dead and dead.source)
    assert ["price_4"] == driven.read(lambda tx: tx.objects.stale("price", 1, 9))
    assert SyncState("catalog", NOW, NOW + 1, {"prices": 2}) == driven.read(lambda tx: tx.syncs.get("catalog"))
    pending = IntentRow("kernia-pending", "customer", "cus:a", "/v1/customers", {"a": "ü"}, "pending", None, NOW)
    assert [pending] == driven.read(lambda tx: tx.intents.unfinished(NOW + 9, 9))
    driven.transaction(lambda tx: tx.intents.finish("kernia-pending", "parked", None))
    assert "created" == driven.transaction(lambda tx: tx.invoices.put(rows.invoice()))
    _, held = driven.read(lambda tx: tx.entitlements.of_reference(_ORG, ["messages"], NOW + MONTH))
    (found,) = [(grant.terms, bucket.heir_id, bucket.owed) for grant, bucket in held if bucket is not None]
    assert (None, "", 0) == found
    use = driven.read(lambda tx: tx.usage.by_key(_ORG, "key:1"))
    assert ("", "", 0) == (use and use.refund_of, use and use.hold_id, use and use.refunded)
    plan = driven.read(lambda tx: tx.plans.by_id("plan:a"))
    assert plan is not None
    assert (PlanItem("messages", "metered", 100, reset="month", on_plan_change="reset"),) == plan.items
    run_blocking(store.close())


def test_a_unit_was_a_unit(engine: Engine) -> None:
    """What a use drew and what came back of it paid as many units; nothing else in the ledger is new."""
    migrations.upgrade(engine)
    with engine.connect() as connection:
        lines = connection.execute(
            text("SELECT units, held, held_after, included_after, moved_at FROM billing_ledger ORDER BY seq, line")
        ).all()
    nothing = (0, 0, 0, None, 0)

    assert [nothing, (9, 0, 0, None, 0), (2, 0, 0, None, 0), nothing, nothing] == lines


def test_version_before_goes_on(engine: Engine) -> None:
    """What the version before writes is still accepted: its processes run on while the new ones start."""
    migrations.upgrade(engine)
    with engine.begin() as connection:
        for table in reversed(list(_ROWS)):
            connection.execute(text(f"DELETE FROM {table}"))
    _insert(engine)

    assert [] == _lost(engine)
    assert [] == migrations.check(engine)


def test_first_use(sqlite_url: str) -> None:
    """SQLite's tables are brought up to date by the first use, also inside of the host's transaction."""
    engine = create_engine(sqlite_url)
    _make(engine, "0001")
    store = BlockingStore.open(sqlite_url, pace=BlockingPace())
    with engine.connect() as host:
        host.begin()
        lease = run_blocking(store.transaction(lambda tx: tx.leases.acquire("prune", "a", NOW, NOW + 1), host=host))
        assert lease is not None
        host.rollback()
    assert "0001" == migrations.current(engine)

    taken = run_blocking(store.transaction(lambda tx: tx.leases.acquire("prune", "b", NOW, NOW + 1)))
    assert taken == Lease("prune", "b", 1, NOW + 1)
    assert revision.HEAD == migrations.current(engine)
    assert [] == _lost(engine)
    assert [] == migrations.check(engine)
    run_blocking(store.close())
    engine.dispose()


@pytest.mark.one_server
def test_killed_anywhere(engine: Engine, engine_name: str, version: str) -> None:
    """An upgrade that is killed before any of its statements loses nothing, and the next one heals it."""
    countdown, total = counting(engine)
    assert total > 20
    # Where the upgrade is one transaction the places differ little.
    stride = 29 if engine_name != "mariadb" else 11
    for steps in range(0, total, stride):
        countdown.live()
        _drop(engine)
        _make(engine, version)
        countdown.left = steps
        with pytest.raises(Killed):
            migrations.upgrade(engine)
        countdown.live()
        assert [] == _lost(engine), steps
        migrations.upgrade(engine)
        assert [] == migrations.check(engine), steps
        assert [] == _lost(engine), steps


def _drop(engine: Engine) -> None:
    names = [name for name in inspect(engine).get_table_names() if name.startswith("billing_")]
    # Those that others refer to come last.
    names.sort(key=lambda name: name in ("billing_entitlement", "billing_hold", "billing_plan"))
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP TABLE {name}"))


def test_sql(engine: Engine, engine_name: str, version: str) -> None:
    """The statements alone bring a database with rows up to date, whole or not at all where it can do that."""
    script = migrations.sql(engine_name, since=version)
    statements = [each.strip() for each in script.split(";") if each.strip()]
    if engine_name != "mariadb":
        assert ("BEGIN", "COMMIT") == (statements[0].split()[0], statements[-1])
    with engine.begin() as connection:
        for statement in statements:
            if statement not in ("BEGIN", "BEGIN TRANSACTION", "COMMIT"):
                connection.exec_driver_sql(statement)

    assert [] == migrations.check(engine)
    assert [] == _lost(engine)
