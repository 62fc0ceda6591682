"""A thousand tokens on asyncio, for the tests of what is set aside there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kernia_billing import AsyncBilling, Metered, Plan

PLANS = [Plan("free", features={"tokens": Metered(1_000)})]


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[AsyncBilling]:
    """The library on asyncio, whose rows must agree in the end."""
    async with AsyncBilling(database=url, plans=PLANS, default_plan="free") as billing:
        yield billing
        assert () == tuple((await billing.doctor()).findings)


async def figures(billing: AsyncBilling) -> tuple[int, int]:
    """What is used and what is held."""
    balance = (await billing.balances("ann"))["tokens"]
    return balance.used, balance.held
