"""Playing random lives: how many, how long, and on which database."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import create_engine

from tests.harness.tables import make_tables


def live(machine: type[RuleBasedStateMachine], lives: int, steps: int) -> None:
    """Play so many lives of up to so many steps."""
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=chosen)


def prepare(url: str) -> None:
    """Make the tables on a server, on which lives are played one after the other."""
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()
