"""Random lives of a customer's books: the engine and its reference model agree after every step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernia_billing.domain.instants import HOUR, MINUTE, to_datetime
from kernia_billing.domain.plans import UsageLimit
from kernia_billing.domain.rollover import Rule
from kernia_billing.domain.terms import Terms
from tests.machines.lives import live
from tests.machines.machine import DAYS, DECLARED, SOLD, EngineMachine
from tests.machines.stage import REFERENCE, START, Stage

SERVERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]


@pytest.mark.parametrize("part", range(6))
def test_random_lives_are_those_of_the_model(part: int) -> None:
    """In six parts 1,200 lives of up to fifty steps, more than fifty thousand."""
    live(EngineMachine, "sqlite://", 200, 50, part)


@pytest.mark.parametrize("part", range(2))
@pytest.mark.parametrize("server", SERVERS)
def test_random_lives_on_servers(server: str, part: int, make_database: Callable[[str], str]) -> None:
    """In two parts 130 lives of up to fifty steps on each server, more than five thousand."""
    live(EngineMachine, make_database(server), 65, 50, part)


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


@pytest.mark.parametrize("minutes", [0, 1])
@pytest.mark.parametrize("is_held", [False, True])
def test_what_was_drawn_before_a_limit_is_not_in_its_window(minutes: int, is_held: bool) -> None:
    """A life that the machine found: its refund, or release, makes no room, also of what the same instant has seen."""
    stage = Stage("sqlite://", SOLD, DECLARED)
    billing = stage.billing
    first = billing.grant(REFERENCE, "credits", 3, entity="A")
    stage.give("credits", 9)
    hold = billing.reserve(REFERENCE, "msg", 1, entity="A", ttl=60 * 60) if is_held else None
    use = None if is_held else billing.track(REFERENCE, "msg", 1, entity="A")
    stage.give("credits", 0, terms=Terms(limits=(UsageLimit(4, per="day", per_entity=True),)).text())
    stage.clock.micros += minutes * MINUTE
    billing.track(REFERENCE, "msg", 1, entity="A")
    billing.revoke(REFERENCE, first.id)
    if hold is not None:
        hold.release()
    elif use is not None:
        billing.refund(REFERENCE, use.event_id)

    told = billing.check(REFERENCE, "credits", 2, entity="A")
    assert [3] == [row["used"] for row in stage.rows("limit_window")]
    assert (False, "usage_limit", 1) == (told.allowed, told.reason, told.limits[0]["remaining"])
    at = to_datetime(stage.clock.micros)
    stage.clock.micros += HOUR
    assert told.limits == billing.explain(REFERENCE, "credits", entity="A", at=at).decision.limits
    stage.judge()
    stage.close()
