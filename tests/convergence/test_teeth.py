"""The tests of this folder find what they are for: with a planted fault some orders end wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from random import Random
from typing import Any

import pytest

from kernia_billing._drive import run_blocking
from kernia_billing.domain.reports import SyncReport
from kernia_billing.operations import resync
from kernia_billing.operations.core import Core
from kernia_billing.operations.projections import tickets
from kernia_billing.operations.projections.tickets import Fetched, Kind
from kernia_billing.ports.store import Transaction
from tests.convergence.conftest import Record
from tests.convergence.copies import Copy
from tests.convergence.histories import HISTORIES
from tests.convergence.machine import BillingMachine
from tests.convergence.recordings import Recording
from tests.convergence.streams import play_stream, stream
from tests.convergence.tape import Tape, Told, Version
from tests.convergence.walks import every_way
from tests.webhooks.shop import Shop
from tests.webhooks.stepping import Handler, run
from tests.webhooks.test_tickets import SUBJECTS, Stage, Subject, _told

CHANGES = HISTORIES[1]


@pytest.fixture
def changes(record: Record) -> Recording:
    """A history in which the subscription changes three times."""
    return record(CHANGES)


def test_believing_what_an_event_says_is_found(changes: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes the state that an event tells of, and does not ask, ends wrong in many orders."""
    hear = Copy.hear

    def believing(self: Copy, told: Told, version: Version) -> object:
        self.tape.at, before = told.moment, self.tape.at
        try:
            return hear(self, told, version)
        finally:
            self.tape.at = before

    monkeypatch.setattr(Copy, "hear", believing)
    with changes.copy() as copy:
        ways = islice(every_way(copy, changes, "2026-10-28.endive", begin=changes.end), 120)
        wrong = [way for way in ways if changes.state(copy) != changes.imported]
    assert len(wrong) > 20


def test_a_stream_without_a_resync_is_found(changes: Recording) -> None:
    """Lost news is missed: without a resync some streams end wrong."""
    wrong = 0
    with changes.copy() as copy:
        for number in range(12):
            copy.keeper.put(changes.start)
            play_stream(copy, changes, stream(changes, Random(number)))
            wrong += changes.state(copy) != changes.imported
    assert wrong


def test_one_fetch_for_two_handlers_is_found(changes: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever joins a fetch that began before the change, or keeps its answer, misses the change."""
    kept: dict[str, Mapping[str, Any]] = {}
    request = Tape.request

    async def coalescing(self: Tape, method: str, path: str, params: object = None, **more: Any) -> Mapping[str, Any]:
        if path not in kept:
            kept[path] = await request(self, method, path, params, **more)
        return kept[path]

    monkeypatch.setattr(Tape, "request", coalescing)
    with changes.copy() as copy:
        for each in changes.told:
            copy.tape.at = each.moment
            copy.hear(each, "2026-10-28.endive")
        copy.tape.at = changes.end
        assert changes.state(copy) != changes.imported


def test_a_resync_that_does_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine sees that a cancellation was lost and not looked for."""

    async def nothing(*_: object, **__: object) -> SyncReport:
        return SyncReport({})

    monkeypatch.setattr(resync, "run", nothing)
    monkeypatch.setattr(resync, "reference", nothing)
    machine = BillingMachine()
    try:
        machine.subscribe(plan="pro")
        machine.lose_webhooks()
        machine.cancel_now()
        machine.model_and_database_agree()
        machine.resync(everything=True)
        with pytest.raises(AssertionError):
            machine.model_and_database_agree()
    finally:
        machine.close()


def _stamped_late(fetch: Callable[..., Any]) -> Callable[..., Any]:
    async def fetched(core: Core, kind: Kind, stripe_id: str, ticket: int | None = None) -> Fetched:
        early = await fetch(core, kind, stripe_id, 0)

        def take(tx: Transaction) -> int:
            return tx.objects.take_ticket(kind, stripe_id)

        return Fetched(kind, stripe_id, await core.store.transaction(take), early.body)

    return fetched


def _stored(core: Core, subject: Subject, stripe_id: str) -> object:
    return run_blocking(core.store.read(lambda tx: subject.stored(tx, stripe_id)))


def test_a_ticket_taken_after_the_fetch_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the 126 interleavings of two handlers end in the older state."""
    monkeypatch.setattr(tickets, "fetch", _stamped_late(tickets.fetch))
    subject = SUBJECTS["product"]
    core = shop.billing._wiring.core
    wrong = 0
    for order in _told("a", "b"):
        stage = Stage(core, subject)
        handlers = {name: Handler(subject.handle(stage.core, stage.id), first="read") for name in "ab"}
        run(order, {"A": stage.change, "B": stage.change}, handlers)
        wrong += _stored(core, subject, stage.id) != subject.expected(2)
    assert wrong
