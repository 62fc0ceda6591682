"""What a change of a subscription is called follows from its two states, and a whole life tells a coherent story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.answers import Subscription
from kernia_billing.domain.lifecycle import is_leaving, transitions
from kernia_billing.domain.references import Reference

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = ("incomplete", "incomplete_expired", "trialing", "active", "past_due", "unpaid", "paused", "canceled")


def state(status: str, *, held: bool, leaving: bool, duplicate: bool, cut: bool) -> Subscription:
    """A subscription in a state; `held` is a paused collection."""
    stands_still = status == "paused" or (held and status in ("active", "trialing", "past_due"))
    trial_end = NOW + timedelta(days=14)
    return Subscription(
        id="sub:1",
        stripe_id="sub_1",
        reference=Reference("ann", "user"),
        plan="pro",
        status=status,
        display_state="paused" if stands_still else status,
        interval="month",
        seats=1,
        period_start=NOW,
        period_end=NOW + timedelta(days=30),
        trial_end=trial_end,
        cancel_at=None,
        grace_ends_at=None,
        pending_change=None,
        cancel_at_period_end=leaving,
        ended_at=None if status != "canceled" else trial_end - timedelta(days=1) if cut else trial_end,
        duplicate=duplicate,
    )


STATES = st.builds(
    state,
    st.sampled_from(STATUSES),
    held=st.booleans(),
    leaving=st.booleans(),
    duplicate=st.booleans(),
    cut=st.booleans(),
)


@given(st.none() | STATES, STATES)
def test_a_change_has_one_name_and_no_contradiction(previous: Subscription | None, current: Subscription) -> None:
    """It is told first as created or updated, each type once, and never as two things that exclude each other."""
    told = transitions(previous, current)
    assert told[0] == ("subscription.created" if previous is None else "subscription.updated")
    assert len(told) == len(set(told))
    for one, other in (
        ("subscription.paused", "subscription.resumed"),
        ("trial.ended", "trial.expired"),
        ("trial.canceled", "trial.expired"),
        ("trial.started", "trial.ended"),
        ("subscription.deleted", "subscription.activated"),
        ("subscription.deleted", "subscription.cancel_scheduled"),
    ):
        assert not {one, other} <= set(told)
    assert transitions(current, current) == ["subscription.updated"]


@given(st.lists(STATES, min_size=2, max_size=12))
def test_a_life_is_told_in_pairs(states: list[Subscription]) -> None:
    """What begins is told before what ends, in turn: pauses, trials, and wishes to leave."""
    steps = list(zip([None, *states[:-1]], states, strict=True))
    told = [kind for previous, current in steps for kind in transitions(previous, current)]
    pauses = [kind for kind in told if kind in ("subscription.paused", "subscription.resumed")]
    assert "subscription.resumed" not in pauses[:1]
    trials = [kind for kind in told if kind.startswith("trial.")]
    assert all(one != other for one, other in pairwise(trials) if "trial.started" not in (one, other))
    assert trials[:1] in ([], ["trial.started"])
    began = told.count("trial.started")
    assert sum(told.count(f"trial.{how}") for how in ("ended", "expired", "canceled")) <= began
    wishes = sum(is_leaving(b) and not (a is not None and is_leaving(a)) for a, b in steps)
    assert told.count("subscription.cancel_scheduled") == wishes


@given(STATES, st.booleans())
def test_a_trial_that_was_cut_short_did_not_expire(before: Subscription, cut: bool) -> None:
    """Whoever cancels a trial at once ended it himself; one that reached its end without being paid expired."""
    trial = state("trialing", held=False, leaving=before.cancel_at_period_end, duplicate=False, cut=False)
    ended = state("canceled", held=False, leaving=False, duplicate=False, cut=cut)
    assert ("trial.expired" in transitions(trial, ended)) is not cut
    assert ("trial.canceled" in transitions(trial, ended)) is cut
