"""SIGKILL before and after every statement of a transaction that callers share: all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing
from kernia_billing.domain.answers import Usage
from kernia_billing.storage.store import SqlStore
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.house import open_account, open_billing
from tests.harness.kill import Boundaries
from tests.harness.meeting import Call, meet
from tests.harness.processes import RemoteStripe, alone, result_of

pytestmark = pytest.mark.one_server
CALLERS = 6
KNOWN = 2
"""What the two customers have used before."""
SHARED = 2
"""The number of the transaction that they share: the first one is a caller's who was there before them."""


def test_a_killed_crowd_leaves_all_or_nothing(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Six callers count for two customers: wherever the process dies, each retry gives a receipt, counted once."""
    open_account(engine_url, stripe)
    _know(engine_url, stripe, 0)
    receipts, boundaries = result_of(stripe, partial(_meet, engine_url, 0, None))
    committed_from = len(boundaries)
    _know(engine_url, stripe, *range(1, len(boundaries) + 1))
    for deadly in range(1, len(boundaries) + 1):
        assert alone(stripe, partial(_meet, engine_url, deadly, deadly)).killed
        stored = CALLERS if deadly >= committed_from else 0
        assert _stored(coherent(engine), deadly) == KNOWN + stored, boundaries[deadly - 1]
        again = result_of(stripe, partial(_retry, engine_url, deadly))
        assert [each.replayed for each in again] == [stored > 0] * CALLERS
        assert sorted(each.quantity for each in again) == sorted(each.quantity for each in receipts)
    tables = coherent(engine)
    for deadly in range(len(boundaries) + 1):
        assert _stored(tables, deadly) == KNOWN + CALLERS
        assert [tables.used(who) for who in _customers(deadly)] == [4, 7]
    count("kills", len(boundaries))


def _customers(number: int) -> tuple[str, str]:
    return f"ann-{number}", f"bob-{number}"


def _know(url: str, stripe: StripeSimulator, *numbers: int) -> None:
    """Let the customers be known: whoever counts for one that nobody knows goes alone."""
    with open_billing(url, stripe) as billing:
        for number in numbers:
            for who in _customers(number):
                billing.consume(who, "messages")


def _use(number: int, caller: int, billing: Billing) -> Usage:
    who = _customers(number)[caller % 2]
    return billing.consume(who, "messages", 1 + caller % 2, idempotency_key=f"use-{caller}")


def _meet(url: str, number: int, deadly: int | None, remote: RemoteStripe) -> tuple[list[Usage], list[str]]:
    """The receipts of all callers, and the boundaries of the transaction that they share; or death at one of them."""
    boundaries = Boundaries(deadly)

    def begin(_: SqlStore, transaction: int) -> None:
        if transaction == SHARED:
            boundaries.start(remote)

    calls: Sequence[Call] = [partial(_use, number, caller) for caller in range(CALLERS)]
    met = meet("threads", url, calls, begin)
    assert met.batches == [1, CALLERS]
    end = boundaries.passed.index("after commit") + 1
    return met.receipts, boundaries.passed[:end]


def _retry(url: str, number: int, remote: RemoteStripe) -> list[Usage]:
    with open_billing(url, remote) as billing:
        return [_use(number, caller, billing) for caller in range(CALLERS)]


def _stored(tables: Tables, number: int) -> int:
    return sum(len(tables.of(who, tables.events)) for who in _customers(number))
