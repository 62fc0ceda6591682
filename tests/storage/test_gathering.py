"""Reads that go together: who goes with whom, and what one can do to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from attrs import define, field

from kernia_billing.domain.references import Reference
from kernia_billing.ports.store import Needs
from kernia_billing.storage import gathering
from kernia_billing.storage.drafts import Alone
from kernia_billing.storage.foreseen import Answer, Foreseen
from kernia_billing.storage.gathering import PLACES, Gathering

pytestmark = pytest.mark.anyio
PATIENCE = 30.0
FULL = [f"first {number}" for number in range(PLACES)]
"""Those who take every place."""


def _needs(name: str) -> Needs:
    return Needs(Reference(name, "user"), ("tokens",), None, 1)


@define(eq=False)
class Road:
    """Reads when it is let go. An answer is nobody, and whoever was asked for."""

    fails: bool = False
    alone: list[str] = field(factory=list[str])
    together: list[list[str]] = field(factory=list[list[str]])
    go: asyncio.Event = field(factory=asyncio.Event)
    go_together: asyncio.Event = field(factory=asyncio.Event)

    async def read_together(self, asked: Sequence[Needs]) -> Sequence[Answer]:
        """One statement for several."""
        self.together.append([each.reference.id for each in asked])
        await self.go_together.wait()
        if self.fails:
            raise ValueError("a statement that one of them spoils")
        return [(None, ()) for _ in asked]

    async def read(self, crowd: Gathering, name: str, given: Callable[[Answer], str] | None = None) -> str:
        """What a caller does."""

        async def alone() -> str:
            self.alone.append(name)
            await self.go.wait()
            if name == "bad":
                raise LookupError(name)
            return f"{name} alone"

        return await crowd.read(_needs(name), alone, given or (lambda _answer: f"{name} together"))

    def open(self) -> None:
        """Let everybody go."""
        self.go.set()
        self.go_together.set()

    def start(self, crowd: Gathering, *names: str) -> list[asyncio.Task[str]]:
        """Callers in this order."""
        return [asyncio.create_task(self.read(crowd, name)) for name in names]


async def _turns(number: int = 5) -> None:
    """Let the other tasks run as far as they can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def _all(tasks: Sequence[Awaitable[str]]) -> list[str | BaseException]:
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)


async def test_one_after_the_other_reads_alone() -> None:
    """A caller alone finds a place each time, and no statement for several is sent."""
    road = Road()
    road.open()
    crowd = Gathering(road.read_together)
    assert ["a alone", "b alone", "a alone"] == [await road.read(crowd, name) for name in "aba"]
    assert [] == road.together


async def test_who_comes_meanwhile_goes_together() -> None:
    """Who finds a place is on its way at once; the others wait for the first that comes back, and go together."""
    road = Road()
    crowd = Gathering(road.read_together)
    tasks = road.start(crowd, *FULL, "a", "b", "c")
    await _turns()
    assert (FULL, []) == (road.alone, road.together)
    road.open()
    assert [*(f"{name} alone" for name in FULL), "a together", "b together", "c together"] == await _all(tasks)
    assert (FULL, [["a", "b", "c"]]) == (road.alone, road.together)


async def test_nobody_joins_what_was_sent() -> None:
    """Who comes when a statement is under way waits for the next: the one under way may not see what it has written."""
    road = Road()
    crowd = Gathering(road.read_together)
    tasks = road.start(crowd, *FULL, "a")
    await _turns()
    road.go.set()
    await asyncio.gather(*tasks[: len(FULL)])
    assert [["a"]] == road.together
    road.go.clear()
    tasks += road.start(crowd, *FULL[1:], "b", "c")
    await _turns()
    assert [["a"]] == road.together
    road.open()
    assert "a together" == (await _all(tasks))[len(FULL)]
    assert [["a"], ["b", "c"]] == road.together


async def test_a_statement_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a statement may ask for go in several, first come, first served."""
    monkeypatch.setattr(gathering, "MOST_TOGETHER", 2)
    road = Road()
    crowd = Gathering(road.read_together)
    tasks = road.start(crowd, *FULL, *"abcde")
    await _turns()
    road.open()
    await _all(tasks)
    assert [["a", "b"], ["c", "d"], ["e"]] == road.together


async def test_who_is_cancelled_takes_nobody_along() -> None:
    """Cancelled while it waits, while it is asked for, or while it reads alone, a caller leaves the others theirs."""
    road = Road()
    crowd = Gathering(road.read_together)
    tasks = road.start(crowd, *FULL, "gone", "b", "gone too")
    await _turns()
    tasks[len(FULL)].cancel()
    tasks[0].cancel()
    await _turns()
    assert [["b", "gone too"]] == road.together
    tasks[-1].cancel()
    road.open()
    ended = await _all(tasks)
    cancelled = [number for number, each in enumerate(ended) if isinstance(each, asyncio.CancelledError)]
    assert [0, len(FULL), len(FULL) + 2] == cancelled
    assert "b together" == ended[len(FULL) + 1]
    assert "next alone" == await road.read(crowd, "next")


async def test_who_spoils_a_statement_spoils_its_own_read_only() -> None:
    """After a statement that fails each reads alone, and only the one whose fault it was hears of an error."""
    road = Road(fails=True)
    crowd = Gathering(road.read_together)
    tasks = road.start(crowd, *FULL, "a", "bad", "b")
    await _turns()
    road.open()
    found = (await _all(tasks))[len(FULL) :]
    assert ["a alone", "b alone"] == [found[0], found[2]]
    assert isinstance(found[1], LookupError)
    assert [*FULL, "a", "bad", "b"] == road.alone


async def test_who_needs_more_reads_alone() -> None:
    """A reader that asks for what was not read for it runs again, by itself."""
    road = Road()
    crowd = Gathering(road.read_together)

    def asks_more(answer: Answer) -> str:
        return str(Foreseen(_needs("a"), answer).subscriptions)

    tasks = [*road.start(crowd, *FULL), asyncio.create_task(road.read(crowd, "a", asks_more))]
    await _turns()
    road.open()
    assert "a alone" == (await _all(tasks))[-1]


@pytest.mark.parametrize("other", [("b", ("tokens",), 1), ("a", ("mails",), 1), ("a", ("tokens",), 2)])
async def test_an_answer_is_that_of_one_question(other: tuple[str, tuple[str], int]) -> None:
    """What was read answers no other customer, no other feature, and no other instant."""
    answer: Answer = (None, ())
    known = Foreseen(_needs("a"), answer).entitlements
    assert answer is known.of_reference(Reference("a", "user"), ("tokens",), 1)
    name, features, now = other
    with pytest.raises(Alone):
        known.of_reference(Reference(name, "user"), features, now)
    with pytest.raises(Alone):
        _ = known.standing
