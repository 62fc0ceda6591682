"""Lanes: who leads, who goes together, and that nobody waits for ever whatever happens to the others."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from attrs import define, field

from kernia_billing import Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.references import Reference
from kernia_billing.ports.store import Needs, Transaction
from kernia_billing.storage import lanes
from kernia_billing.storage.lanes import Lanes, TaskLane, ThreadLane
from kernia_billing.storage.sharing import Ticket

PATIENCE = 30.0
"""Seconds after which a test gives up: nothing here takes a noticeable time."""


def _nothing(_tx: Transaction) -> None:
    raise AssertionError("the lanes run no units")


def _ticket(name: str = "anybody") -> Ticket:
    return Ticket(_nothing, Needs(Reference(name, "user"), ("messages",), None, 0))


def _names(tickets: Sequence[Ticket]) -> list[str]:
    return [each.needs.reference.id for each in tickets]


@define(eq=False)
class Road:
    """Runs tickets one batch after the other, each when it is let go; `on` is what happens on the way."""

    on: Callable[[Sequence[Ticket], bool], None] = lambda _tickets, _wait: None
    ran: list[tuple[list[str], bool]] = field(factory=list[tuple[list[str], bool]])
    leaders: list[str] = field(factory=list[str])
    at_once: int = 0
    most_at_once: int = 0
    mutex: threading.Lock = field(factory=threading.Lock)
    begun: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))
    go: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))

    async def __call__(self, tickets: Sequence[Ticket], *, wait: bool = False) -> None:
        """Run."""
        self.ran.append((_names(tickets), wait))
        self.leaders.append(threading.current_thread().name)
        self._count(1)
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE)
        self._count(-1)
        self.on(tickets, wait)
        for each in tickets:
            each.value = each.needs.reference.id

    def _count(self, change: int) -> None:
        with self.mutex:
            self.at_once += change
            self.most_at_once = max(self.at_once, self.most_at_once)

    @property
    def batches(self) -> list[list[str]]:
        """Who went together."""
        return [names for names, _ in self.ran]

    def open(self, batches: int = 10_000) -> None:
        """Let batches go."""
        self.go.release(batches)

    def wait_for(self, batches: int = 1) -> None:
        """Wait until so many more have begun."""
        for _ in range(batches):
            assert self.begun.acquire(timeout=PATIENCE)


@define(eq=False)
class Crowd:
    """Threads that take a ticket each, called as their tickets."""

    take: Callable[[Ticket], Coroutine[Any, Any, None]]
    threads: dict[str, threading.Thread] = field(factory=dict[str, threading.Thread])
    tickets: dict[str, Ticket] = field(factory=dict[str, Ticket])
    raised: dict[str, BaseException] = field(factory=dict[str, BaseException])

    def come(self, *names: str) -> None:
        """Start threads, one after the other."""
        for name in names:
            self.tickets[name] = _ticket(name)
            self.threads[name] = threading.Thread(target=self._take, args=(name,), name=name, daemon=True)
            self.threads[name].start()

    def _take(self, name: str) -> None:
        try:
            run_blocking(self.take(self.tickets[name]))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.raised[name] = error

    def gone(self, *names: str) -> None:
        """Wait for the end of threads, all of them by default."""
        for name in names or self.threads:
            self.threads[name].join(PATIENCE)
            assert not self.threads[name].is_alive(), f"{name} waits for ever"


def _until(is_so: Callable[[], bool]) -> None:
    """Let other threads run until something is so."""
    pause = threading.Event()
    for _ in range(int(PATIENCE * 1_000)):
        if is_so():
            return
        pause.wait(0.001)
    raise AssertionError("it never came to that")


def _queued(lane: ThreadLane, number: int) -> None:
    _until(lambda: len(lane._queue) == number)


# ── Threads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_thread_alone_runs_its_own_ticket() -> None:
    """Nobody else's thread is needed, and the lane is empty afterwards, time after time."""
    road = Road()
    road.open()
    lane = ThreadLane(road, 1)
    for _ in range(3):
        ticket = _ticket()
        run_blocking(lane.take(ticket))
        assert ticket.value == "anybody"
        assert lane.is_empty
    assert road.leaders == [threading.current_thread().name] * 3


