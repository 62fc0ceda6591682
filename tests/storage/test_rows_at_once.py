"""Rows that are written many at a time are stored as one by one, and refused as one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from attrs import evolve

from kernia_billing._drive import run_blocking
from kernia_billing.domain.grants import UsageRow
from kernia_billing.domain.ids import MAX_INTEGER
from kernia_billing.domain.references import Reference
from kernia_billing.errors import BillingError, GuardError, InvalidInput
from kernia_billing.ports.store import DuplicateKey, Transaction
from kernia_billing.storage import customers, entitlements, usage
from kernia_billing.storage.aio import AsyncStore
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.storage.transaction import SqlTransaction
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.rows import NOW
from tests.harness.ears import hearing
from tests.servers import async_url
from tests.storage.conftest import AsyncPace, BlockingPace

ODD = ("", "NULL", "null", '"', "\\", '\\"', "{a,b}", "a'b", "%s %(id)s :this_0", " ", "ä€😀", "x" * 200)
"""Texts that mean something in an array, in a statement, or nowhere."""


@pytest.fixture
def store(database: str) -> Iterator[DrivenStore]:
    """An empty store of each engine."""
    own = BlockingStore.open(database, pace=BlockingPace())
    yield DrivenStore(own, run_blocking)
    run_blocking(own.close())


def _odd_uses() -> list[UsageRow]:
    uses = [
        rows.usage(number + 1, entity=text, fingerprint=text, properties={"text": text}, result={text: [text, None, 1]})
        for number, text in enumerate(ODD)
    ]
    return [*uses, rows.usage(100, quantity=MAX_INTEGER, funded=-MAX_INTEGER)]


def _write(tx: Transaction, uses: Sequence[UsageRow], *others: Any) -> None:
    lines = [rows.line(each, included_after=None if each.seq % 2 else each.seq) for each in uses]
    cast("SqlTransaction", tx).run_all([*usage.added(uses, lines), *others])


def _all_is_stored(store: DrivenStore) -> None:
    uses = _odd_uses()
    store.transaction(lambda tx: _write(tx, uses))
    found = store.transaction(lambda tx: [tx.usage.by_id(each.customer_id, each.id) for each in uses])
    assert found == uses
    lines = store.transaction(lambda tx: [tx.usage.lines(each.customer_id, each.seq) for each in uses])
    assert [line.included_after for (line,) in lines] == [None if each.seq % 2 else each.seq for each in uses]


def test_odd_values_are_stored_as_they_are(store: DrivenStore) -> None:
    """No text is taken for anything but itself, and no number is rounded."""
    _all_is_stored(store)


@pytest.mark.postgresql
def test_by_the_other_drivers_too(migrated: Any) -> None:
    """The same by psycopg's and asyncpg's own ways of sending parameters."""
    for driver in ("psycopg", "asyncpg"):
        url = async_url(migrated("postgresql")).replace("psycopg", driver)
        with asyncio.Runner() as runner:
            own = AsyncStore.open(url, pace=AsyncPace())
            _all_is_stored(DrivenStore(own, runner.run))
            runner.run(own.close())


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"quantity": True}, GuardError),
        ({"quantity": "1"}, GuardError),
        ({"quantity": MAX_INTEGER + 1}, InvalidInput),
        ({"feature": 1}, GuardError),
        ({"fingerprint": "a\0b"}, InvalidInput),
        ({"fingerprint": "\ud800"}, InvalidInput),
    ],
    ids=["truth", "text", "too large", "number", "NUL", "surrogate"],
)
def test_one_wrong_value_refuses_all(store: DrivenStore, wrong: dict[str, Any], error: type[BillingError]) -> None:
    """Nothing of the others is stored then."""
    uses = [rows.usage(1), evolve(rows.usage(2), **wrong), rows.usage(3)]
    with pytest.raises(error):
        store.transaction(lambda tx: _write(tx, uses))
    assert store.transaction(lambda tx: tx.usage.by_id("cus:org_a", uses[0].id)) is None


def test_a_taken_key_refuses_all(store: DrivenStore) -> None:
    """It is the same error as for one row."""
    store.transaction(lambda tx: tx.usage.add(rows.usage(1), ()))
    with pytest.raises(DuplicateKey):
        store.transaction(lambda tx: _write(tx, [rows.usage(2), rows.usage(3, idempotency_key="key:1")]))
    assert store.transaction(lambda tx: tx.usage.by_id("cus:org_a", rows.usage(2).id)) is None


def test_a_batch_is_few_statements(store: DrivenStore, engine_name: str) -> None:
    """However many rows there are: one where the database can change several tables at once, else one for each."""
    grant = rows.grant()
    some = [rows.customer("org_a"), rows.customer("org_b")]
    buckets = [rows.bucket(grant, "one"), rows.bucket(grant, "two", period_no=1, period_start=NOW + 1)]

    def prepare(tx: Transaction) -> None:
        for each in some:
            tx.customers.add(each)
        tx.entitlements.add_grant(grant)
        for bucket in buckets:
            tx.entitlements.add_bucket(bucket)

    store.transaction(prepare)
    used = [evolve(each, used=number, held=1) for number, each in enumerate(buckets, 3)]
    raised = [each.at(7) for each in some]
    sent: list[str] = []
    engine = cast("BlockingStore", store.store).engine

    def unit(tx: Transaction) -> None:
        with hearing(sent.append, engine):
            _write(tx, [rows.usage(1), rows.usage(2)], customers.numbered(raised), entitlements.changed(used))

    store.transaction(unit)
    assert len(sent) == (1 if engine_name == "postgresql" else 4)
    found = store.transaction(lambda tx: tx.entitlements.of_buckets(grant.customer_id, ["one", "two"]))
    assert [found[each.id].bucket for each in used] == used
    assert store.read(lambda tx: [tx.customers.get(each.reference) for each in some]) == raised


def test_customers_of_odd_references_are_found(store: DrivenStore) -> None:
    """Those that are asked for and no other, by one list."""
    names = [text for text in ODD if text]

    def add(tx: Transaction) -> None:
        for name in names:
            tx.customers.add(rows.customer(name))

    store.transaction(add)
    asked = {Reference(name, "organization") for name in [*names[1::2], "unknown", "{}"]}

    def unit(tx: Transaction) -> tuple[set[Reference], set[Reference]]:
        own = cast("SqlTransaction", tx).customers
        return {each.reference for each in own.lock_all(asked, rows.NOW, wait=False)}, set(own.existing(asked))

    expected = {Reference(name, "organization") for name in names[1::2]}
    assert store.transaction(unit) == (expected, expected)
