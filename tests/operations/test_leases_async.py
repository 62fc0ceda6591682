"""Leases on asyncio: shared by tasks, and whole where a task is cut off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernia_billing import InsufficientBalance
from kernia_billing.errors import GuardError
from kernia_billing.operations import leasing
from kernia_billing.runtime import leasing as runtime
from tests.operations.tokens import figures, opened

pytestmark = pytest.mark.anyio


async def test_tasks_share_a_lease(async_engine_url: str) -> None:
    """Tasks that use one lease until it refuses have used everything, each unit once."""
    async with opened(async_engine_url) as billing:
        async with billing.lease("ann", "tokens", 70) as lease:

            async def work(units: int) -> int:
                mine = 0
                while True:
                    try:
                        await lease.consume(units)
                    except InsufficientBalance:
                        return mine
                    mine += units

            used = await asyncio.gather(*(work(1 + number % 3) for number in range(30)))
        assert 1_000 == sum(used)
        assert (1_000, 0) == await figures(billing)


async def test_awaited_or_entered(async_engine_url: str) -> None:
    """A lease is awaited where it lives as long as the application, and ended by hand."""
    async with opened(async_engine_url) as billing:
        lease = await billing.lease("ann", "tokens", 50)
        await lease.consume(20)
        usage = await lease.flush()
        assert usage is not None
        assert (20, 50) == await figures(billing)
        async with lease:
            await lease.consume(5)
        assert (25, 0) == await figures(billing)


async def test_a_forgotten_await_opens_no_gate(sqlite_url: str) -> None:
    """What `lease` returns cannot be taken for a yes."""
    async with opened(sqlite_url) as billing:
        with pytest.raises(GuardError, match=r"await billing\.lease"):
            bool(billing.lease("ann", "tokens"))
        assert not (await billing.balances("ann"))["tokens"].held


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("act", ["consume", "flush", "settle"])
async def test_a_task_that_is_cut_off_leaves_the_lease_whole(
    act: str, moment: str, async_engine_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while units are stored and taken, a task ends after that, and the others go on with the lease."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def renew(*arguments: Any, **more: Any) -> leasing.Renewed:
        renewed = await leasing.renew(*arguments, **more) if moment == "after" else None
        begun.set()
        await go_on.wait()
        return renewed or await leasing.renew(*arguments, **more)

    async with opened(async_engine_url) as billing:
        async with billing.lease("ann", "tokens", 10) as lease:
            await lease.consume(9)
            monkeypatch.setattr(runtime, "renew", renew)
            task = asyncio.ensure_future(lease.consume(2) if act == "consume" else getattr(lease, act)())
            await begun.wait()
            task.cancel()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (2 if act == "consume" else 0) == lease.unflushed
            assert (9, 0 if act == "settle" else 10) == await figures(billing)
            if act != "settle":
                await lease.consume(8)
        assert ({"consume": 19, "flush": 17, "settle": 9}[act], 0) == await figures(billing)
