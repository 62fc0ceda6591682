"""What subscriptions give, and what becomes of usage when that changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kernia_billing import Billing, Metered, Plan, Quantity
from kernia_billing.testing import StripeSimulator


def _change(stripe: StripeSimulator, subscription_id: str, **params: Any) -> None:
    """Change a subscription as somebody does in Stripe's dashboard."""
    with httpx.Client(transport=stripe.transport) as client:
        answer = client.post(
            f"https://api.stripe.com/v1/subscriptions/{subscription_id}",
            data={name.replace("__", "["): value for name, value in params.items()},
            headers={"Authorization": f"Bearer {stripe.api_key}", "Idempotency-Key": repr(params)},
        )
    assert 200 == answer.status_code, answer.text
    stripe.flush()


def _item(stripe: StripeSimulator, subscription_id: str, price: str) -> str:
    with httpx.Client(transport=stripe.transport) as client:
        answer = client.get(
            "https://api.stripe.com/v1/subscription_items",
            params={"subscription": subscription_id},
            headers={"Authorization": f"Bearer {stripe.api_key}"},
        )
    found: str = next(each["id"] for each in answer.json()["data"] if each["price"]["id"] == price)
    return found


def _subscribe(billing: Billing, stripe: StripeSimulator, plan: str, seats: int | None = None) -> str:
    stripe.subscribe("user_1", plan, seats=seats)
    subscription = billing.subscriptions.get("user_1")
    assert subscription is not None
    assert subscription.stripe_id is not None
    return subscription.stripe_id


def test_seats_follow_the_subscription(billing: Billing, stripe: StripeSimulator) -> None:
    """More seats give more at once; fewer never take what is used."""
    subscription = _subscribe(billing, stripe, "team", seats=4)
    billing.consume("user_1", "projects", 18)
    item = _item(stripe, subscription, "price_seat")

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][quantity]": "5"})
    assert (25, 18) == (billing.balances("user_1")["projects"].included, billing.balances("user_1")["projects"].used)

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][quantity]": "2"})
    balance = billing.balances("user_1")["projects"]
    assert (18, 18, 0) == (balance.included, balance.used, balance.remaining)
    assert 2 == billing.check("user_1", "seats").balance.included


def test_change_of_plan_carries_usage_and_coming_back_does_not_refill(
    billing: Billing, stripe: StripeSimulator
) -> None:
    """Within one paid period usage moves along, there and back."""
    subscription = _subscribe(billing, stripe, "pro")
    billing.consume("user_1", "messages", 80)
    item = _item(stripe, subscription, "price_pro")

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_team"})
    assert (1_000, 80) == (
        billing.balances("user_1")["messages"].included,
        billing.balances("user_1")["messages"].used,
    )
    billing.consume("user_1", "messages", 500)

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_pro"})
    assert (100, 100) == (
        billing.balances("user_1")["messages"].included,
        billing.balances("user_1")["messages"].used,
    )


def test_reset_policy_starts_afresh(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """`on_plan_change="reset"` forgets metered use, but never refills the plan one comes back to."""
    fresh = {"on_plan_change": "reset"}
    billing = open_billing(
        plans=[
            Plan("pro", price_id="price_pro", features={"messages": Metered(100, **fresh)}),  # type: ignore[arg-type]  # a str of the choices
            Plan("team", price_id="price_team", features={"messages": Metered(500, **fresh)}),  # type: ignore[arg-type]  # a str of the choices
        ]
    )
    subscription = _subscribe(billing, stripe, "pro")
    billing.consume("user_1", "messages", 80)
    item = _item(stripe, subscription, "price_pro")

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_team"})
    assert 500 == billing.check("user_1", "messages").remaining

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_pro"})
    assert 20 == billing.check("user_1", "messages").remaining


def test_a_subscription_bought_anew_gives_metered_use_anew(billing: Billing, stripe: StripeSimulator) -> None:
    """Who pays for another subscription gets its whole metered allowance; things that exist stay counted."""
    _subscribe(billing, stripe, "pro")
    billing.consume("user_1", "messages", 100)
    billing.consume("user_1", "projects", 2)
    stripe.use_card("user_1", "4000000000000002")
    stripe.advance(months=2)
    stripe.use_card("user_1", "4242424242424242")

    _subscribe(billing, stripe, "pro")

    assert 100 == billing.check("user_1", "messages").remaining
    assert 1 == billing.check("user_1", "projects").remaining


def test_what_a_price_of_no_plan_gives(billing: Billing, stripe: StripeSimulator) -> None:
    """A subscription switched to a price that sells no plan is mirrored without plan, and gives the default plan."""
    subscription = _subscribe(billing, stripe, "pro")
    stripe.add_price("price_other", 500)
    item = _item(stripe, subscription, "price_pro")

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_other"})

    mirrored = billing.subscriptions.get("user_1")
    assert mirrored is not None
    assert (None, "active", "price_other") == (mirrored.plan, mirrored.status, mirrored.price_id)
    assert not billing.check("user_1", "sso")
    assert 1 == billing.check("user_1", "projects").balance.included


def test_a_price_mapped_after_review(billing: Billing, stripe: StripeSimulator) -> None:
    """An imported price that was mapped in the database sells the plan like a configured one."""
    subscription = _subscribe(billing, stripe, "pro")
    stripe.add_price("price_other", 500)
    billing.catalog.sync()
    billing.catalog.map_price("price_other", "team", "month")
    item = _item(stripe, subscription, "price_pro")

    _change(stripe, subscription, **{"items[0][id]": item, "items[0][price]": "price_other"})

    mirrored = billing.subscriptions.get("user_1")
    assert mirrored is not None
    assert "team" == mirrored.plan
    assert 1_000 == billing.check("user_1", "messages").remaining


@pytest.mark.parametrize("reset", ["hour", "day", "week", "month", "quarter", "year"])
def test_every_rhythm(open_billing: Callable[..., Billing], stripe: StripeSimulator, reset: str) -> None:
    """Every rhythm fills again in its next period and not before."""
    billing = open_billing(
        plans=[Plan("pro", price_id="price_pro", features={"x": Metered(5, reset=reset)})]  # type: ignore[arg-type]  # a str of the choices
    )
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "x", 5)
    resets_at = billing.check("user_1", "x").resets_at
    assert resets_at is not None

    seconds = (resets_at - stripe.now).total_seconds()
    assert 0 < seconds <= 366 * 86_400
    stripe.advance(hours=int(seconds // 3600))
    while stripe.now < resets_at:
        stripe.advance(hours=1)

    assert 5 == billing.check("user_1", "x").remaining


def test_no_rhythm_never_fills(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """A quantity, and an allowance that never resets, stay used."""
    billing = open_billing(
        plans=[Plan("pro", price_id="price_pro", features={"x": Metered(5, reset="never"), "y": Quantity(5)})]
    )
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "x", 5)
    billing.consume("user_1", "y", 5)
    stripe.advance(months=6)

    assert not billing.check("user_1", "x")
    assert not billing.check("user_1", "y")
