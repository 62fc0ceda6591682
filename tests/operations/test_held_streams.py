"""Holds on asyncio: awaited or entered, and settled when the task that holds them is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

import anyio
import pytest

from kernia_billing import AsyncBilling, InsufficientBalance
from kernia_billing.errors import GuardError
from kernia_billing.operations import reserving
from kernia_billing.runtime.finishing import finish
from tests.operations.tokens import PLANS, figures, opened

pytestmark = pytest.mark.anyio
Stream = Callable[[], Coroutine[Any, Any, None]]


async def test_awaited_or_entered(async_engine_url: str) -> None:
    """A hold is awaited where a refusal must be known at once, and entered later; or it is entered right away."""
    async with opened(async_engine_url) as billing:
        hold = await billing.reserve("ann", "tokens", 400, ttl=300)
        with pytest.raises(InsufficientBalance):
            await billing.reserve("ann", "tokens", 601)
        with pytest.raises(InsufficientBalance):
            async with billing.reserve("ann", "tokens", 601):
                pytest.fail("it was refused")
        async with hold:
            hold.used = 0
            hold.used += 100
        assert (100, 0) == await figures(billing)
        async with billing.reserve("ann", "tokens", 50) as other:
            assert (100, 50) == await figures(billing)
        assert (await other.settle()).replayed
        assert (150, 0) == await figures(billing)
        await (await billing.reserve("ann", "tokens", 7)).release()
        assert (150, 0) == await figures(billing)


async def test_a_forgotten_await_opens_no_gate(sqlite_url: str) -> None:
    """What `reserve` returns cannot be taken for a yes."""
    async with opened(sqlite_url) as billing:
        with pytest.raises(GuardError, match=r"await billing\.reserve"):
            bool(billing.reserve("ann", "tokens"))
        assert {} == {key: each for key, each in (await billing.balances("ann")).items() if each.held}


async def _by_task(stream: Stream, begun: asyncio.Event) -> None:
    task = asyncio.ensure_future(stream())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _by_scope(stream: Stream, begun: asyncio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(stream)
        await begun.wait()
        group.cancel_scope.cancel()


async def _by_timeout(stream: Stream, begun: asyncio.Event) -> None:
    async def limited() -> None:
        async with asyncio.timeout(3_600) as limit:

            async def expire() -> None:
                await begun.wait()
                limit.reschedule(asyncio.get_running_loop().time())

            expiring = asyncio.ensure_future(expire())
            await stream()
            await expiring

    with pytest.raises(TimeoutError):
        await limited()


async def _in_the_group(stream: Stream, begun: asyncio.Event) -> None:
    async def fail() -> None:
        await begun.wait()
        raise LookupError

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stream())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await grouped()


CUTS = [
    pytest.param(_by_task, id="the task is cancelled"),
    pytest.param(_by_scope, id="the scope is cancelled"),
    pytest.param(_by_timeout, id="the time is over"),
    pytest.param(_in_the_group, id="another task fails"),
]
Cut = Callable[[Stream, asyncio.Event], Awaitable[None]]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("used", "settled"), [(70, 70), (0, 0), (None, 0)])
async def test_a_stream_that_is_cut_settles_what_was_used(
    cut: Cut, used: int | None, settled: int, async_engine_url: str
) -> None:
    """However a task is cut off in the middle, what it used is settled before it ends, and the rest is free again."""
    async with opened(async_engine_url) as billing:
        hold = await billing.reserve("ann", "tokens", 400, ttl=300)
        begun = asyncio.Event()

        async def stream() -> None:
            async with hold:
                if used is not None:
                    hold.used = used
                begun.set()
                await asyncio.Event().wait()

        await cut(stream, begun)

        assert (settled, 0) == await figures(billing)


async def test_a_generator_that_is_closed_settles(async_engine_url: str) -> None:
    """A client that hangs up closes the generator that answers it: what it got is settled."""
    async with opened(async_engine_url) as billing:
        hold = await billing.reserve("ann", "tokens", 400, ttl=300)

        async def answer() -> AsyncGenerator[str]:
            async with hold:
                hold.used = 0
                for word in ("in", "the", "middle"):
                    hold.used += 10
                    yield word

        async with aclosing(answer()) as words:
            async for word in words:
                if word == "the":
                    break

        assert (20, 0) == await figures(billing)


@pytest.mark.parametrize("cut", CUTS)
async def test_cancelled_while_it_settles(cut: Cut, async_engine_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation that comes while the end of the block is settling waits for it, and is raised after it."""
    settle, begun, ended = reserving.settle, asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any) -> Any:
        begun.set()
        for _ in range(20):
            await asyncio.sleep(0)
        usage = await settle(*arguments)
        ended.set()
        return usage

    monkeypatch.setattr(reserving, "settle", slowly)
    async with opened(async_engine_url) as billing:

        async def stream() -> None:
            async with billing.reserve("ann", "tokens", 400):
                pass
            await asyncio.Event().wait()

        await cut(stream, begun)

        assert ended.is_set()
        assert (400, 0) == await figures(billing)


def test_the_end_of_the_loop_settles(async_engine_url: str) -> None:
    """Where a loop ends and cancels what is left, holds are settled before it is gone."""

    async def main() -> None:
        begun = asyncio.Event()

        async def stream() -> None:
            async with (
                AsyncBilling(database=async_engine_url, plans=PLANS, default_plan="free") as billing,
                billing.reserve("ann", "tokens", 400) as hold,
            ):
                hold.used = 33
                begun.set()
                await asyncio.Event().wait()

        left.append(asyncio.ensure_future(stream()))
        await begun.wait()

    async def after() -> tuple[int, int]:
        async with opened(async_engine_url) as billing:
            return await figures(billing)

    left: list[asyncio.Future[None]] = []
    asyncio.run(main())

    assert left[0].cancelled()
    assert (33, 0) == asyncio.run(after())


async def test_finish_raises_what_the_work_raised() -> None:
    """A failure of the work comes before the cancellation that waits for it: it is never silent."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(0)
        raise LookupError

    task = asyncio.ensure_future(finish(work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(LookupError):
        await task
    with pytest.raises(LookupError):
        await finish(work())


async def test_finish_ends_where_the_work_itself_is_cancelled() -> None:
    """Work that is cancelled, as at the end of a loop, ends the waiting."""
    started: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        started.set_result(task)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(finish(work()))
    (await started).cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
