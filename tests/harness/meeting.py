"""Callers of one application who write at the very same time, and so share transactions."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from attrs import define, field

from kernia_billing import AsyncBilling, Billing
from kernia_billing.domain.answers import Mode, Usage
from kernia_billing.domain.ids import Property
from kernia_billing.operations.recipe import _unit, usage_of
from kernia_billing.operations.track import counting
from kernia_billing.ports.store import Needs
from kernia_billing.storage.lanes import Lanes, Together
from kernia_billing.storage.sharing import Ticket
from kernia_billing.storage.store import SqlStore
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.servers import async_url

from .house import options

Kind = Literal["threads", "tasks"]
KINDS: tuple[Kind, ...] = ("threads", "tasks")
Call = Callable[[Any], Any]
"""What a caller does with a `Billing`, or an `AsyncBilling`: there it gives something to be awaited."""
PATIENCE = 60.0
FIRST = "first"
"""The reference whom the first caller counts for: the others come while its transaction is on its way."""


@define(eq=False)
class Met:
    """What each caller got, in their order, and how many tickets each transaction had."""

    answers: Sequence[Usage | BaseException]
    batches: list[int]
    alone: int = 0

    @property
    def receipts(self) -> list[Usage]:
        """What those got who were not refused."""
        return [each for each in self.answers if isinstance(each, Usage)]

    def errors(self, kind: type[BaseException]) -> int:
        """How many were refused so."""
        return sum(isinstance(each, kind) for each in self.answers)


class _Queue(deque[Any]):
    """Tells when so many wait."""

    def __init__(self, enough: int, tell: Callable[[], None]) -> None:
        super().__init__()
        self._enough = enough
        self._tell = tell

    def append(self, each: Any, /) -> None:
        super().append(each)
        if len(self) == self._enough:
            self._tell()


@define(eq=False)
class _Door:
    """Stands before the transactions of a store: the first one waits until so many others have come."""

    store: SqlStore
    others: int
    begun: threading.Event | asyncio.Event
    full: threading.Event | asyncio.Event
    before: Callable[[SqlStore, int], None]
    batches: list[int] = field(factory=list[int])
    alone: int = 0

    def __attrs_post_init__(self) -> None:
        lanes: Any = watched(self.store, self.run)
        lanes._common._queue = _Queue(self.others, self.full.set)

    async def run(self, tickets: Sequence[Ticket], *, wait: bool) -> None:
        """Run tickets, the first of all when the others are there."""
        self.batches.append(len(tickets))
        if len(self.batches) == 1:
            self.begun.set()
            if isinstance(self.full, asyncio.Event):
                await self.full.wait()
            else:
                assert self.full.wait(PATIENCE), "they never came"
        self.before(self.store, len(self.batches))
        await self.store._together(tickets, wait=wait)
        self.alone += sum(each.alone for each in tickets)


def watched(store: SqlStore, run: Together) -> Lanes:
    """Let `run` do what the lanes of a store do, one transaction at a time."""
    lanes = Lanes(store.lane, run, 1)
    lanes._settle(store.lane.home())
    store._lanes = lanes
    return lanes


def store_of(billing: Any) -> SqlStore:
    """The store of an application."""
    store: SqlStore = billing._wiring.core.store._store
    return store


def sound(diagnosis: Any) -> bool:
    """Whether the doctor finds nothing, but for a catalog that nobody has imported."""
    return not [each for each in diagnosis.findings if each.check != "plans.prices"]


def first(billing: Any) -> Any:
    """What the first caller does."""
    return billing.track(FIRST, "messages")


def _nothing(_store: SqlStore, _number: int) -> None:
    """What happens before a transaction, unless a test has something happen."""


def meet(
    kind: Kind, url: str, calls: Sequence[Call], before: Callable[[SqlStore, int], None] = _nothing, **more: Any
) -> Met:
    """Make these calls in threads or tasks, so that all wait at the same time.

    They come while the transaction of a first caller is on its way, so theirs is the second one. Something may happen
    `before` each, which is told the number.
    """
    if kind == "threads":
        return _threads(url, calls, before, more)
    return asyncio.run(_tasks(url, calls, before, more))


def ticket(
    billing: Any,
    reference: str,
    feature: str,
    quantity: int = 1,
    *,
    mode: Mode = "record",
    key: str | None = None,
    entity: str | None = None,
    properties: Mapping[str, Property] | None = None,
) -> Ticket:
    """What `track` sends through the lanes."""
    core = billing._wiring.core
    prepared = counting(core, reference, feature, quantity, mode=mode, key=key, entity=entity, properties=properties)
    stamp = prepared.stamp
    needs = Needs(stamp.reference, prepared.features or (), key, core.now())
    return Ticket(lambda tx: _unit(core, tx, stamp, usage_of, prepared.work, joined=False), needs)


def _threads(url: str, calls: Sequence[Call], before: Callable[[SqlStore, int], None], more: dict[str, Any]) -> Met:
    answers: list[Any] = [None] * len(calls)
    with Billing(**options(url, StripeSimulator(), **more)) as billing:
        first(billing)
        door = _Door(store_of(billing), len(calls), threading.Event(), threading.Event(), before)

        def call(number: int) -> None:
            try:
                answers[number] = calls[number](billing)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                answers[number] = error

        threads = [threading.Thread(target=first, args=(billing,), daemon=True)]
        threads[0].start()
        assert isinstance(door.begun, threading.Event)
        assert door.begun.wait(PATIENCE)
        threads += [threading.Thread(target=call, args=(number,), daemon=True) for number in range(len(calls))]
        for thread in threads[1:]:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "somebody waits for ever"
        assert sound(billing.doctor())
    return Met(answers, door.batches, door.alone)


async def _tasks(url: str, calls: Sequence[Call], before: Callable[[SqlStore, int], None], more: dict[str, Any]) -> Met:
    async with AsyncBilling(**options(async_url(url), AsyncStripeSimulator(), **more)) as billing:
        await first(billing)
        door = _Door(store_of(billing), len(calls), asyncio.Event(), asyncio.Event(), before)

        async def begin() -> Sequence[Any]:
            leader = asyncio.create_task(first(billing))
            assert isinstance(door.begun, asyncio.Event)
            await door.begun.wait()
            answers = await asyncio.gather(*(call(billing) for call in calls), return_exceptions=True)
            await leader
            return answers

        answers = await asyncio.wait_for(begin(), PATIENCE)
        assert sound(await billing.doctor())
    return Met(answers, door.batches, door.alone)
