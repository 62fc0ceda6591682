"""`Worker`: the jobs on threads, started and stopped by anybody, at any time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kernia_billing import AsyncBilling, ConfigError
from kernia_billing.domain.answers import Event
from kernia_billing.worker import Worker
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import envelope

PATIENCE = 60.0


def post(shop: Any, number: int) -> None:
    """Let an event of a product come in."""
    shop.post(envelope("product.updated", {"object": "product", "id": f"prod_{number}"}, f"evt_{number:04}"))


@pytest.mark.parametrize("threads", [1, 3])
def test_it_works_until_it_is_stopped(open_shop: Open, threads: int) -> None:
    """What comes while it runs is worked on, once, whatever the number of threads; after a stop nothing is."""
    heard: list[Event] = []
    enough = threading.Event()

    def hear(event: Event) -> None:
        heard.append(event)
        if len(heard) >= 40:
            enough.set()

    shop = open_shop(deliver="manual", webhook_mode="worker", on_event=hear)
    worker = Worker(shop.billing, threads=threads)
    for number in range(20):
        post(shop, number)
    with worker:
        for number in range(20, 40):
            post(shop, number)
        assert enough.wait(PATIENCE)
    assert not worker.running

    assert len({each.id for each in heard}) == 40
    assert {row["status"] for row in shop.inbox().values()} <= {"processed", "received"}
    worker.start()
    assert worker.stop()
    post(shop, 99)
    assert shop.inbox()["evt_0099"]["status"] == "received"


def test_start_and_stop_may_be_called_by_anybody(open_shop: Open) -> None:
    """Any number of times, on many threads at once: it runs once or not at all, and ends for good."""
    shop = open_shop(deliver="manual")
    worker = Worker(shop.billing)
    assert worker.stop()
    barrier = threading.Barrier(8)

    def shake(number: int) -> None:
        barrier.wait()
        for round in range(20):
            worker.stop(0) if (number + round) % 2 else worker.start()

    threads = [threading.Thread(target=shake, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert worker.stop(PATIENCE)
    worker.start()
    worker.start()
    assert [each.name for each in threading.enumerate()].count("kernia-billing-worker") == 1
    assert worker.running
    assert worker.stop(PATIENCE)
    assert worker.stop()
    assert not worker.running


def test_a_hook_may_stop_its_own_worker(open_shop: Open) -> None:
    """It does not wait for itself."""
    told = threading.Event()
    shop = open_shop(deliver="manual", webhook_mode="worker")
    worker = Worker(shop.billing)

    @shop.billing.on("product.updated")
    def stop(_event: Event) -> None:
        assert worker.stop()
        told.set()

    post(shop, 1)
    worker.start()
    assert told.wait(PATIENCE)
    assert worker.stop(PATIENCE)


def test_what_cannot_work_is_refused(open_shop: Open) -> None:
    """An `AsyncBilling`, and numbers of threads that make no sense."""
    shop = open_shop(deliver="manual")
    for number in (0, 65, True, 1.5):
        with pytest.raises(ConfigError, match="threads"):
            Worker(shop.billing, threads=number)  # type: ignore[arg-type]  # some are no numbers
    with pytest.raises(ConfigError, match="billing"):
        Worker(AsyncBilling(database="sqlite+aiosqlite://"))  # type: ignore[arg-type]  # that is refused