def test_threads_that_wait_go_together_in_their_order() -> None:
    """One runs alone; those who came meanwhile go together with the next, led by the first of them."""
    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    for number, name in enumerate(["a", "b", "c"]):
        crowd.come(name)
        _queued(lane, number + 1)
    road.open()
    crowd.gone()
    assert road.batches == [["first"], ["a", "b", "c"]]
    assert road.leaders == ["first", "a"]
    assert {name: each.value for name, each in crowd.tickets.items()} == {name: name for name in crowd.tickets}
    assert lane.is_empty


def test_no_more_go_together_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more the rest goes next, led by one of the rest."""
    monkeypatch.setattr(lanes, "MOST_TOGETHER", 2)
    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    for number, name in enumerate("abcde"):
        crowd.come(name)
        _queued(lane, number + 1)
    road.open()
    crowd.gone()
    assert road.batches == [["first"], ["a", "b"], ["c", "d"], ["e"]]
    assert road.leaders == ["first", "a", "c", "e"]


def test_every_place_is_used_and_no_other() -> None:
    """With two places two run at a time. Callers that come and go again and again leave both as they were."""
    road = Road()
    lane = ThreadLane(road, 2)
    crowd = Crowd(lane.take)
    crowd.come("one", "two")
    road.wait_for(2)
    crowd.come("three")
    _queued(lane, 1)
    road.open()
    crowd.gone()
    assert road.most_at_once == 2
    threads = [threading.Thread(target=_often, args=(lane,), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert lane.is_empty
    assert road.most_at_once == 2


def _often(lane: ThreadLane) -> None:
    for _ in range(200):
        ticket = _ticket()
        run_blocking(lane.take(ticket))
        assert ticket.value is not None


def test_an_heir_that_was_served_meanwhile_leads_nothing() -> None:
    """Where one leader makes an heir while another one is about to take all that wait, no place is lost."""
    road = Road()
    lane = ThreadLane(road, 2)
    crowd = Crowd(lane.take)
    crowd.come("one", "two")
    road.wait_for(2)
    for number, name in enumerate(["a", "b", "c"]):
        crowd.come(name)
        _queued(lane, number + 1)
    road.open(2)
    road.wait_for(1)
    road.open()
    crowd.gone()
    assert lane.is_empty
    assert sorted(name for names in road.batches for name in names) == ["a", "b", "c", "one", "two"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_leader_passes_on(interrupt: type[BaseException]) -> None:
    """Those that went with it hear that nobody knows; those that wait are served by somebody else."""

    def strike(tickets: Sequence[Ticket], _wait: bool) -> None:
        if _names(tickets)[0] == "a":
            raise interrupt

    road = Road(strike)
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    for number, name in enumerate(["a", "b"]):
        crowd.come(name)
        _queued(lane, number + 1)
    road.open(1)
    road.wait_for()
    crowd.come("later")
    _queued(lane, 1)
    road.open()
    crowd.gone()
    assert [*crowd.raised] == ["a"]
    assert isinstance(crowd.raised["a"], interrupt)
    error = crowd.tickets["b"].error
    assert isinstance(error, Unavailable)
    assert error.outcome_unknown
    assert crowd.tickets["later"].value == "later"
    assert lane.is_empty


class _Stop(BaseException):
    """What a host's signal handler may raise anywhere."""


def _interrupted_while(waiting: Callable[[], bool], take: Callable[[], None], then: Callable[[], None]) -> None:
    """Raise `_Stop` by a signal in this thread, which takes a ticket, once it waits as it should."""

    def strike() -> None:
        _until(waiting)
        then()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def handle(_number: int, _frame: object) -> None:
        raise _Stop

    before = signal.signal(signal.SIGUSR1, handle)
    striker = threading.Thread(target=strike, daemon=True)
    try:
        striker.start()
        with pytest.raises(_Stop):
            take()
    finally:
        signal.signal(signal.SIGUSR1, before)
        striker.join(PATIENCE)


def test_an_interrupted_follower_leaves() -> None:
    """It waits no longer, its ticket is never run, and all others are served."""
    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    left = _ticket("left")
    _interrupted_while(lambda: len(lane._queue) == 1, lambda: run_blocking(lane.take(left)), lambda: None)
    crowd.come("other")
    _queued(lane, 1)
    road.open()
    crowd.gone()
    assert road.batches == [["first"], ["other"]]
    assert lane.is_empty


