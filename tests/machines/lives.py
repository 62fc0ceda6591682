"""How a machine lives: as many random lives, of so many steps, on one database."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.machine import DECLARED, SOLD, EngineMachine
from tests.machines.stage import Stage


def live(machine: type[EngineMachine], url: str, lives: int, steps: int, part: int = 0) -> None:
    """Fail at the first step after which the engine and its model differ. Every `part` has lives of its own."""
    opened = Stage(url, SOLD, DECLARED)

    @seed(random.getrandbits(32) + part)
    class Staged(machine):  # type: ignore[misc, valid-type]  # a base that is a parameter
        stage = opened

    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    try:
        run_state_machine_as_test(Staged, settings=chosen)
    finally:
        opened.close()
