"""The memory of snapshots: what is kept, for how long, how much of it, and what a write does to it."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import pytest

from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Balance, Decision
from kernia_billing.domain.customers import CustomerRow
from kernia_billing.domain.instants import FOREVER, to_datetime
from kernia_billing.domain.references import Reference
from kernia_billing.operations.watching import Watched
from kernia_billing.ports.store import Unit
from kernia_billing.runtime.snapshots import MemorySnapshots
from tests.harness.processes import StandingClock

T = TypeVar("T")
START = 1_000
AGE = 100
ANN, BOB = Reference("ann", "user"), Reference("bob", "user")
DECISION = Decision(
    allowed=True,
    reason="ok",
    message="",
    reference=ANN,
    feature="messages",
    required=1,
    balance=Balance("messages", 1, 0, 0, 1, False, None, 0, None),
    breakdown=(),
    limits=(),
    offers=(),
    as_of=to_datetime(START),
)


@pytest.fixture
def clock() -> StandingClock:
    """Time."""
    return StandingClock(START)


@pytest.fixture
def memory(clock: StandingClock) -> MemorySnapshots:
    """A memory for three answers."""
    return MemorySnapshots(clock, AGE, most=3)


def keep(memory: MemorySnapshots, reference: Reference = ANN, feature: str = "messages", until: int = FOREVER) -> bool:
    """Read an answer and keep it; says whether that was allowed."""
    version = memory.version(reference)
    if version is not None:
        memory.keep(version, (reference, feature, 1, None), DECISION, START, until)
    return version is not None


def knows(memory: MemorySnapshots, reference: Reference = ANN, feature: str = "messages") -> bool:
    """Whether there is an answer."""
    return memory.find(reference, feature, 1, None) is not None


def test_the_oldest_answers_go_first(memory: MemorySnapshots) -> None:
    """There are never more than so many; one that is read again is new again."""
    for feature in ("a", "b", "c", "a", "d"):
        keep(memory, feature=feature)

    assert [True, False, True, True] == [knows(memory, feature=each) for each in "abcd"]


def test_an_answer_lasts_as_long_as_it_is_true(memory: MemorySnapshots, clock: StandingClock) -> None:
    """Where time changes it before its age, it goes then."""
    keep(memory, until=START + 10)

    clock.micros += 9
    assert knows(memory)
    clock.micros += 1
    assert not knows(memory)


def test_what_was_read_before_a_write_is_not_kept_after_it(memory: MemorySnapshots) -> None:
    """A reader that began before the write and comes back after it is too late."""
    version = memory.version(ANN)
    assert version is not None

    memory.end(ANN, memory.begin(ANN))
    memory.keep(version, (ANN, "messages", 1, None), DECISION, START, FOREVER)

    assert not knows(memory)
    assert keep(memory)
    assert knows(memory)


def test_nothing_is_kept_while_a_write_is_on_its_way(memory: MemorySnapshots) -> None:
    """From its lock to its end: what is read meanwhile may be from before it."""
    keep(memory)
    keep(memory, BOB)

    write = memory.begin(ANN)

    assert not knows(memory)
    assert not keep(memory)
    assert knows(memory, BOB)
    memory.end(ANN, write)
    assert keep(memory)


def test_writes_of_one_customer_end_each_for_itself(memory: MemorySnapshots) -> None:
    """The end of one is not the end of the next one, which had its lock after the commit of the first."""
    first, second = memory.begin(ANN), memory.begin(ANN)

    memory.end(ANN, first)

    assert not keep(memory)
    memory.end(ANN, second)
    assert keep(memory)


def test_a_write_without_end_lasts_for_the_age(memory: MemorySnapshots, clock: StandingClock) -> None:
    """Nobody knows when the host commits; an answer that is read later may miss it for the age that was declared."""
    memory.begin(ANN)

    clock.micros += AGE - 1
    assert not keep(memory)
    clock.micros += 1
    assert keep(memory)


def test_an_event_ends_what_was_read(memory: MemorySnapshots) -> None:
    """Of that customer, and the next answer is kept."""
    keep(memory)
    keep(memory, BOB)
    reading = memory.version(ANN)
    assert reading is not None

    memory.forget(ANN)

    memory.keep(reading, (ANN, "messages", 1, None), DECISION, START, FOREVER)
    assert [False, True] == [knows(memory, each) for each in (ANN, BOB)]
    assert keep(memory)


def test_writes_are_bounded_too(memory: MemorySnapshots, clock: StandingClock) -> None:
    """Those that are over are forgotten; where there are too many on their way, nothing is kept until all are over."""
    hosts = [Reference(str(number), "user") for number in range(5)]
    for each in hosts[:3]:
        memory.begin(each)
    clock.micros += AGE
    memory.begin(hosts[3])
    assert [True, True, True, False] == [keep(memory, each) for each in hosts[:4]]

    for each in (*hosts[:2], hosts[4]):
        memory.begin(each)

    assert not any(keep(memory, each) for each in (*hosts, ANN))
    clock.micros += AGE
    assert all(keep(memory, each) for each in (*hosts, ANN))


@pytest.mark.parametrize("call", ["version", "forget", "begin"])
def test_a_forked_process_begins_anew(memory: MemorySnapshots, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """It has none of its parent's threads, one of which may have held the mutex, and hears of none of its writes."""
    keep(memory)
    memory._mutex.acquire()

    monkeypatch.setattr("os.getpid", lambda: -1)
    getattr(memory, call)(BOB)

    assert not knows(memory)
    assert keep(memory)
    assert knows(memory)