def test_who_is_interrupted_on_the_way_keeps_nobody_waiting() -> None:
    """Each that was served wakes the next one; one that has gone meanwhile is passed over."""
    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    crowd.come("leader")
    _queued(lane, 1)
    steps = {2: lambda: crowd.come("after"), 3: lambda: crowd.come("last"), 4: lambda: road.open(1)}

    def on_its_way() -> bool:
        steps.pop(len(lane._queue), lambda: None)()
        return len(road.ran) == 2

    _interrupted_while(on_its_way, lambda: run_blocking(lane.take(_ticket("gone"))), lambda: None)
    road.open()
    crowd.gone()
    assert road.batches == [["first"], ["leader", "gone", "after", "last"]]
    assert lane.is_empty


def test_an_heir_that_is_interrupted_before_it_leads_passes_on() -> None:
    """A thread that was told to lead and is struck before it can begin leaves the lead to the next."""

    class Struck(lanes._News):
        def wait(self) -> None:
            super().wait()
            raise _Stop

    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    enter = lane._enter

    def entered(mine: Any) -> None:
        enter(mine)
        if mine.ticket.needs.reference.id == "struck":
            mine.news = Struck()

    lane._enter = entered  # type: ignore[method-assign]  # its inside
    for number, name in enumerate(["struck", "next"]):
        crowd.come(name)
        _queued(lane, number + 1)
    road.open()
    crowd.gone()
    assert isinstance(crowd.raised["struck"], _Stop)
    assert road.batches == [["first"], ["next"]]
    assert lane.is_empty


def test_a_thread_struck_while_it_gives_up_the_lead_is_not_missed() -> None:
    """Its place counts as free again when it comes back, whatever was left undone."""
    road = Road()
    road.open()
    lane = ThreadLane(road, 1)
    lane._leaders.add(threading.get_ident())
    ticket = _ticket()
    run_blocking(lane.take(ticket))
    assert ticket.value == "anybody"
    assert lane.is_empty


def test_a_full_queue_of_threads_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes when too many wait hears so at once; those who wait are served."""
    monkeypatch.setattr(lanes, "MOST_WAITING", 2)
    road = Road()
    lane = ThreadLane(road, 1)
    crowd = Crowd(lane.take)
    crowd.come("first")
    road.wait_for()
    for number, name in enumerate(["a", "b"]):
        crowd.come(name)
        _queued(lane, number + 1)
    with pytest.raises(Unavailable, match="keep up") as refused:
        run_blocking(lane.take(_ticket("too many")))
    assert not refused.value.outcome_unknown
    road.open()
    crowd.gone()
    assert road.batches == [["first"], ["a", "b"]]
    assert lane.is_empty


def test_a_forked_child_has_lanes_of_its_own() -> None:
    """The parent's leaders and those who wait for them do not exist in the child: it waits for nobody."""
    road = Road()
    own = Lanes(ThreadLane, road, 1)
    crowd = Crowd(own.take)
    crowd.come("leads")
    road.wait_for()
    crowd.come("waits")
    _until(lambda: len(own._common._queue) == 1)  # type: ignore[attr-defined]  # its inside
    child = os.fork()
    if child == 0:
        road.go = threading.Semaphore(1)
        run_blocking(own.take(_ticket("child")))
        os._exit(0 if road.batches == [["leads"], ["child"]] else 1)
    _until(lambda: os.waitpid(child, os.WNOHANG) != (0, 0))
    road.open()
    crowd.gone()
    assert road.batches == [["leads"], ["waits"]]


# ── Tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@define(eq=False)
class Track:
    """The same for tasks: runs batches when it is let go."""

    on: Callable[[Sequence[Ticket], bool], None] = lambda _tickets, _wait: None
    ran: list[tuple[list[str], bool]] = field(factory=list[tuple[list[str], bool]])
    go: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, tickets: Sequence[Ticket], *, wait: bool = False) -> None:
        """Run."""
        self.ran.append((_names(tickets), wait))
        await self.go.acquire()
        self.on(tickets, wait)
        for each in tickets:
            each.value = each.needs.reference.id

    @property
    def batches(self) -> list[list[str]]:
        """Who went together."""
        return [names for names, _ in self.ran]

    def open(self, batches: int = 10_000) -> None:
        """Let batches go."""
        for _ in range(batches):
            self.go.release()


