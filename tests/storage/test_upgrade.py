"""A database of an earlier version that is in use is brought up to date, and nothing in it is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from kernia_billing._drive import run_blocking
from kernia_billing.domain.outbound import IntentRow
from kernia_billing.domain.upkeep import Lease, SyncState
from kernia_billing.storage import migrations, revision
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.rows import NOW
from tests.storage.conftest import BlockingPace
from tests.storage.deaths import Killed, counting

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
}
"""Rows as the first version wrote them."""


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """A host's engine on a database as the first version left it, in use."""
    engine = create_engine(engine_url)
    _make(engine)
    yield engine
    engine.dispose()


def _make(engine: Engine) -> None:
    migrations.upgrade(engine, "0001")
    _insert(engine)


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


def test_rows_survive(engine: Engine) -> None:
    """Every row is there with what it held."""
    assert "0001" == migrations.current(engine)
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
    run_blocking(store.close())


def test_version_before_goes_on(engine: Engine) -> None:
    """What the version before writes is still accepted: its processes run on while the new ones start."""
    migrations.upgrade(engine)
    with engine.begin() as connection:
        for table in _ROWS:
            connection.execute(text(f"DELETE FROM {table}"))
    _insert(engine)

    assert [] == _lost(engine)
    assert [] == migrations.check(engine)


def test_first_use(sqlite_url: str) -> None:
    """SQLite's tables are brought up to date by the first use, also inside of the host's transaction."""
    engine = create_engine(sqlite_url)
    _make(engine)
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


def test_killed_anywhere(engine: Engine, engine_name: str) -> None:
    """An upgrade that is killed before any of its statements loses nothing, and the next one heals it."""
    countdown, total = counting(engine)
    assert total > 20
    # Where the upgrade is one transaction the places differ little.
    for steps in range(0, total, 1 if engine_name == "mariadb" else 5):
        countdown.live()
        _drop(engine)
        _make(engine)
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
    # The two that others refer to come last.
    names.sort(key=lambda name: name in ("billing_entitlement", "billing_plan"))
    with engine.begin() as connection:
        for name in names:
            connection.execute(text(f"DROP TABLE {name}"))


def test_sql(engine: Engine, engine_name: str) -> None:
    """The statements alone bring a database with rows up to date, whole or not at all where it can do that."""
    script = migrations.sql(engine_name, since="0001")
    statements = [each.strip() for each in script.split(";") if each.strip()]
    if engine_name != "mariadb":
        assert ("BEGIN", "COMMIT") == (statements[0].split()[0], statements[-1])
    with engine.begin() as connection:
        for statement in statements:
            if statement not in ("BEGIN", "BEGIN TRANSACTION", "COMMIT"):
                connection.exec_driver_sql(statement)

    assert [] == migrations.check(engine)
    assert [] == _lost(engine)
