"""Random lives of a customer: the model, Stripe and the database agree after every step."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine

from tests.convergence.machine import BillingMachine
from tests.harness.counts import count
from tests.harness.tables import make_tables

SERVERS = ("postgresql", "mariadb")


def _live(machine: type[BillingMachine], lives: int, steps: int) -> None:
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_random_lives_agree_with_the_model() -> None:
    """Fifty lives of up to twenty-five steps."""
    _live(BillingMachine, 50, 25)


@pytest.mark.full
def test_many_random_lives_agree_with_the_model() -> None:
    """Five hundred lives of up to fifty steps."""
    _live(BillingMachine, 500, 50)


@pytest.mark.parametrize(
    "server", [pytest.param(each, marks=getattr(pytest.mark, each)) for each in ("postgresql", "mariadb")]
)
def test_random_lives_agree_with_the_model_on_servers(server: str, request: pytest.FixtureRequest) -> None:
    """Four lives on each database server."""
    url = request.getfixturevalue(f"{server}_url")
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()

    class OnServer(BillingMachine):
        server = url

    _live(OnServer, 4, 20)
    count(f"convergence: lives on {server}", 4)
