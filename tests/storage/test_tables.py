"""What the database itself refuses, below any Python; and that every statement is typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from sqlalchemy import Engine, UniqueConstraint, create_engine, exc, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from kernia_billing.storage.tables import metadata
from kernia_billing.storage.types import Amount, Id, JsonText, TextArray
from tests.storage.statements import every_statement

_LEDGER = "INSERT INTO billing_ledger (customer_id, seq, line, bucket_id, entry, amount, used_after, event_id) VALUES"
_ROWS = (
    "INSERT INTO billing_product (id, active, name, metadata, created_at, deleted) VALUES ('p', 1, 'n', '{}', 0, 0)",
    f"{_LEDGER} ('c', 1, 0, 'b', 'use', 5, 0, '')",
    """INSERT INTO billing_checkout_session (id, customer_id, plan_group, plan, billing_interval, seats, fingerprint,
    subscription_id, status, expires_at, created_at, slot)
    VALUES ('x', 'c', 'g', 'p', 'month', 1, 'f', 's', 'open', 0, 0, 'open')""",
    """INSERT INTO billing_usage_event (id, customer_id, seq, feature_key, entity_id, quantity, funded, unfunded, mode,
    occurred_at, received_at, properties, idempotency_key, fingerprint, result)
    VALUES ('u', 'c', 1, 'f', '', 1, 1, 0, 'record', 0, 0, '{}', 'k', 'f', '{}')""",
    """INSERT INTO billing_hold (id, customer_id, feature_key, entity_id, quantity, left_units, status, expires_at,
    created_at, ended_at, idempotency_key, fingerprint)
    VALUES ('h', 'c', 'f', '', 5, 5, 'open', 0, 0, 0, 'k', 'f')""",
    """INSERT INTO billing_hold_line (hold_id, line, bucket_id, feature_key, amount, units)
    VALUES ('h', 0, 'b', 'f', 5, 5)""",
    """INSERT INTO billing_limit_window (customer_id, limit_id, entity_id, window_start, window_end, feature_key, used)
    VALUES ('c', 'l', '', 0, 1, 'f', 0)""",
    """INSERT INTO billing_alert_fired (customer_id, feature_key, entity_id, period_start, measure, threshold, fired_at,
    period_end)
    VALUES ('c', 'f', '', 0, 'percent', 50, 0, 0)""",
)
_GRANT = """INSERT INTO billing_entitlement (id, customer_id, feature_key, entity_id, kind, source_type, source_id,
    category, priority, effective_at, expires_at, closed_at, interval_unit, interval_count, anchor_at, created_seq)
    VALUES (:long, :long, :short, :long, 'grant', 'plan', :long, 0, 0, 0, 0, 0, '', 0, 0, 0)"""
HOSTILE = [
    "9007199254740992",
    "-9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "1e300",
    "'many'",
    "'12x'",
    "NULL",
]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    """A plain engine."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_numbers(engine: Engine, value: str) -> None:
    """No overflow, text or NULL becomes an amount, by insert or by arithmetic."""
    with engine.connect() as connection, pytest.raises(exc.DBAPIError):
        connection.execute(text(f"{_LEDGER} ('c', 1, 0, 'b', 'use', {value}, 0, '')"))
    with engine.connect() as connection:
        connection.execute(text(f"{_LEDGER} ('c', 1, 0, 'b', 'use', 5, 0, '')"))
        with pytest.raises(exc.DBAPIError):
            connection.execute(text("UPDATE billing_ledger SET amount = amount * 9007199254740991"))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("billing_product", "active", "2"),
        ("billing_product", "deleted", "-1"),
        ("billing_ledger", "entry", "'gift'"),
        ("billing_checkout_session", "slot", "'other'"),
        ("billing_usage_event", "mode", "'gift'"),
        ("billing_hold", "status", "'lost'"),
        ("billing_alert_fired", "measure", "'much'"),
    ],
)
def test_enumerations(engine: Engine, table: str, column: str, value: str) -> None:
    """Flags are 0 or 1, and words are known ones."""
    with engine.begin() as connection:
        for statement in _ROWS:
            connection.exec_driver_sql(statement)
    with engine.connect() as connection, pytest.raises(exc.DBAPIError):
        connection.execute(text(f"UPDATE {table} SET {column} = {value}"))


