"""How often one person has pages opened at Stripe: bounded, and by nobody else's doing."""

from __future__ import annotations

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.instants import MINUTE, SECOND
from kernia_billing.http import pacing
from kernia_billing.http.pacing import Pace


@define
class Hand:
    """A clock that is set by hand."""

    micros: int = 0

    def now(self) -> int:
        """UTC microseconds."""
        return self.micros

    def monotonic(self) -> float:
        """Seconds."""
        return self.micros / SECOND


@given(st.lists(st.tuples(st.integers(0, 20 * SECOND), st.sampled_from("ab")), max_size=60), st.integers(1, 4))
def test_never_more_than_the_limit_within_a_minute(steps: list[tuple[int, str]], limit: int) -> None:
    """Against a model: what is let through is at most the limit in any minute, and a refusal says how long it holds."""
    clock = Hand()
    pace = Pace(clock, limit)
    let: dict[str, list[int]] = {"a": [], "b": []}
    for passed, who in steps:
        clock.micros += passed
        recent = [each for each in let[who] if clock.micros - each < MINUTE]
        wait = pace.wait(who)
        assert (wait == 0) is (len(recent) < limit)
        if wait:
            free = recent[-limit] + MINUTE
            assert free <= clock.micros + wait * SECOND < free + SECOND
        else:
            let[who].append(clock.micros)


def test_many_people_fill_no_memory() -> None:
    """Whoever came longest ago is forgotten, and a clock that goes back locks nobody out."""
    clock = Hand(MINUTE)
    pace = Pace(clock, 1)
    for number in range(pacing._MOST_PEOPLE + 5):
        assert pace.wait(str(number)) == 0
    assert len(pace._seen) == pacing._MOST_PEOPLE
    assert pace.wait("0") == 0
    assert pace.wait("0") == 60
    clock.micros = 0
    assert pace.wait("0") == 0
