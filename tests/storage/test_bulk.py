"""What is noted of a page costs a few statements, however many objects are on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kernia_billing._drive import run_blocking
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.rows import NOW
from tests.harness.ears import hearing
from tests.storage.conftest import BlockingPace

Counted = Callable[[Callable[[Transaction], object]], int]
PAGE = 100


@pytest.fixture
def counted(database: str) -> Iterator[Counted]:
    """A function that runs a unit and says how many statements it took."""
    store = BlockingStore.open(database, pace=BlockingPace())
    driven = DrivenStore(store, run_blocking)
    seen: list[str] = []
    driven.read(lambda tx: tx.settings.get("ready"))

    def note(statement: str) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    def count(unit: Callable[[Transaction], object]) -> int:
        seen.clear()
        driven.transaction(unit)
        return len(seen)

    with hearing(note, store.engine):
        yield count
    run_blocking(store.close())


def test_new_page(counted: Counted) -> None:
    """The tickets of a hundred prices that nobody has seen cost four statements."""
    names = [f"price_{number:03}" for number in range(PAGE)]

    def unit(tx: Transaction) -> None:
        assert {} == tx.objects.tickets("price", names)
        assert set(names) == tx.objects.first_tickets("price", names)
        tx.objects.apply_first("price", names, NOW)

    assert 4 == counted(unit)


def test_known_page(counted: Counted) -> None:
    """That a hundred invoices were seen is noted in one statement."""
    names = [f"in_{number:03}" for number in range(PAGE)]

    assert 1 == counted(lambda tx: tx.objects.check("invoice", names, NOW))


def test_events_page(counted: Counted) -> None:
    """A hundred events of Stripe's list are compared with what is stored in one statement."""
    names = [f"evt_{number:03}" for number in range(PAGE)]

    assert 1 == counted(lambda tx: tx.inbox.known(names))


def test_prune_page(counted: Counted) -> None:
    """Many old rows go in two statements."""
    for number in range(20):
        row = rows.webhook(f"evt_{number}", status="processed")
        counted(lambda tx, row=row: tx.inbox.add(row))  # type: ignore[misc]  # a default is no type

    assert 2 == counted(lambda tx: tx.inbox.prune(NOW + 1, 1_000))
