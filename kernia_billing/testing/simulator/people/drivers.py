"""Who makes the calls of a script: this thread, or the running event loop."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Any, TypeAlias

from ..world.errors import SimulatorError
from . import actions

Outcome: TypeAlias = tuple[Any, Exception | None]
"""What a call into the library answered, or raised."""


def run(script: actions.Script) -> Any:
    """Make every call of a script on this thread."""
    given: Outcome = (None, None)
    while True:
        try:
            step = _resume(script, given)
        except StopIteration as end:
            return end.value
        try:
            given = (_blocking(step()), None)
        except Exception as error:  # noqa: BLE001 - the script decides what to do about it
            given = (None, error)


def _blocking(answer: Any) -> Any:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise SimulatorError("StripeSimulator serves Billing; give AsyncBilling an AsyncStripeSimulator")
    return answer


async def run_async(script: actions.Script) -> Any:
    """Await every call of a script."""
    given: Outcome = (None, None)
    while True:
        try:
            step = _resume(script, given)
        except StopIteration as end:
            return end.value
        try:
            given = (await _awaitable(step()), None)
        except Exception as error:  # noqa: BLE001 - the script decides what to do about it
            given = (None, error)


def _awaitable(answer: Any) -> Awaitable[Any]:
    if not inspect.isawaitable(answer):
        raise SimulatorError("AsyncStripeSimulator serves AsyncBilling; give Billing a StripeSimulator")
    return answer


def _resume(script: actions.Script, given: Outcome) -> actions.Step:
    answer, error = given
    return script.send(answer) if error is None else script.throw(error)
