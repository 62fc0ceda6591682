"""What a change of a subscription is called: from its states alone, so that news that comes twice tells it once."""

from __future__ import annotations

from collections.abc import Iterator

from .answers import Subscription
from .subscriptions import TERMINAL

_ON = ("active", "trialing")
_OVERDUE = ("past_due", "unpaid")


def transitions(previous: Subscription | None, current: Subscription) -> list[str]:
    """The types of the events of a change, in the order in which they are told. `previous` is None at first sight."""
    kinds = ["subscription.created" if previous is None else "subscription.updated"]
    kinds += _of_access(previous, current)
    kinds += _of_trial(previous, current)
    if is_leaving(current) and (previous is None or not is_leaving(previous)):
        kinds.append("subscription.cancel_scheduled")
    if current.status == "canceled" and (previous is None or previous.status != "canceled"):
        kinds.append("subscription.deleted")
    if current.duplicate and (previous is None or not previous.duplicate):
        kinds.append("subscription.duplicate")
    return kinds


def is_leaving(subscription: Subscription) -> bool:
    """Whether a subscription is set to end, and has not ended yet."""
    if subscription.status in TERMINAL:
        return False
    return subscription.cancel_at_period_end or subscription.cancel_at is not None


def _of_access(previous: Subscription | None, current: Subscription) -> Iterator[str]:
    was_on = previous is not None and previous.status in _ON
    if current.status in _ON and not was_on:
        yield "subscription.activated"
    if previous is None:
        was_paused = was_overdue = False
    else:
        was_paused, was_overdue = previous.display_state == "paused", previous.status in _OVERDUE
    is_paused = current.display_state == "paused"
    if is_paused and not was_paused:
        yield "subscription.paused"
    if was_paused and not is_paused and current.status not in TERMINAL:
        yield "subscription.resumed"
    if was_overdue and current.status == "active":
        yield "subscription.recovered"


def _of_trial(previous: Subscription | None, current: Subscription) -> Iterator[str]:
    was_trial = previous is not None and previous.status == "trialing"
    if current.status == "trialing":
        if not was_trial:
            yield "trial.started"
    elif was_trial:
        # Where the first payment fails the trial is over all the same; `subscription.recovered` tells of its success.
        if current.status in ("active", "past_due"):
            yield "trial.ended"
        else:
            yield "trial.canceled" if _was_cut(current) else "trial.expired"


def _was_cut(current: Subscription) -> bool:
    """Whether a trial ended before its time, because somebody cancelled it at once."""
    ended, due = current.ended_at, current.trial_end
    return ended is not None and due is not None and ended < due
