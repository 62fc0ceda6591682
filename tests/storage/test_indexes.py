"""The statements of jobs find their rows by an index, however many rows there are that do not concern them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.sql.base import Executable

from kernia_billing.domain.instants import DAY, HOUR
from kernia_billing.storage import (
    alerts,
    audit,
    holds,
    horizons,
    inbox,
    invoices,
    limits,
    measures,
    meter_events,
    migrations,
    notices,
    outbox,
    overdue,
    payment_methods,
)
from kernia_billing.storage.dialects import Variants
from kernia_billing.storage.pages import Pages

NOW = 2_000_000_000_000_000
OLD: dict[str, object] = {"old": NOW - DAY, "limit": 500}
BOOKS: dict[str, object] = {
    "customer": "cust_1",
    "seq": 9,
    "kept_from": NOW - DAY,
    "after": 0,
    "after_line": 0,
    "limit": 500,
}


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """One to an empty SQLite database, whose planner has to go by the indexes alone."""
    engine = create_engine("sqlite://")
    migrations.upgrade(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def steps(connection: Connection, statement: Executable | Variants, values: dict[str, object]) -> str:
    """What SQLite does for a statement."""
    form = statement.sqlite if isinstance(statement, Variants) else statement

    def explain(*call: Any) -> tuple[str, Any]:
        return f"EXPLAIN QUERY PLAN {call[2]}", call[3]

    event.listen(connection, "before_cursor_execute", explain, retval=True)
    try:
        rows = cast("Any", connection.execute(form, values)).cursor.fetchall()
    finally:
        event.remove(connection, "before_cursor_execute", explain)
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("statement", "values", "search"),
    [
        (
            overdue.overdue_checkouts(),
            {"old": NOW - HOUR, "now": NOW, "limit": 100},
            "ix_billing_checkout_overdue (status=? AND expires_at<?)",
        ),
        (
            meter_events._REPORTED,
            {"customer": "cust_1", "feature": "api", "event": "calls", "since": NOW - DAY},
            "ix_billing_meter_event_period (customer_id=? AND feature_key=? AND event_name=? AND created_at>?)",
        ),
        (meter_events._LAG, {}, "ix_billing_meter_event_age (state=?)"),
        (meter_events._OLD, OLD, "ix_billing_meter_event_age (state=? AND created_at<?)"),
        (meter_events._OLD, OLD, "ix_billing_entitlement_open (customer_id=? AND feature_key=?)"),
        (holds._OVERDUE, {"until": NOW, "limit": 500}, "ix_billing_hold_expiry (status=? AND expires_at<?)"),
        (holds._OLD, OLD, "ix_billing_hold_expiry (status=? AND expires_at<?)"),
        (
            holds._LAPSED,
            {"customer": "cust_1", "until": NOW},
            "ix_billing_hold_customer (customer_id=? AND status=? AND expires_at<?)",
        ),
        (limits._OLD, OLD, "ix_billing_limit_window_end (window_end<?)"),
        (alerts._OLD, OLD, "ix_billing_alert_fired_end (period_end<?)"),
        (notices._OLD, OLD, "ix_billing_notice_end (kept_until<?)"),
        (measures._OLD, OLD, "ix_billing_measure_end (period_end<?)"),
        (
            horizons._OVER,
            {**BOOKS, "after": ""},
            "ix_billing_bucket_current (entitlement_id=? AND period_end>? AND period_end<?)",
        ),
        (horizons._LINES, BOOKS, "sqlite_autoindex_billing_ledger_1 (customer_id=?"),
        (horizons._USES, BOOKS, "sqlite_autoindex_billing_usage_event_3 (customer_id=? AND seq>? AND seq<?)"),
        (horizons._USE_FROM, BOOKS, "sqlite_autoindex_billing_usage_event_3 (customer_id=? AND seq>?)"),
        (horizons._STATES, BOOKS, "ix_billing_entitlement_change_customer (customer_id=?)"),
        (
            payment_methods._EXPIRING,
            {"year": 2033, "month": 5, "kind": "k", "mark": "2033-5", "after": "", "limit": 500},
            "ix_billing_payment_method_expiry (exp_year=? AND exp_month=? AND id>?)",
        ),
        (inbox._OLD, OLD, "ix_billing_webhook_event_status (status=? AND received_at<?)"),
        (outbox._OLD, OLD, "ix_billing_outbox_waiting (sent_at<?)"),
        (audit._OLD, OLD, "ix_billing_audit_time (happened_at<?)"),
    ],
)
def test_jobs_search_by_an_index(
    connection: Connection, statement: Executable | Variants, values: dict[str, object], search: str
) -> None:
    """What is overdue, what was reported in a period, and what is old enough to go, are each found by an index."""
    found = steps(connection, statement, values)
    assert search in found
    assert "SCAN" not in found


@pytest.mark.parametrize(
    ("pages", "names", "search"),
    [
        (invoices._LISTED, {"status"}, "ix_billing_invoice_customer (customer_id=? AND created_at>? AND created_at<?)"),
        (
            invoices._LISTED,
            {"finalized"},
            "ix_billing_invoice_customer (customer_id=? AND created_at>? AND created_at<?)",
        ),
        (invoices._SEARCHED, {"status"}, "ix_billing_invoice_status (status=? AND created_at>? AND created_at<?)"),
        (invoices._SEARCHED, {"finalized", "charged"}, "ix_billing_invoice_time (created_at>? AND created_at<?)"),
    ],
)
def test_invoices_are_listed_by_the_index_that_fits(
    connection: Connection, pages: Pages, names: set[str], search: str
) -> None:
    """Those of one customer are not looked for among all of a status, and those of all come in their order."""
    values: dict[str, object] = {
        "customer": "cust_1",
        "status": "paid",
        "start": 0,
        "before": NOW,
        "before_id": "",
        "limit": 21,
    }
    found = steps(connection, pages._statements[frozenset(names)], values)
    assert search in found
    assert "SCAN" not in found
    assert "TEMP B-TREE" not in found
