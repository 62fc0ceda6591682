"""Random lives of a customer's books: the engine and its reference model agree after every step."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from kernia_billing.domain.instants import HOUR
from kernia_billing.domain.rollover import Rule
from kernia_billing.domain.terms import Terms
from tests.machines.machine import DAYS, DECLARED, SOLD, EngineMachine
from tests.machines.stage import REFERENCE, START, Stage

SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]


def _live(url: str, lives: int, part: int = 0) -> None:
    opened = Stage(url, SOLD, DECLARED)

    @seed(random.getrandbits(32) + part)
    class Machine(EngineMachine):
        stage = opened

    chosen = settings(
        max_examples=lives,
        stateful_step_count=50,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    try:
        run_state_machine_as_test(Machine, settings=chosen)
    finally:
        opened.close()


def test_random_lives_are_those_of_the_model() -> None:
    """A hundred lives of up to fifty steps."""
    _live("sqlite://", 100)


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_many_random_lives_are_those_of_the_model(part: int) -> None:
    """In four parts 1,140 lives of up to fifty steps: more than fifty thousand."""
    _live("sqlite://", 285, part)


@pytest.mark.parametrize("server", SERVERS)
def test_random_lives_on_servers(server: str, make_database: Callable[[str], str]) -> None:
    """Ten lives of up to fifty steps on each database server."""
    _live(make_database(server), 10)


@pytest.mark.full
@pytest.mark.parametrize("server", SERVERS)
def test_many_random_lives_on_servers(server: str, make_database: Callable[[str], str]) -> None:
    """A hundred and thirty lives of up to fifty steps on each database server: more than five thousand."""
    _live(make_database(server), 130)


def test_rollover_units_end_with_their_grant() -> None:
    """A life that the machine found: what was drawn of them cannot be used again once the grant is revoked."""
    stage = Stage("sqlite://", SOLD)
    terms = Terms(rollover=Rule(14)).text()
    grant = stage.give("msg", 14, interval=DAYS.interval, anchor_at=START, terms=terms)
    stage.clock.micros += 51 * HOUR
    use = stage.billing.consume(REFERENCE, "msg", 24)
    stage.billing.revoke(REFERENCE, grant)
    back = stage.billing.refund(REFERENCE, use.event_id)

    assert (24, 0) == (back.funded, back.restored)
    assert not stage.billing.check(REFERENCE, "msg")
    stage.judge()
    stage.close()