async def _turns(number: int = 5) -> None:
    """Let the other tasks run as far as they can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def _soon(work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait_for(work, PATIENCE)


@pytest.mark.anyio
async def test_one_task_after_the_other_is_served() -> None:
    """A task that comes back in the very moment in which its ticket is done finds the lane free."""
    track = Track()
    track.open()
    lane = TaskLane(track, 1)

    async def often() -> None:
        for _ in range(20):
            ticket = _ticket()
            await lane.take(ticket)
            assert ticket.value == "anybody"

    await _soon(often())
    assert lane.is_empty
    assert len(track.batches) == 20


@pytest.mark.anyio
async def test_tasks_that_wait_go_together_in_their_order() -> None:
    """One runs alone, all who came meanwhile go with the next."""
    track = Track()
    lane = TaskLane(track, 1)
    tickets = [_ticket(name) for name in ("first", "a", "b", "c")]
    tasks = [asyncio.create_task(lane.take(tickets[0]))]
    await _turns()
    tasks += [asyncio.create_task(lane.take(each)) for each in tickets[1:]]
    await _turns()
    track.open()
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert track.batches == [["first"], ["a", "b", "c"]]
    assert [each.value for each in tickets] == ["first", "a", "b", "c"]
    assert lane.is_empty


@pytest.mark.anyio
async def test_a_cancelled_task_leaves_nothing() -> None:
    """Cancelled before its ticket is on its way it is never run; the others are served."""
    track = Track()
    lane = TaskLane(track, 1)
    tasks = {name: asyncio.create_task(lane.take(_ticket(name))) for name in ("first", "gone", "stays")}
    await _turns()
    assert track.batches == [["first", "gone", "stays"]]
    later = {name: asyncio.create_task(lane.take(_ticket(name))) for name in ("gone too", "stays too")}
    await _turns()
    tasks["gone"].cancel()
    later["gone too"].cancel()
    track.open()
    ended = await asyncio.gather(*tasks.values(), *later.values(), return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in ended] == [False, True, False, True, False]
    assert track.batches == [["first", "gone", "stays"], ["stays too"]]
    assert lane.is_empty


@pytest.mark.anyio
async def test_a_lane_of_cancelled_tasks_is_empty_in_the_end() -> None:
    """Where everybody was cancelled nothing is run, and the next one is served."""
    track = Track()
    lane = TaskLane(track, 1)
    first = asyncio.create_task(lane.take(_ticket("first")))
    await _turns()
    gone = asyncio.create_task(lane.take(_ticket("gone")))
    await _turns()
    gone.cancel()
    track.open()
    await asyncio.wait_for(first, PATIENCE)
    await _turns()
    assert lane.is_empty
    await _soon(lane.take(_ticket("next")))
    assert track.batches == [["first"], ["next"]]


@pytest.mark.anyio
@pytest.mark.parametrize("begun", [True, False], ids=["on its way", "before its first step"])
async def test_a_cancelled_leader_is_followed_by_another(begun: bool) -> None:
    """Those that went with it hear that nobody knows, those who wait are served."""
    track = Track()
    lane = TaskLane(track, 1)
    first = asyncio.create_task(lane.take(_ticket("first")))
    await _turns(5 if begun else 1)
    (leader,) = lane._leaders
    ticket = _ticket("waits")
    waiting = asyncio.create_task(lane.take(ticket))
    if begun:
        await _turns()
    leader.cancel()
    track.open()
    await asyncio.wait_for(asyncio.gather(first, waiting), PATIENCE)
    assert ticket.value == "waits"
    assert track.batches == ([["first"], ["waits"]] if begun else [["first", "waits"]])
    await _turns()
    assert lane.is_empty


@pytest.mark.anyio
async def test_a_full_queue_of_tasks_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes when too many wait hears so at once."""
    monkeypatch.setattr(lanes, "MOST_WAITING", 2)
    track = Track()
    lane = TaskLane(track, 1)
    tasks = [asyncio.create_task(lane.take(_ticket("first")))]
    await _turns()
    tasks += [asyncio.create_task(lane.take(_ticket(name))) for name in "ab"]
    await _turns()
    with pytest.raises(Unavailable, match="keep up"):
        await lane.take(_ticket("too many"))
    track.open()
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    assert track.batches == [["first"], ["a", "b"]]


