"""Pages of uses, the ledger and invoices: by an index, in the order of the list, as fast at its end as at its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.sql.base import Executable

from kernia_billing.operations.writes import last_write
from kernia_billing.storage import history, invoices, usage
from kernia_billing.storage.dialects import flavour_of
from kernia_billing.storage.pages import Pages
from kernia_billing.storage.transaction import SqlTransaction
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.rows import NOW
from tests.harness.house import new_engine

_MINE, _THEIRS = "cus:org_a", "cus:org_b"
_NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) SELECT i FROM n) AS n",
    "postgresql": "generate_series(1, {0}) AS n(i)",
    "mariadb": "(SELECT seq AS i FROM seq_1_to_{0}) AS n",
}
_USE = (
    "INSERT INTO billing_usage_event (id, customer_id, seq, feature_key, entity_id, quantity, funded, unfunded, mode,"
    " occurred_at, received_at, properties, idempotency_key, fingerprint, result)"
    " SELECT {id}, '{customer}', i, 'messages', '', 1, 1, 0, 'record', {now} + i, {now} + i, '{{\"n\":1}}', {id}, '',"
    " '{{}}' FROM {numbers}"
)
_LINE = (
    "INSERT INTO billing_ledger (customer_id, seq, line, bucket_id, entry, amount, used_after, event_id, units,"
    " moved_at) SELECT '{customer}', i, 0, 'own', 'use', 1, i, {id}, 1, {now} + i FROM {numbers}"
)
_INVOICE = (
    "INSERT INTO billing_invoice (id, customer_id, status, currency, collection_method, subtotal, total, amount_due,"
    " amount_paid, amount_remaining, attempt_count, auto_advance, period_start, period_end, created_at, deleted,"
    " updated_at) SELECT {id}, '{customer}', 'paid', 'usd', 'charge_automatically', 1, 1, 1, 1, 0, 1, 0, 0, 0,"
    " {now} + i, 0, 0 FROM {numbers}"
)
_PLACE: dict[str, object] = {"customer": _MINE, "limit": 101, "feature": "messages", "properties": {"n": 1}}
_USES = {**_PLACE, "start": NOW, "before": NOW + 900, "before_id": "use"}
_MOVED = {**_PLACE, "source": "plan", "entry": "use", "first": 10, "before": 900, "before_line": 0}
_BILLED = {"limit": 101, "status": "paid", "start": NOW, "before": NOW + 900, "before_id": "in"}
_EXPORT = {**_PLACE, "start": NOW, "end": NOW + 900, "last": _MINE, "after": 100}


@pytest.fixture
def fill(engine_name: str, engine_url: str) -> Iterator[Callable[[int], Engine]]:
    """A function: how many uses, each with its line, two customers have in a new database."""
    engine = new_engine(engine_url)

    def filled(count: int) -> Engine:
        with engine.begin() as connection:
            tx = SqlTransaction(connection, flavour_of(connection.dialect.name))
            for who in ("org_a", "org_b"):
                tx.customers.add(rows.customer(who))
                number = f"CONCAT('{who}:', i)" if engine_name == "mariadb" else f"'{who}:' || i"
                numbers = _NUMBERS[engine_name].format(count)
                for statement in (_USE, _LINE, _INVOICE):
                    told = statement.format(id=number, customer=f"cus:{who}", now=NOW, numbers=numbers)
                    connection.exec_driver_sql(told)
            for name in ("own", *map(str, range(200))):
                grant = rows.grant(name)
                tx.entitlements.add_grant(grant)
                tx.entitlements.add_bucket(rows.bucket(grant, name))
            for table in ("usage_event", "ledger", "bucket", "entitlement", "invoice"):
                connection.exec_driver_sql(f"ANALYZE {'TABLE ' * (engine_name == 'mariadb')}billing_{table}")
        return engine

    yield filled
    engine.dispose()


def plan(connection: Connection, statement: Executable, values: dict[str, object]) -> str:
    """What the database says that it does for a statement."""

    def explain(*call: Any) -> tuple[str, Any]:
        return f"EXPLAIN {'QUERY PLAN ' * (connection.dialect.name == 'sqlite')}{call[2]}", call[3]

    event.listen(connection, "before_cursor_execute", explain, retval=True)
    try:
        found: Any = connection.execute(statement, values)
        return "\n".join(" ".join(map(str, row)) for row in found.cursor.fetchall())
    finally:
        event.remove(connection, "before_cursor_execute", explain)


@pytest.mark.parametrize(
    ("pages", "values", "table"),
    [
        pytest.param(usage._PAGES, _USES, "billing_usage_event", id="usage"),
        pytest.param(usage._MOVEMENTS, _MOVED, "billing_ledger", id="ledger"),
        pytest.param(history._EXPORT, _EXPORT, "billing_usage_event", id="export"),
        pytest.param(invoices._SEARCHED, _BILLED, "billing_invoice", id="invoices of all"),
        pytest.param(history._EXPORT_OF, _EXPORT, "billing_usage_event", id="export of one"),
    ],
)
def test_pages_are_read_by_an_index(
    fill: Callable[[int], Engine], engine_name: str, pages: Pages, values: dict[str, object], table: str
) -> None:
    """Whatever narrows a list, its page can come out of an index in its order: none is read whole, nothing sorted."""
    with fill(2_000).connect() as connection:
        if engine_name == "postgresql":
            # Where it expects a handful of rows it sorts them by choice; this is about what it has to do.
            connection.exec_driver_sql("SET enable_sort = off")
            connection.exec_driver_sql("SET enable_seqscan = off")
        for names, statement in pages._statements.items():
            found = plan(connection, statement, values)
            whole = {"sqlite": "SCAN billing_", "postgresql": f"Seq Scan on {table}", "mariadb": " ALL "}[engine_name]
            sorts = {"sqlite": "TEMP B-TREE", "postgresql": "Sort", "mariadb": "filesort"}[engine_name]
            assert whole not in found, (sorted(names), found)
            assert sorts not in found, (sorted(names), found)


class Steps:
    """How many steps SQLite's machine made on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._made = 0
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(self._note, 1)

    def _note(self) -> int:
        self._made += 1
        return 0

    def of(self, call: Callable[[], object]) -> int:
        """The steps of a call that is made a second time: the first one prepares its statements."""
        call()
        before = self._made
        call()
        return self._made - before


