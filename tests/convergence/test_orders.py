"""In whatever order six events come, and however far Stripe has gone on by then: the end is what Stripe has."""

from __future__ import annotations

from math import factorial
from random import Random

import pytest

from tests.convergence.conftest import Record
from tests.convergence.copies import told_apart
from tests.convergence.histories import HISTORIES, History
from tests.convergence.tape import VERSIONS, Version
from tests.convergence.walks import every_way, random_way
from tests.harness.counts import count

ORDERS = factorial(6)
EACH_VERSION = 15
EVERY_TIME = {(0, VERSIONS[0])}
EACH = [
    pytest.param(
        history,
        version,
        id=f"{history.name}-{version}",
        marks=() if (number, version) in EVERY_TIME else pytest.mark.full,
    )
    for number, history in enumerate(HISTORIES)
    for version in VERSIONS
]
"""Every history in every version; in every run one of them."""


@pytest.mark.parametrize(("history", "version"), EACH)
def test_every_order_ends_where_an_import_ends(record: Record, history: History, version: Version) -> None:
    """Six events in all 720 orders, after everything has happened."""
    recording = record(history)
    orders = 0
    with recording.copy() as copy:
        for way in every_way(copy, recording, version, begin=recording.end):
            orders += 1
            found = recording.state(copy)
            assert found == recording.imported, (way.done, told_apart(found, recording.imported))
    assert orders == ORDERS
    count("convergence: orders of six events", orders)
    count("convergence: deliveries", copy.delivered)


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_news_between_the_changes_ends_where_an_import_ends(record: Record, history: History) -> None:
    """Each event comes at any time after it happened, while Stripe goes on: some ways by chance in each version."""
    recording = record(history)
    random = Random(history.name)
    with recording.copy() as copy:
        for version in VERSIONS * EACH_VERSION:
            copy.keeper.put(recording.start)
            way = random_way(copy, recording, version, random)
            found = recording.state(copy)
            assert found == recording.imported, (way.done, told_apart(found, recording.imported))
    count("convergence: random interleavings of deliveries and changes", EACH_VERSION * len(VERSIONS))
    count("convergence: deliveries", copy.delivered)


@pytest.mark.full
@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_news_at_every_time_ends_where_an_import_ends(record: Record, history: History) -> None:
    """Every way to put six deliveries among the changes that they tell of."""
    recording = record(history)
    version = VERSIONS[HISTORIES.index(history) % len(VERSIONS)]
    ways = 0
    with recording.copy() as copy:
        for way in every_way(copy, recording, version, begin=0):
            ways += 1
            found = recording.state(copy)
            assert found == recording.imported, (way.done, told_apart(found, recording.imported))
    assert ways > ORDERS
    count("convergence: all interleavings of deliveries and changes", ways)
    count("convergence: deliveries", copy.delivered)
