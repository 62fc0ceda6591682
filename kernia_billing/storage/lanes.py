"""Lanes: callers that write at the same time share transactions, and with them commits and the locks of customers.

Few transactions are on their way at a time; whoever comes meanwhile waits, and goes with the next one, together with
everybody else who waits. A caller alone finds the lane empty. A customer whom another process or a host's transaction
has locked gets a lane of its own, so that nobody waits for it but those who need it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Protocol, cast

from attrs import define, field

from ..domain.references import Reference
from ..errors import Unavailable
from .sharing import Ticket

MOST_TOGETHER = 128
"""So many units share a transaction at most."""
MOST_WAITING = 10_000
"""So many callers wait in one lane at most."""


class Together(Protocol):
    """Runs the units of some tickets in one transaction, and notes on each what became of it; raises nothing."""

    async def __call__(self, tickets: Sequence[Ticket], *, wait: bool) -> None:
        """With `wait` it waits for customers who are locked, without it those are left out."""
        ...


Run = Callable[[Sequence[Ticket]], Awaitable[None]]


class Lane(ABC):
    """Tickets on their way to shared transactions, of which so many as there are `places` run at a time."""

    def __init__(self, run: Run, places: int) -> None:
        self._run = run
        self._places = places

    @staticmethod
    @abstractmethod
    def home() -> object:
        """What the callers of one lane have in common: elsewhere there is nobody who would run what waits in it."""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether nobody is in it."""

    @abstractmethod
    async def take(self, ticket: Ticket) -> None:
        """Come back when it is known what became of the ticket.

        Raises:
            Unavailable: too many wait already.
        """


def _refuse(waiting: int) -> None:
    if waiting >= MOST_WAITING:
        raise Unavailable("The database does not keep up with what is to be recorded")


def _interrupt(tickets: Sequence[Ticket]) -> None:
    for each in tickets:
        each.fail(Unavailable("What was to record this was interrupted", outcome_unknown=True))


class _News:
    """What one thread waits for, and comes once: a bare lock, which takes a fifth of the time of an event."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self) -> None:
        """Come back when it has come."""
        self._lock.acquire()

    def come(self) -> None:
        """Let go on who waits."""
        self._lock.release()


@define(eq=False)
class _Caller:
    """A thread with its ticket. `news` comes once: either its ticket is done, or it `leads` from now on.

    `then` is whom it wakes when it has heard.
    """

    ticket: Ticket
    thread: int = field(factory=threading.get_ident)
    news: _News = field(factory=_News)
    then: _Caller | None = None
    waits: bool = False
    leads: bool = False
    gone: bool = False


class ThreadLane(Lane):
    """A lane of threads. Those that lead run the tickets of others with their own; the rest waits for them.

    A thread that was interrupted stops waiting, or gives its lead to another one.
    """

    def __init__(self, run: Run, places: int) -> None:
        super().__init__(run, places)
        self._mutex = threading.Lock()
        self._queue: deque[_Caller] = deque()
        self._leaders: set[int] = set()

    @staticmethod
    def home() -> object:
        """The process: one that was forked has none of the threads that wait, or lead."""
        return os.getpid()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in it."""
        return not self._leaders and not self._queue

    async def take(self, ticket: Ticket) -> None:
        """Come back when it is known what became of the ticket, without waiting for anything but threads."""
        mine = _Caller(ticket)
        try:
            self._enter(mine)
            if not mine.leads:
                mine.news.wait()
            if mine.leads:
                await self._lead(mine)
        finally:
            self._leave(mine)
            if mine.then is not None:
                mine.then.news.come()

    def _enter(self, mine: _Caller) -> None:
        with self._mutex:
            # Who comes leads nothing: it may have been interrupted just when it was to give that up.
            self._leaders.discard(mine.thread)
            if len(self._leaders) < self._places:
                self._promote(mine)
            else:
                _refuse(len(self._queue))
                mine.waits = True
                self._queue.append(mine)

    def _promote(self, heir: _Caller) -> None:
        heir.waits, heir.leads = False, True
        self._leaders.add(heir.thread)

    async def _lead(self, mine: _Caller) -> None:
        """Run the own ticket, and what waits."""
        together = [mine]
        try:
            with self._mutex:
                while self._queue and len(together) < MOST_TOGETHER:
                    together.append(self._queue.popleft())
                    together[-1].waits = False
            await self._run([each.ticket for each in together])
        except BaseException:
            _interrupt([each.ticket for each in together])
            raise
        finally:
            # The next transaction can begin before those are awake whose tickets are done.
            self._leave(mine)
            self._wake(together[1:])

    def _wake(self, callers: Sequence[_Caller]) -> None:
        """Let each of them wake the next one: all at once they would wait for the interpreter, and for each other."""
        first: _Caller | None = None
        with self._mutex:
            for each in reversed(callers):
                if not each.gone:
                    each.then, first = first, each
        if first is not None:
            first.news.come()

    def _leave(self, mine: _Caller) -> None:
        with self._mutex:
            mine.gone = True
            if mine.leads:
                mine.leads = False
                self._leaders.discard(mine.thread)
                if self._queue:
                    heir = self._queue.popleft()
                    self._promote(heir)
                    heir.news.come()
            elif mine.waits:
                mine.waits = False
                self._queue.remove(mine)


