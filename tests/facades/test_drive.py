"""`run_blocking`: a coroutine without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from kernia_billing._drive import SuspendedError, iterate_blocking, run_blocking
from kernia_billing._pending import Pending
from kernia_billing.errors import GuardError


class _Wait:
    """Something that waits, as a socket or a lock does."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield self


async def _double(number: int) -> int:
    return number * 2


async def _fails() -> int:
    raise LookupError("as it is")


def test_result_and_error_come_through() -> None:
    """The result is returned and an exception arrives as it was raised."""
    assert 42 == run_blocking(_double(21))
    with pytest.raises(LookupError, match="as it is"):
        run_blocking(_fails())


def test_works_inside_a_running_loop_and_in_a_thread() -> None:
    """No loop is needed and none is disturbed."""

    async def inside() -> int:
        return run_blocking(_double(4))

    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(run_blocking(_double(5))))
    thread.start()
    thread.join()

    assert 8 == asyncio.run(inside())
    assert [10] == found


def test_a_coroutine_that_waits_is_closed_and_named() -> None:
    """What waits is named, after the clean-up of the coroutine ran."""
    cleaned: list[str] = []
    wait = _Wait()

    async def port() -> None:
        try:
            await wait
        finally:
            cleaned.append("finally")

    with pytest.raises(SuspendedError) as caught:
        run_blocking(port())

    assert ["finally"] == cleaned
    assert wait is caught.value.suspended_on
    assert "port" in caught.value.message
    assert "AsyncBilling" in caught.value.message


def test_a_clean_up_that_waits_cannot_hide_the_culprit() -> None:
    """The first thing that waited is named even when the clean-up waits as well."""
    first = _Wait()

    async def port() -> None:
        try:
            await first
        finally:
            await _Wait()

    with pytest.raises(SuspendedError) as caught:
        run_blocking(port())

    assert first is caught.value.suspended_on


def test_iteration() -> None:
    """An asynchronous iterator of ours is walked without a loop."""

    class Numbers:
        def __init__(self) -> None:
            self.left = [3, 2, 1]

        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert [1, 2, 3] == list(iterate_blocking(Numbers()))


def test_pending_is_never_true() -> None:
    """A forgotten `await` raises where a coroutine would be true, and leaves no warning behind."""
    with pytest.raises(GuardError, match="await"):
        bool(Pending(_double(1)))
    with pytest.raises(GuardError):
        assert not Pending(_double(1))


def test_pending_is_awaited_like_a_coroutine() -> None:
    """It can be awaited, gathered and made a task, under a timeout and in a group."""

    async def main() -> list[int]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Pending(_double(1)))
        gathered = await asyncio.gather(Pending(_double(2)), Pending(_double(3)))
        waited = await asyncio.wait_for(Pending(_double(4)), timeout=1)
        return [task.result(), *gathered, waited, await Pending(_double(5))]

    assert [2, 4, 6, 8, 10] == asyncio.run(main())