# ── The store that tells of writes ───────────────────────────────────────────────────────────────────────────────────


class _Customers:
    def _row(self, reference: Reference) -> CustomerRow:
        return CustomerRow("1", reference, None, None, None, 0, 0, None, 0, 0)

    def lock(self, customer_id: str, now: int | None = None) -> CustomerRow | None:
        return self._row(Reference(customer_id, "user"))

    def lock_reference(self, reference: Reference, now: int | None = None) -> CustomerRow | None:
        return None if reference == BOB else self._row(reference)

    def get(self, reference: Reference) -> CustomerRow | None:
        return self._row(reference)


class _Tx:
    customers = _Customers()
    usage = "usage"


class _Store:
    """Runs a unit, and then fails, or not."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure

    async def transaction(self, unit: Unit[T], **_: Any) -> T:
        answer = unit(cast("Any", _Tx()))
        if self.failure is not None:
            raise self.failure
        return answer


def watched(memory: MemorySnapshots, failure: BaseException | None = None) -> Watched:
    """A store over nothing."""
    return Watched(cast("Any", _Store(failure)), memory)


@pytest.mark.parametrize("locking", ["lock", "lock_reference"])
def test_whoever_is_locked_is_written_to(memory: MemorySnapshots, locking: str) -> None:
    """From the lock on nothing of the customer is kept; when the call returns the write is over."""
    keep(memory)
    store = watched(memory)
    seen: list[bool] = []

    def unit(tx: Any) -> str:
        tx.customers.get(ANN)
        seen.append(knows(memory))
        getattr(tx.customers, locking)("ann" if locking == "lock" else ANN)
        tx.customers.lock_reference(BOB)
        seen.extend([knows(memory), keep(memory), keep(memory, BOB)])
        return str(tx.usage)

    assert "usage" == run_blocking(store.transaction(unit))

    assert [True, False, False, True] == seen
    assert keep(memory)


@pytest.mark.parametrize("failure", [OSError(), KeyboardInterrupt()])
def test_a_write_that_failed_may_have_been_committed(
    memory: MemorySnapshots, clock: StandingClock, failure: BaseException
) -> None:
    """Its end is unknown, as it is where a caller is cancelled."""
    with pytest.raises(type(failure)):
        run_blocking(watched(memory, failure).transaction(lambda tx: tx.customers.lock_reference(ANN)))

    assert not keep(memory)
    clock.micros += AGE
    assert keep(memory)


def test_a_write_in_the_hosts_transaction_ends_when_nobody_sees_it(memory: MemorySnapshots) -> None:
    """It returns long before the host commits."""
    run_blocking(watched(memory).transaction(lambda tx: tx.customers.lock_reference(ANN), host=object()))

    assert not keep(memory)