@pytest.mark.anyio
async def test_leaders_know_nothing_of_who_came_first() -> None:
    """What a caller has in its context, such as a trace, is not taken for what is done for others."""
    from contextvars import ContextVar

    trace: ContextVar[str] = ContextVar("trace", default="none")
    seen: list[str] = []

    async def run(_tickets: Sequence[Ticket]) -> None:
        seen.append(trace.get())

    trace.set("mine")
    await TaskLane(run, 1).take(_ticket())
    assert seen == ["none"]


def test_another_loop_has_lanes_of_its_own() -> None:
    """What was left behind in a loop that was stopped is nothing that another one waits for."""
    track = Track()
    own = Lanes(TaskLane, track, 1)
    first = asyncio.new_event_loop()
    abandoned = first.create_task(own.take(_ticket("abandoned")))
    first.run_until_complete(_turns())
    assert not abandoned.done()
    assert track.batches == [["abandoned"]]

    async def again() -> None:
        track.go = asyncio.Semaphore(1)
        await asyncio.wait_for(own.take(_ticket("again")), PATIENCE)

    asyncio.run(again())
    assert track.batches == [["abandoned"], ["again"]]
    left = asyncio.all_tasks(first)
    for task in left:
        task.cancel()
    first.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    first.close()


# ── A customer's own lane ────────────────────────────────────────────────────────────────────────────────────────────


def _locked(*names: str) -> Callable[[Sequence[Ticket], bool], None]:
    """Customers whom somebody else has locked."""

    def mark(tickets: Sequence[Ticket], wait: bool) -> None:
        for each in tickets:
            each.reset(waits=not wait and each.needs.reference.id in names)

    return mark


def test_a_locked_customer_has_a_lane_of_its_own() -> None:
    """It is waited for there, by those who need it only, and not asked for in the common lane meanwhile."""
    road = Road(_locked("locked"))
    own = Lanes(ThreadLane, road, 1)
    crowds = [Crowd(own.take) for _ in range(3)]
    crowds[0].come("locked")
    road.wait_for()
    road.open(1)
    road.wait_for()
    assert road.ran == [(["locked"], False), (["locked"], True)]
    crowds[1].come("locked")
    crowds[2].come("free")
    road.wait_for()
    assert road.ran[2:] == [(["free"], False)]
    _until(lambda: [len(each._queue) for each in own._own.values()] == [1])  # type: ignore[attr-defined]  # its inside
    road.open()
    for crowd in crowds:
        crowd.gone()
    assert road.ran[3:] == [(["locked"], True)]
    assert all(crowd.tickets[name].value == name for crowd in crowds for name in crowd.tickets)


def test_a_locked_customers_transaction_may_fail() -> None:
    """Its callers hear of it: that they waited before is forgotten by then."""

    def fail(tickets: Sequence[Ticket], wait: bool) -> None:
        for each in tickets:
            if wait:
                each.fail(Unavailable("The database is gone"))
            else:
                each.reset(waits=True)

    road = Road(fail)
    road.open()
    ticket = _ticket()
    run_blocking(Lanes(ThreadLane, road, 1).take(ticket))
    with pytest.raises(Unavailable, match="gone"):
        ticket.answer()


def test_a_lane_of_ones_own_disappears() -> None:
    """Once nobody is in it the customer goes the common way again, and nothing is kept for whom it was."""
    road = Road(_locked(*(f"locked-{number}" for number in range(20))))
    road.open()
    own = Lanes(ThreadLane, road, 1)
    for number in range(20):
        run_blocking(own.take(_ticket(f"locked-{number}")))
    assert len(own._own) == 1
    road.on = _locked()
    run_blocking(own.take(_ticket("locked-19")))
    assert road.ran[-2:] == [(["locked-19"], True), (["locked-19"], False)]


@pytest.mark.anyio
async def test_tasks_wait_for_a_locked_customer_apart() -> None:
    """The same for tasks; one that is cancelled there leaves nothing."""
    track = Track(_locked("locked"))
    own = Lanes(TaskLane, track, 1)
    first = asyncio.create_task(own.take(_ticket("locked")))
    await _turns()
    track.open(1)
    await _turns()
    assert track.ran == [(["locked"], False), (["locked"], True)]
    gone = asyncio.create_task(own.take(_ticket("locked")))
    free = asyncio.create_task(own.take(_ticket("free")))
    await _turns()
    gone.cancel()
    track.open()
    await asyncio.wait_for(asyncio.gather(first, free), PATIENCE)
    await _turns()
    assert track.ran[2:] == [(["free"], False)]
    assert all(each.is_empty for each in own._own.values())
