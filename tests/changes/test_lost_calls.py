"""Stripe fails at any call of a change, before or after it did what was asked: the same call again mends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from attrs import define, field

from kernia_billing import Conflict, PaymentFailed, Unavailable
from tests.webhooks.shop import Shop

Act = Callable[[Shop], Any]
_MOST_CALLS = 30


def _up(shop: Shop) -> Any:
    return shop.billing.subscriptions.change("ann", "team")


def _down(shop: Shop) -> Any:
    return shop.billing.subscriptions.change("ann", "pro")


def _down_in_its_place(shop: Shop) -> Any:
    return shop.billing.subscriptions.change("ann", "desk", when="period_end")


def _now(shop: Shop) -> Any:
    return shop.billing.subscriptions.change("ann", "desk", when="now")


def _restore(shop: Shop) -> Any:
    return shop.billing.subscriptions.restore("ann")


def _cancel(shop: Shop) -> None:
    path = f"/v1/subscriptions/{shop.subscription().stripe_id}"
    shop.account.post(path, {"cancel_at_period_end": "true"})
    shop.stripe.flush()


def _declined(shop: Shop) -> Any:
    shop.stripe.use_card("ann", "4000000000000341")
    with suppress(PaymentFailed):
        shop.billing.subscriptions.change("ann", "team", when="now")


STORIES: dict[str, tuple[str, list[Act], Act]] = {
    "an upgrade": ("pro", [], _up),
    "a downgrade": ("team", [], _down),
    "another downgrade": ("team", [_down], _down_in_its_place),
    "a change now in place of a later one": ("team", [_down], _now),
    "a downgrade undone": ("team", [_down], _restore),
    "a cancellation undone": ("pro", [_cancel], _restore),
    "a declined change beside a later one": ("pro", [_down_in_its_place], _declined),
}

OFTEN = ("an upgrade", "another downgrade", "a cancellation undone")
"""What an ordinary run plays: all that the others do is in these too."""


@define
class Failing:
    """Fails one of the calls to Stripe, before it is made or after."""

    real: Any
    at: int
    after: bool
    calls: list[str] = field(factory=list[str])

    async def __call__(self, method: Any, path: str, *rest: Any, **options: Any) -> Any:
        """One call."""
        self.calls.append(f"{method} {path}")
        if len(self.calls) != self.at:
            return await self.real(method, path, *rest, **options)
        if self.after:
            await self.real(method, path, *rest, **options)
        raise Unavailable("lost", outcome_unknown=True)


def _state(shop: Shop) -> Any:
    """What is sold, what is to come, and what was paid."""
    found = shop.subscription()
    theirs = shop.account.subscription(str(found.stripe_id))
    schedules = [each for each in shop.objects("subscription_schedule") if each["status"] == "active"]
    coming = found.pending_change
    return {
        "plan": found.plan,
        "state": found.display_state,
        "coming": None if coming is None else (coming.plan, coming.effective_at),
        "cancel": (theirs["cancel_at_period_end"], theirs["cancel_at"]),
        "pending": theirs["pending_update"],
        "schedules": [[len(each["phases"]), each["metadata"]] for each in schedules],
        "paid": sorted(each["amount_paid"] for each in shop.objects("invoice") if each["status"] != "void"),
        "subscriptions": len(shop.objects("subscription")),
    }


def _played(shop: Shop, story: str, at: int = 0, *, after: bool = False) -> tuple[Any, list[str], bool]:
    plan, before, act = STORIES[story]
    shop.buy("ann", plan)
    shop.stripe.advance(days=3)
    for each in before:
        each(shop)
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.request
    trap = Failing(real, at, after)
    failed = False
    stripe.request = trap
    try:
        act(shop)
    except Unavailable:
        failed = True
    finally:
        stripe.request = real
    if failed:
        shop.stripe.flush()
        try:
            act(shop)
        except Conflict as done:
            # It was carried out though the answer was lost, and the second call says so.
            if done.code not in ("ALREADY_SUBSCRIBED_PLAN", "SUBSCRIPTION_NOT_PENDING_CHANGE"):
                raise
    shop.stripe.flush()
    return _state(shop), trap.calls, failed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "story", [each if each in OFTEN else pytest.param(each, marks=pytest.mark.full) for each in STORIES]
)
def test_a_change_that_fails_anywhere_converges(open_shop: Any, make_database: Any, story: str, *, after: bool) -> None:
    """Each call of each story fails once: in the end it is as if none had, with one charge at most."""
    wanted, _, _ = _played(open_shop(), story)
    failures = 0
    for number in range(1, _MOST_CALLS):
        shop = open_shop(database=make_database("sqlite"))
        shop.url = str(shop.options["database"])
        found, calls, failed = _played(shop, story, number, after=after)
        assert found == wanted, calls
        if len(calls) < number:
            break
        failures += failed
    assert failures >= 2