@define(eq=False)
class _Promise:
    """A task's ticket, and the future that is done when it is."""

    ticket: Ticket
    kept: asyncio.Future[None]


class TaskLane(Lane):
    """A lane of tasks. Tasks of the lane run the tickets, so that no caller's cancellation hits the others.

    Who is cancelled before its ticket is on its way leaves nothing.
    """

    def __init__(self, run: Run, places: int) -> None:
        super().__init__(run, places)
        self._queue: deque[_Promise] = deque()
        self._leaders: set[asyncio.Task[None]] = set()

    @staticmethod
    def home() -> object:
        """The event loop: another one would never wake those who wait in this one."""
        return asyncio.get_running_loop()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in it."""
        return not self._leaders and not self._queue

    async def take(self, ticket: Ticket) -> None:
        """Come back when it is known what became of the ticket."""
        _refuse(len(self._queue))
        loop = asyncio.get_running_loop()
        mine = _Promise(ticket, loop.create_future())
        self._queue.append(mine)
        self._find_leader(loop)
        await mine.kept

    def _find_leader(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._leaders) < self._places:
            # It works for whoever comes, not in the context of the one who came first.
            leader = loop.create_task(self._lead(), context=Context())
            self._leaders.add(leader)
            leader.add_done_callback(self._ended)

    async def _lead(self) -> None:
        while together := self._next():
            tickets = [each.ticket for each in together]
            try:
                await self._run(tickets)
            except BaseException:
                _interrupt(tickets)
                raise
            finally:
                for each in together:
                    if not each.kept.done():
                        each.kept.set_result(None)
        # Those just served go on before a callback of this task would: they find the lane as it is.
        self._leaders.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next(self) -> list[_Promise]:
        together: list[_Promise] = []
        while self._queue and len(together) < MOST_TOGETHER:
            first = self._queue.popleft()
            if not first.kept.done():
                together.append(first)
        return together

    def _ended(self, leader: asyncio.Task[None]) -> None:
        """Another one leads where somebody came since it looked last, or waits because it was cancelled."""
        self._leaders.discard(leader)
        if any(not each.kept.done() for each in self._queue):
            self._find_leader(leader.get_loop())


class Lanes:
    """The lanes of a store: a common one, and one for each customer whom somebody else has locked."""

    def __init__(self, kind: type[Lane], run: Together, places: int) -> None:
        self._kind = kind
        self._common_run: Run = partial(run, wait=False)
        self._own_run: Run = partial(run, wait=True)
        self._places = places
        self._home: object = None

    def _settle(self, home: object) -> None:
        self._common = self._kind(self._common_run, self._places)
        self._own: dict[Reference, Lane] = {}
        self._home = home

    async def take(self, ticket: Ticket) -> None:
        """Come back when it is known what became of the ticket.

        Raises:
            Unavailable: too many wait already.
        """
        if self._home != (home := self._kind.home()):
            self._settle(home)
        reference = ticket.needs.reference
        own = self._own.get(reference)
        if own is None or own.is_empty:
            await self._common.take(ticket)
            if not ticket.waits:
                return
            ticket.reset()
            own = self._own_lane(reference)
        await own.take(ticket)

    def _own_lane(self, reference: Reference) -> Lane:
        # Two threads may make one each. Then these wait for the customer in turn, as two processes do.
        self._own = {key: lane for key, lane in self._own.copy().items() if not lane.is_empty}
        return self._own.setdefault(reference, self._kind(self._own_run, 1))
