"""Workers side by side: one has the lease, each event is taken once, and who was taken over writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from kernia_billing._drive import run_blocking
from kernia_billing.domain.upkeep import Lease
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.rows import NOW
from tests.storage.conftest import BlockingPace

WORKERS = 8


@pytest.fixture
def store(database: str) -> Iterator[DrivenStore]:
    """A store that several threads use."""
    store = BlockingStore.open(database, pace=BlockingPace())
    yield DrivenStore(store, run_blocking)
    run_blocking(store.close())


def test_one_lease(store: DrivenStore) -> None:
    """Of eight who want a lease at once one gets it, time after time, each time under a greater token."""
    start = threading.Barrier(WORKERS)

    def work(holder: str) -> list[Lease | None]:
        taken: list[Lease | None] = []
        for turn in range(5):
            now = NOW + turn * 10
            start.wait()
            taken += store.each([now], lambda tx, now: tx.leases.acquire("prune", holder, now, now + 10))
        return taken

    with ThreadPoolExecutor(WORKERS) as pool:
        taken = list(pool.map(work, map(str, range(WORKERS))))

    winners = [[lease for lease in turn if lease is not None] for turn in zip(*taken, strict=True)]
    assert [[1], [2], [3], [4], [5]] == [[lease.token for lease in turn] for turn in winners]


def test_fence_holds(store: DrivenStore) -> None:
    """A write that began under a lease is through before another can take the lease over."""
    lease = store.transaction(lambda tx: tx.leases.acquire("sync", "a", NOW, NOW + 10))
    assert lease is not None
    asked, order = threading.Event(), list[str]()

    def write(tx: Transaction) -> None:
        assert tx.leases.renew("sync", lease.token, NOW + 9, NOW + 10)
        asked.set()
        # The other one is at its UPDATE now, or on its way there: either way it comes after this.
        taker.join(0.2)
        assert tx.inbox.add(rows.webhook())
        order.append("written")

    def take() -> None:
        asked.wait()
        store.transaction(lambda tx: tx.leases.acquire("sync", "b", NOW + 10, NOW + 20))
        order.append("taken")

    taker = threading.Thread(target=take)
    taker.start()
    store.transaction(write)
    taker.join()

    assert ["written", "taken"] == order
    assert not store.transaction(lambda tx: tx.leases.renew("sync", lease.token, NOW + 9, NOW + 10))


def test_webhook_has_one_effect(store: DrivenStore) -> None:
    """However many workers stall and are taken over, one of them finishes an event, and the others hear that."""
    store.transaction(lambda tx: tx.inbox.add(rows.webhook()))
    claimed = store.each(range(NOW, NOW + WORKERS), lambda tx, now: tx.inbox.claim("", "evt_a", now, now + 1))
    start = threading.Barrier(WORKERS)

    def finish(attempts: int) -> bool:
        def unit(tx: Transaction) -> bool:
            mine = tx.inbox.finish("", "evt_a", "processed", attempts=attempts, note=None, lease_until=0)
            if mine:
                tx.outbox.add([rows.event(f"effect of {attempts}")])
            return mine

        start.wait()
        return store.transaction(unit)

    with ThreadPoolExecutor(WORKERS) as pool:
        finished = list(pool.map(finish, [row.attempts for row in claimed if row is not None]))

    assert [False] * (WORKERS - 1) + [True] == finished
    assert (1, NOW) == store.read(lambda tx: tx.outbox.lag(NOW))


def test_meter_events_are_taken_once(store: DrivenStore) -> None:
    """Eight senders take a hundred events: nobody takes one that another has."""
    names = [f"use_{number:03}" for number in range(100)]
    store.transaction(lambda tx: tx.meter_events.add([rows.meter_event(name) for name in names]))

    def work(_worker: int) -> list[str]:
        taken: list[str] = []
        while found := store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, 7)):
            taken += [row.identifier for row in found]
        return taken

    with ThreadPoolExecutor(WORKERS) as pool:
        taken = [name for each in pool.map(work, range(WORKERS)) for name in each]

    assert set(taken) <= set(names)
    assert len(taken) == len(set(taken))
    while rest := store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, 7)):
        # A claim that waited for another may find nothing left of what it had seen, with more behind it.
        taken += [row.identifier for row in rest]
    assert names == sorted(taken)


def test_pages_at_once(store: DrivenStore) -> None:
    """Eight import one page while its objects are fetched: an object has one first ticket, and none twice."""
    names = [f"price_{number:02}" for number in range(20)]
    start = threading.Barrier(WORKERS)

    def work(worker: int) -> tuple[set[str], list[int]]:
        start.wait()
        if worker % 2:
            return set(), [store.transaction(lambda tx: tx.objects.take_ticket("price", names[3]))]
        page = names if worker % 4 else names[::-1]
        return store.transaction(lambda tx: tx.objects.first_tickets("price", page)), []

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(work, range(WORKERS)))

    first = [name for page, _ in answers for name in page]
    single = [ticket for _, tickets in answers for ticket in tickets]
    assert len(first) == len(set(first))
    assert set(names) == set(first) | ({names[3]} if 1 in single else set[str]())
    assert (names[3] in first) != (1 in single)
    assert len(single) == len(set(single))
    expected = dict.fromkeys(names, (4, 0, False)) | {names[3]: (8, 0, False)}
    assert expected == store.read(lambda tx: tx.objects.tickets("price", names))


def test_import_keeps_newer_state(store: DrivenStore) -> None:
    """What was fetched under a later ticket is not noted over by a page that was read before."""
    store.transaction(lambda tx: tx.objects.take_ticket("price", "price_a"))

    def page(tx: Transaction) -> None:
        first = tx.objects.first_tickets("price", ["price_a", "price_b"])
        tx.objects.apply_first("price", sorted(first), NOW)

    store.transaction(page)
    store.transaction(lambda tx: tx.objects.apply("price", "price_a", 1, deleted=True, now=NOW))

    known = {"price_a": (2, 1, True), "price_b": (1, 1, False)}
    assert known == store.read(lambda tx: tx.objects.tickets("price", ["price_a", "price_b"]))


def test_prune_while_working(store: DrivenStore) -> None:
    """What is asked for again while old events are deleted is deleted or worked on, and nothing waiting is lost."""
    names = [f"evt_{number:02}" for number in range(40)]
    old = rows.webhook(status="processed", received_at=NOW - 1)
    store.each(names, lambda tx, name: tx.inbox.add(evolve(old, event_id=name)))

    def again() -> set[str]:
        asked = store.each(names, lambda tx, name: tx.inbox.requeue("", name, NOW))
        return {name for name, waits in zip(names, asked, strict=True) if waits}

    def prune() -> int:
        return sum(store.transaction(lambda tx: tx.inbox.prune(NOW, 5)) for _ in range(10))

    with ThreadPoolExecutor(2) as pool:
        waiting, deleted = pool.submit(again), pool.submit(prune)
        due = {row.event_id for row in store.read(lambda tx: tx.inbox.due(NOW, 99))} if waiting.result() else set[str]()

    assert waiting.result() == due
    assert len(names) == len(due) + deleted.result()