@pytest.mark.sqlite
@pytest.mark.parametrize("engine_name", ["sqlite"])
@pytest.mark.parametrize("count", [3_000, pytest.param(1_000_000, marks=pytest.mark.full)])
def test_the_last_page_costs_what_the_first_does(fill: Callable[[int], Engine], count: int) -> None:
    """First, middle and last pages look at as many rows as each other, and an instant is found by few steps."""
    with fill(count).connect() as connection:
        tx, steps = SqlTransaction(connection, "sqlite"), Steps(connection)
        limit, end = 101, NOW + count + 1
        narrow: dict[str, Any] = {"feature": None, "properties": None, "limit": limit}
        everything: dict[str, Any] = {**narrow, "source": None, "entry": None, "first": 0}

        def uses(at: int) -> int:
            found = tx.usage.page(_MINE, start=NOW, end=end, before=(NOW + at, ""), **narrow)
            assert [row.seq for row in found] == list(range(at - 1, at - 1 - limit, -1))
            return len(found)

        def moved(at: int) -> int:
            found = tx.usage.movements(_MINE, before=(at, 0), **everything)
            assert [row.line.seq for row in found] == list(range(at - 1, at - 1 - limit, -1))
            return len(found)

        def exported(at: int) -> int:
            after = (_MINE, at - 1 - limit)
            found = tx.history.export(customer_id=_MINE, start=NOW, end=end, after=after, **narrow)
            assert [row.seq for _, row in found] == list(range(at - limit, at))
            return len(found)

        for page in (uses, moved, exported):
            made = [steps.of(partial(page, at)) for at in (count + 1, count // 2, limit + 1)]
            assert max(made) <= 1.5 * min(made), (page.__name__, made)

        customer = rows.customer("org_a", ledger_seq=count)
        assert last_write(tx, customer, NOW + count // 3) == count // 3
        assert steps.of(lambda: last_write(tx, customer, NOW + count // 3)) < count