@pytest.mark.parametrize("value", ["-1", "9007199254740992", "'many'", "NULL"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("billing_ledger", "held_after"),
        ("billing_usage_event", "refunded"),
        ("billing_hold", "left_units"),
        ("billing_hold_line", "amount"),
        ("billing_hold_line", "units"),
        ("billing_limit_window", "used"),
    ],
)
def test_what_is_counted_is_a_number(engine: Engine, table: str, column: str, value: str) -> None:
    """Never below zero, never beyond what JSON holds exactly, never something else."""
    with engine.begin() as connection:
        for statement in _ROWS:
            connection.exec_driver_sql(statement)
    with engine.connect() as connection, pytest.raises(exc.DBAPIError):
        connection.execute(text(f"UPDATE {table} SET {column} = {value}"))


def test_no_hold_has_more_than_it_took(engine: Engine) -> None:
    """What is left of a hold is at most what was set aside, and a window ends after it began."""
    with engine.begin() as connection:
        for statement in _ROWS:
            connection.exec_driver_sql(statement)
    for change in ("UPDATE billing_hold SET left_units = 6", "UPDATE billing_limit_window SET window_end = 0"):
        with engine.connect() as connection, pytest.raises(exc.DBAPIError):
            connection.execute(text(change))


def test_long_keys_fit(engine: Engine) -> None:
    """Ids of 255 bytes fit every key."""
    long = "x" * 255
    with engine.begin() as connection:
        connection.execute(text(_GRANT), {"long": long, "short": long[:100]})


def test_columns_are_of_four_types() -> None:
    """Nothing but the four checked types is used."""
    for table in metadata.tables.values():
        assert all(isinstance(column.type, (Id, Amount, JsonText)) for column in table.columns)


def test_unique_keys_have_no_nulls() -> None:
    """NULLs are all different to a unique key; only the Stripe id of a customer may be missing."""
    nullable = {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
        for column in constraint.columns
        if column.nullable
    }
    assert {"billing_customer.stripe_customer_id"} == nullable


def _parameters(statement: Any) -> Iterator[Any]:
    """The parameters on those dialects that know the statement."""
    for module in (sqlite, postgresql, mysql):
        with suppress(exc.CompileError, AttributeError):
            yield from statement.compile(dialect=module.dialect()).binds.values()


def test_every_parameter_is_typed() -> None:
    """No parameter is untyped: what is compared with a text is checked to be one, and so for numbers."""
    seen = 0
    for name, statement in every_statement():
        seen += 1
        for parameter in _parameters(statement):
            known = isinstance(parameter.type, (Id, Amount, JsonText, TextArray))
            assert known or parameter.value in (0, 1, 2), (name, str(statement), parameter)
    assert seen > 160


def test_every_read_has_an_index() -> None:
    """No statement looks through a whole table, but for those that count it or want all, or most, of it."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    scans: set[str] = set()
    with engine.connect() as connection:
        for name, statement in every_statement():
            with suppress(exc.CompileError):
                words = str(cast("Any", statement).compile(engine))
                if words.startswith("INSERT") or "billing_alembic_version" in words:
                    continue
                asked = "EXPLAIN QUERY PLAN " + re.sub(r"__\[POSTCOMPILE_\w+\]", "?, ?", words)
                plan = connection.exec_driver_sql(asked, (1,) * asked.count("?")).all()
                scans |= {name for row in plan if row[3].startswith("SCAN billing_")}
    engine.dispose()

    counts = {"inbox._COUNTS", "meter_events._COUNTS"}
    parts = {"customers._NEXT", "customers._NEXT_NOW", "plans._VERSION"}
    live = {"subscriptions._OVERDUE"}
    assert counts | parts | live | {"catalog._MAPPINGS"} == scans
