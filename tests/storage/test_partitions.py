"""The tables may be partitioned on PostgreSQL as the documentation says, and everything is as before."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy import Engine

from kernia_billing import IdempotencyMismatch, Metered
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.instants import DAY, to_datetime
from kernia_billing.domain.period import Interval
from kernia_billing.operations import keeping
from tests.harness.coherent import coherent
from tests.machines.stage import REFERENCE, Stage

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/partition.md"
PARTITION, DROP = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def execute(engine: Engine, script: str) -> None:
    """Run the statements of a script as psql does."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in script.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)


@pytest.mark.postgresql
def test_partitions(postgresql_url: str) -> None:
    """Rows move into them; uses, keys, races, refunds, explanations, `doctor` and pruning work on."""
    stage = Stage(postgresql_url, {"x": Metered(0)})
    try:
        billing = stage.billing
        stage.give("x", 100, interval=Interval("week"))
        first = billing.track(REFERENCE, "x", 5, idempotency_key="first")
        execute(stage.engine, PARTITION)
    finally:
        stage.close()
    again = Stage(postgresql_url, {"x": Metered(0)})
    try:
        _works(again, first.event_id)
        execute(again.engine, DROP)
        again.judge()
    finally:
        again.close()


def _at_once(uses: Sequence[Callable[[], Usage]]) -> list[Usage]:
    with ThreadPoolExecutor(4) as pool:
        return [each.result() for each in [pool.submit(use) for use in uses]]


def _works(stage: Stage, first: str) -> None:
    billing = stage.billing
    assert billing.track(REFERENCE, "x", 5, idempotency_key="first").replayed
    with pytest.raises(IdempotencyMismatch):
        billing.track(REFERENCE, "x", 6, idempotency_key="first")
    once = partial(billing.track, REFERENCE, "x", 1, idempotency_key="raced")
    raced = _at_once([once] * 8)
    assert 7 == sum(each.replayed for each in raced)
    assert 2 == billing.refund(REFERENCE, first, 2).restored
    _at_once([partial(billing.track, REFERENCE, "x", 1)] * 20)
    assert 24 == billing.check(REFERENCE, "x").balance.used
    at = to_datetime(stage.clock.micros)
    stage.clock.micros += 35 * DAY
    billing.track(REFERENCE, "x", 9)
    assert 24 == billing.explain(REFERENCE, "x", at=at).decision.balance.used
    stage.judge()
    coherent(stage.engine)

    stage.clock.micros += 20 * DAY
    assert 0 < run_blocking(keeping.prune(evolve(stage.core, usage_retention=36 * DAY)))
    assert [9] == [row["used"] for row in stage.rows("bucket")]
    assert {9} == {row["quantity"] for row in stage.rows("usage_event")}
    coherent(stage.engine)
