"""The option `plan_change.pending_invoice_item_interval`: yearly plans bill prorations within the year."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Plan
from tests.webhooks.shop import Shop

PLANS = (
    Plan("free"),
    Plan("desk", price_id="price_desk", annual_price_id="price_desk_year", seats=True),
    Plan("large", price_id="price_large", annual_price_id="price_large_year", proration_behavior="create_prorations"),
)
MONTHLY = {"interval": "month", "interval_count": 1}


@pytest.fixture
def shop(open_shop: Any) -> Shop:
    """An application whose yearly plans bill by the month what comes on top."""
    shop: Shop = open_shop(
        plans=PLANS, subscription_for="organization", plan_change={"pending_invoice_item_interval": "month"}
    )
    return shop


def _apart(shop: Shop) -> Any:
    """How often the subscription is billed for what waits, as Stripe has it."""
    return shop.account.subscription(str(shop.subscription("acme").stripe_id))["pending_invoice_item_interval"]


def test_seats_of_a_yearly_plan_are_billed_within_the_month(shop: Shop) -> None:
    """A page tells Stripe; members who come are invoiced at the end of the month, and not at the end of the year."""
    shop.buy("acme", "desk", annual=True)
    assert _apart(shop) == MONTHLY
    shop.stripe.advance(days=10)
    shop.billing.subscriptions.sync_seats("acme", 4)
    shop.stripe.advance(days=20)
    assert len(shop.objects("invoice")) == 1
    shop.stripe.advance(days=2)
    billed = shop.objects("invoice")[-1]
    assert (billed["billing_reason"], billed["status"]) == ("automatic_pending_invoice_item_invoice", "paid")
    assert billed["amount_due"] > 0
    shop.stripe.advance(months=2)
    assert len(shop.objects("invoice")) == 2


def test_monthly_plans_are_not_told(shop: Shop) -> None:
    """What is billed by the month anyway needs nothing apart."""
    shop.buy("acme", "desk")
    assert _apart(shop) is None


def test_a_change_of_interval_tells_stripe(shop: Shop) -> None:
    """From a month to a year and back: told, and told that it is over."""
    shop.buy("acme", "desk")
    shop.billing.subscriptions.change("acme", "desk", annual=True)
    assert _apart(shop) == MONTHLY
    shop.billing.subscriptions.change("acme", "large", annual=False, when="now")
    assert _apart(shop) is None


def test_a_later_change_to_a_year_tells_stripe_with_the_next_seats(shop: Shop) -> None:
    """A schedule cannot carry it: the members who come next do."""
    shop.buy("acme", "desk")
    shop.billing.subscriptions.change("acme", "desk", annual=True, when="period_end")
    shop.stripe.advance(months=1, days=2)
    assert _apart(shop) is None
    shop.billing.subscriptions.sync_seats("acme", 3)
    assert _apart(shop) == MONTHLY


def test_what_somebody_else_told_stays(shop: Shop) -> None:
    """An interval that is not ours is not taken away from a monthly plan."""
    bought = shop.buy("acme", "large")
    path = f"/v1/subscriptions/{bought.stripe_id}"
    shop.account.post(path, {"pending_invoice_item_interval[interval]": "week"})
    shop.billing.subscriptions.change("acme", "desk", when="now")
    assert _apart(shop) == {"interval": "week", "interval_count": 1}


def test_without_the_option_nothing_is_told(open_shop: Any) -> None:
    """Prorations wait for the next invoice, as they always did."""
    shop: Shop = open_shop(plans=PLANS)
    shop.buy("ann", "large", annual=True)
    shop.billing.subscriptions.change("ann", "large", annual=False, when="now")
    assert not [each for each in shop.stripe.requests if "pending_invoice_item_interval" in str(each.params)]


def by_fortnights(_: object) -> dict[str, Any]:
    """What a host wants of Stripe's page."""
    return {"subscription_data": {"pending_invoice_item_interval": {"interval": "week", "interval_count": 2}}}


def test_a_hook_decides_before_the_option(open_shop: Any) -> None:
    """What the host asks of Stripe's page stands above what the options do."""
    shop: Shop = open_shop(
        plans=PLANS,
        plan_change={"pending_invoice_item_interval": "month"},
        get_checkout_session_params=by_fortnights,
    )
    bought = shop.buy("ann", "large", annual=True)
    theirs = shop.account.subscription(str(bought.stripe_id))
    assert theirs["pending_invoice_item_interval"] == {"interval": "week", "interval_count": 2}
