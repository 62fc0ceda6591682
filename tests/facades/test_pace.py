"""Doing several things at once: one that fails cuts no other short, and the caller hears of it as it is."""

from __future__ import annotations

import asyncio

import pytest

from kernia_billing import Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.runtime.pace import AsyncPace, BlockingPace


async def _doubled(number: int) -> int:
    return number * 2


def test_answers_come_in_the_order_of_the_items() -> None:
    """On a thread and on an event loop."""
    assert run_blocking(BlockingPace().map(_doubled, range(5), limit=2)) == [0, 2, 4, 6, 8]
    assert asyncio.run(_mapped()) == [0, 2, 4, 6, 8]


async def _mapped() -> list[int]:
    return list(await AsyncPace().map(_doubled, range(5), limit=2))


def test_one_that_fails_cuts_no_other_short() -> None:
    """A call that is under way is gone on with, and the failure is raised itself and in no group."""
    done: list[int] = []

    async def work(number: int) -> int:
        if number == 1:
            raise Unavailable("no answer")
        await asyncio.sleep(0)
        done.append(number)
        return number

    async def all_of_it() -> None:
        with pytest.raises(Unavailable):
            await AsyncPace().map(work, range(4), limit=4)

    asyncio.run(all_of_it())
    assert done == [0, 2, 3]
