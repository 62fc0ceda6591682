"""An application with trials without Stripe, and what tests ask of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kernia_billing import Metered, Plan, Quantity
from tests.webhooks.shop import Shop

PLANS = [
    Plan("free", features={"messages": Metered(10), "projects": Quantity(1)}),
    Plan(
        "one",
        price_id="price_one",
        trial_days=14,
        features={"messages": Metered(100, trial=20), "projects": Quantity(5)},
    ),
    Plan("two", price_id="price_two", features={"messages": Metered(1_000), "projects": Quantity(9)}),
    Plan("side", price_id="price_side", trial_days=3, group="sides", features={"exports": Metered(7)}),
]
OPTIONS: dict[str, Any] = {"plans": PLANS}


def left(shop: Shop, feature: str = "messages", reference: str = "ann") -> int | None:
    """What is left of a feature."""
    balance = shop.billing.balances(reference).get(feature)
    return 0 if balance is None else balance.remaining


def later(shop: Shop, **time: float) -> None:
    """Let time pass, and nothing else."""
    clock = shop.stripe.clock
    clock.move_to(clock.seconds() + int(timedelta(**time).total_seconds()))


def told(shop: Shop) -> list[str]:
    """What hooks are told of trials and subscriptions, in order."""
    topics = [row["topic"] for row in sorted(shop.rows()["outbox"], key=lambda row: row["position"])]
    return [each for each in topics if each.startswith(("trial.", "subscription."))]


def told_of_trials(shop: Shop) -> list[str]:
    """What hooks are told of trials alone."""
    return [each for each in told(shop) if each.startswith("trial.")]


def whole(shop: Shop) -> None:
    """The books contradict nothing."""
    shop.billing.jobs.run()
    assert not [each for each in shop.billing.doctor().findings if each.severity == "error"]
