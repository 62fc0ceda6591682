"""Many processes meet at the end of a period: it is opened once, with what the last one left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Engine

from kernia_billing import InsufficientBalance, Metered, Plan
from kernia_billing.domain.instants import SECOND
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import open_billing
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
TIMES = 30
FEATURES = {
    "owed": Metered(100, overage="free", overage_limit=40, debt="carry"),
    "kept": Metered(100, rollover=150, rollover_periods=2),
}
SHOP: dict[str, Any] = {"plans": [Plan("free", features=FEATURES)], "default_plan": "free"}


def test_a_period_is_opened_once(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """40 are owed and 70 have moved on when 8 processes use the next month up: neither counts twice, or not at all."""
    with open_billing(engine_url, stripe, **SHOP) as billing:
        billing.consume("acme", "owed", 140)
        billing.consume("acme", "kept", 30)
        stripe.advance(months=1)
        assert (60, 170) == tuple(billing.check("acme", feature).remaining for feature in ("owed", "kept"))

    def work(remote: RemoteStripe) -> list[tuple[str, bool]]:
        with open_billing(engine_url, remote, **SHOP) as billing:
            billing.check("acme", "kept")
            remote.ready()
            return [(feature, _is_granted(billing, feature)) for _ in range(TIMES) for feature in ("kept", "owed")]

    outcomes = Counter(outcome for process in together(stripe, [work] * PROCESSES) for outcome in process)
    count("uses in races", outcomes.total())
    most = PROCESSES * TIMES
    assert outcomes[("owed", True)] == 60 + 40
    assert outcomes[("kept", True)] == 70 + 100
    assert outcomes.total() == 2 * most
    tables = coherent(engine)
    sources = Counter(row["source_type"] for row in tables.entitlements)
    assert sources == {"default": 3, "rollover": 1}
    assert len(tables.buckets) == 2 * 3 + 1
    opened = {row["bucket_id"]: row["amount"] for row in tables.ledger if row["entry"] in ("open", "roll")}
    assert sorted(opened.values()) == [0] * 6 + [40]


def test_clocks_that_are_apart_share_a_boundary(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """70 are left to move on, and 40 may be owed, when half of 8 clocks show the next month a second too early.

    Whoever comes first, no unit is given twice, and none is lost.
    """
    with open_billing(engine_url, stripe, **SHOP) as billing:
        billing.consume("acme", "owed", 100)
        billing.consume("acme", "kept", 30)
        stripe.advance(months=1)

    def worker(behind: int) -> Any:
        def work(remote: RemoteStripe) -> list[tuple[str, bool]]:
            remote.clock.micros -= behind
            with open_billing(engine_url, remote, **SHOP) as billing:
                billing.check("acme", "kept")
                remote.ready()
                return [(feature, _is_granted(billing, feature)) for _ in range(TIMES) for feature in ("kept", "owed")]

        return work

    processes = together(stripe, [worker(number % 2 * SECOND) for number in range(PROCESSES)])
    outcomes = Counter(outcome for process in processes for outcome in process)
    count("uses in races", outcomes.total())
    assert outcomes[("kept", True)] == 70 + 100
    assert outcomes[("owed", True)] == 100 + 40
    coherent(engine)


def _is_granted(billing: Any, feature: str) -> bool:
    try:
        billing.consume("acme", feature)
    except InsufficientBalance:
        return False
    return True
