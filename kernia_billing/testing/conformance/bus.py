"""The conformance suite of the bus port.

```python
class TestMyBus(BusConformance):
    @pytest.fixture
    def connect(self) -> Connect:
        return lambda patience: DrivenBus(MyBus(..., patience=patience), run_blocking)  # one more consumer
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from attrs import frozen

from ...bus.lanes import Patience
from ...domain.messages import LANES, Handler, Message, Waiting, lane_of
from ...errors import GuardError, InvalidInput
from ...ports.bus import Bus
from ...ports.guard import unit_of_work

HASTE = Patience(lease=0.5, retry=0.05, deliveries=4)
"""How long a bus under test waits, where that is what is tested."""
CALM = Patience()
_PATIENCE = 30.0


@frozen
class DrivenBus:
    """A bus whose methods can be called from plain test functions; `drive` runs a coroutine to its end."""

    bus: Bus
    drive: Callable[[Coroutine[Any, Any, Any]], Any]

    def publish(self, *messages: Message) -> None:
        """`Bus.publish`."""
        self.drive(self.bus.publish(messages))

    def receive(self, group: str, handler: Handler, *, topics: Sequence[str] = (), limit: int = 100) -> int:
        """`Bus.receive`."""
        number: int = self.drive(self.bus.receive(group, handler, topics=topics, limit=limit))
        return number

    def waiting(self, group: str) -> Sequence[Waiting]:
        """`Bus.waiting`."""
        found: Sequence[Waiting] = self.drive(self.bus.waiting(group))
        return found

    def dead_letters(self, group: str) -> Sequence[Message]:
        """`Bus.dead_letters`."""
        found: Sequence[Message] = self.drive(self.bus.dead_letters(group))
        return found

    def until(self, group: str, handler: Handler, is_enough: Callable[[], bool], **options: Any) -> None:
        """Receive until it is enough: what is to come after a while comes by itself."""
        end = time.monotonic() + _PATIENCE
        while not is_enough():
            assert time.monotonic() < end, "it never came"
            if not self.receive(group, handler, **options):
                self.drive(self.bus.wait(0.01))


Connect = Callable[[Patience], DrivenBus]
"""Makes one more consumer of the bus of a test, which is empty at its begin."""


def message(number: int, key: str = "user:a", topic: str = "subscription.updated") -> Message:
    """A message of a key."""
    return Message(f"event_{key}_{number}", topic, key, {"id": f"event_{key}_{number}", "data": {"ä": [number, None]}})


def keys_apart(number: int) -> list[str]:
    """So many keys, each in a lane of its own."""
    found: dict[int, str] = {}
    for each in range(1_000):
        key = f"user:{each}"
        found.setdefault(lane_of(message(0, key)), key)
    assert number <= LANES
    return list(found.values())[:number]


class _Death(BaseException):
    """The end of a process, as far as a handler can bring it about."""


class BusConformance:
    """What every bus does."""

    @pytest.fixture
    def bus(self, connect: Connect) -> DrivenBus:
        """One consumer of an empty bus."""
        return connect(HASTE)

    def test_order(self, bus: DrivenBus) -> None:
        """What is published arrives as it was, in the order of its key, and once it is taken no more."""
        keys = keys_apart(3)
        sent = [message(number, key) for number in range(4) for key in keys]
        bus.publish(*sent[:5])
        bus.publish(*sent[5:])
        got: list[Message] = []

        bus.until("g", got.append, lambda: len(got) >= 12)

        for key in keys:
            assert [each for each in sent if each.key == key] == [each for each in got if each.key == key]
        assert 12 == len(got)
        assert 0 == bus.receive("g", got.append)
        assert [] == list(bus.dead_letters("g"))

    def test_groups(self, bus: DrivenBus) -> None:
        """Every group gets every message, also one that comes later."""
        bus.publish(message(1), message(2))
        first: list[Message] = []
        bus.until("first", first.append, lambda: len(first) >= 2)
        bus.publish(message(3))
        second: list[Message] = []

        bus.until("second", second.append, lambda: len(second) >= 3)
        bus.until("first", first.append, lambda: len(first) >= 3)

        assert [message(1), message(2), message(3)] == first == second

    def test_consumers_share(self, connect: Connect) -> None:
        """While one consumer of a group is at a message, another gets those of other lanes, and none of its lane."""
        bus, other = connect(CALM), connect(CALM)
        mine, theirs = keys_apart(2)
        bus.publish(message(1, mine), message(1, theirs), message(2, mine), message(2, theirs))
        taken: list[Message] = []
        beside: list[Message] = []

        def handler(got: Message) -> None:
            if not taken:
                other.until("g", beside.append, lambda: len(beside) >= 2)
                assert 0 == other.receive("g", beside.append)
            taken.append(got)

        bus.until("g", handler, lambda: len(taken) + len(beside) >= 4)

        assert {taken[0].key} == {each.key for each in taken}
        assert [1, 2] == [_number(each) for each in taken] == [_number(each) for each in beside]
        assert {mine, theirs} == {taken[0].key, beside[0].key}

    def test_failure(self, bus: DrivenBus) -> None:
        """A message whose handler raised comes again, before what follows it in its lane; other lanes go on."""
        broken, fine = keys_apart(2)
        bus.publish(message(1, broken), message(2, broken), message(1, fine), message(2, fine))
        tries: list[Message] = []
        done: list[Message] = []

        def handler(got: Message) -> None:
            if got.key == broken:
                tries.append(got)
                if len(tries) < 3:
                    raise RuntimeError("not yet")
            done.append(got)

        bus.until("g", handler, lambda: len(done) >= 4)

        assert [1, 1, 1, 2] == [_number(each) for each in tries]
        assert [1, 2] == [_number(each) for each in done if each.key == broken]
        assert [1, 2] == [_number(each) for each in done if each.key == fine]
        assert [] == list(bus.dead_letters("g"))

    def test_dead_letter(self, bus: DrivenBus) -> None:
        """What fails too often is put aside for its group, and so at once what is not understood; the rest goes on."""
        bus.publish(message(1), message(2), message(3))
        tries: list[int] = []

        def handler(got: Message) -> None:
            tries.append(_number(got))
            if _number(got) == 1:
                raise InvalidInput("has not the shape that was agreed on", field="data")
            if _number(got) == 2:
                raise RuntimeError("never")

        bus.until("g", handler, lambda: 3 in tries)

        assert [1, *[2] * HASTE.deliveries, 3] == tries
        assert [message(1), message(2)] == list(bus.dead_letters("g"))
        others: list[Message] = []
        bus.until("other", others.append, lambda: len(others) >= 3)
        assert [] == list(bus.dead_letters("other"))

    def test_published_twice(self, bus: DrivenBus) -> None:
        """A message that is published again, because nobody knows whether it was, arrives once."""
        bus.publish(message(1))
        bus.publish(message(1), message(2))
        got: list[Message] = []

        bus.until("g", got.append, lambda: len(got) >= 2)
        bus.publish(message(2), message(3))
        bus.until("g", got.append, lambda: len(got) >= 3)

        assert [message(1), message(2), message(3)] == got

    def test_death(self, bus: DrivenBus, connect: Connect) -> None:
        """What a consumer was at when it died comes to another one of its group, before what follows."""
        bus.publish(message(1), message(2), message(3))
        got: list[int] = []

        def dying(message: Message) -> None:
            got.append(_number(message))
            if _number(message) == 2:
                raise _Death

        with pytest.raises(_Death):
            bus.until("g", dying, lambda: len(got) >= 2)
        connect(HASTE).until("g", lambda each: got.append(_number(each)), lambda: len(got) >= 4)

        assert [1, 2, 2, 3] == got

    def test_slow(self, bus: DrivenBus, connect: Connect) -> None:
        """Who takes longer than he has a lane for is taken over: what he was at comes twice, nothing is lost."""
        bus.publish(*(message(number) for number in range(1, 5)))
        other, slow, fast = connect(HASTE), list[int](), list[int]()

        def handler(got: Message) -> None:
            slow.append(_number(got))
            if len(slow) == 1:
                other.until("g", lambda each: fast.append(_number(each)), lambda: 3 in fast, limit=1)

        bus.until("g", handler, lambda: 4 in slow + fast)

        assert [1, 2, 3] == fast[:3]
        assert [1, 4] == slow + fast[3:]
        assert 0 == other.receive("g", lambda each: fast.append(_number(each)))

    def test_topics(self, bus: DrivenBus) -> None:
        """A handler gets the topics that it asks for; its group is done with the others."""
        topics = ["user.created", "user.deleted", "organization.member.added", "invoice.paid"]
        bus.publish(*(message(number, topic=topic) for number, topic in enumerate(topics)))
        got: list[str] = []

        bus.until("g", lambda each: got.append(each.topic), lambda: len(got) >= 2, topics=["user.*", "invoice.paid.*"])

        assert ["user.created", "user.deleted"] == got
        assert 0 == bus.receive("g", lambda each: got.append(each.topic), topics=["*"])
        others: list[str] = []
        bus.until("h", lambda each: others.append(each.topic), lambda: bool(others), topics=["invoice.paid"])
        assert ["invoice.paid"] == others

    def test_wait(self, bus: DrivenBus, connect: Connect) -> None:
        """Who waits is woken by what others publish, if the bus can listen at all, and else not kept waiting."""
        while bus.drive(bus.bus.wait(0.01)):
            pass
        connect(HASTE).publish(message(1))

        assert bus.drive(bus.bus.wait(_PATIENCE)) is not False

    def test_waiting(self, bus: DrivenBus, connect: Connect) -> None:
        """Of each lane the first message that a group is not done with is told, and since when; it is not taken."""
        mine, theirs = keys_apart(2)
        assert [] == list(bus.waiting("g"))
        bus.publish(message(1, mine), message(1, theirs), message(2, mine))
        other, taken = connect(CALM), list[Message]()

        def firsts(group: str) -> set[str]:
            found = other.waiting(group)
            assert all(0 <= each.seconds < _PATIENCE for each in found)
            assert len({each.message.key for each in found}) == len(found)
            return {each.message.id for each in found}

        def handler(got: Message) -> None:
            assert got.id in firsts("g")
            taken.append(got)

        everything = {message(1, mine).id, message(1, theirs).id}
        assert everything == firsts("g")
        bus.until("g", handler, lambda: bool(taken), limit=1)
        behind = {message(2, mine).id} if taken[0].key == mine else set[str]()
        assert everything - {taken[0].id} | behind == firsts("g")
        bus.until("g", handler, lambda: len(taken) >= 3)

        assert set() == firsts("g")
        assert everything == firsts("late")

    def test_limit(self, bus: DrivenBus) -> None:
        """No more than asked for is taken, and the next call goes on."""
        bus.publish(*(message(number) for number in range(5)))
        got: list[int] = []

        bus.until("g", lambda each: got.append(_number(each)), lambda: bool(got), limit=2)
        assert [0, 1] == got
        bus.until("g", lambda each: got.append(_number(each)), lambda: len(got) >= 5, limit=2)

        assert [0, 1, 2, 3, 4] == got

    def test_no_key(self, bus: DrivenBus) -> None:
        """Messages of nobody all arrive, in any order."""
        sent = [Message(f"event_{number}", "invoice.paid", "", {"data": {}}) for number in range(20)]
        bus.publish(*sent)
        got: list[Message] = []

        bus.until("g", got.append, lambda: len(got) >= 20)

        assert sorted(each.id for each in sent) == sorted(each.id for each in got)

    @pytest.mark.parametrize("group", ["", "a b", "a.b", "ä", "*", "x" * 101, ">"])
    def test_names(self, bus: DrivenBus, group: str) -> None:
        """A group is named by what every bus can hold."""
        with pytest.raises(InvalidInput) as refused:
            bus.receive(group, print)
        assert "group" == refused.value.field

    def test_outside_of_units(self, bus: DrivenBus) -> None:
        """Nothing goes to a bus, and nothing comes from it, inside a database transaction."""
        with unit_of_work():
            with pytest.raises(GuardError):
                bus.publish(message(1))
            with pytest.raises(GuardError):
                bus.receive("g", print)
            with pytest.raises(GuardError):
                bus.waiting("g")

    def test_health(self, bus: DrivenBus) -> None:
        """It answers, and after it was closed it opens again."""
        assert bus.drive(bus.bus.healthy())
        bus.drive(bus.bus.close())
        bus.publish(message(1))
        got: list[Message] = []
        bus.until("g", got.append, lambda: bool(got))
        bus.drive(bus.bus.close())

        assert [message(1)] == got


def _number(message: Message) -> int:
    number: int = message.body["data"]["ä"][0]
    return number
