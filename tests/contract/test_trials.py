"""Scenarios of trials: one for a reference, whatever became of it."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Plan
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.contract.test_checkout import asked, dashboard

TRIED = (
    Plan("tried", price_id="price_tried", annual_price_id="price_tried_y", trial_days=14),
    Plan("other", price_id="price_other", trial_days=7),
)
HOUR = 3_600
PRO: dict[str, Any] = {"items[0][price]": "price_pro"}


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop whose plans may be tried."""
    return open_shop(plans=(*PLANS, *TRIED))


def days(shop: Shop) -> str | None:
    """How long the last page that was opened lets try."""
    found: str | None = asked(shop)["subscription_data"].get("trial_period_days")
    return found


def tried_and_canceled(shop: Shop) -> Any:
    """A subscription whose trial was canceled at once in the dashboard."""
    bought = shop.subscribe("tried")
    assert (bought.status, days(shop)) == ("trialing", "14")
    dashboard(shop, "DELETE", f"/v1/subscriptions/{bought.stripe_id}")
    return bought


@scenario(117)
def test_a_second_subscription_to_the_plan_has_no_trial(shop: Shop) -> None:
    """There are two rows then, and the first still tells of its trial."""
    first = tried_and_canceled(shop)
    second = shop.subscribe("tried")
    assert days(shop) is None
    assert (second.status, second.trial_end) == ("active", None)
    rows = shop.billing.subscriptions.list("ann")
    assert [(each.id, each.status, each.trial_start is not None) for each in rows] == [
        (first.id, "canceled", True),
        (second.id, "active", False),
    ]


@scenario(118)
@pytest.mark.parametrize("order", [{"plan": "other"}, {"plan": "tried", "annual": True}])
def test_another_plan_or_interval_has_no_trial_either(shop: Shop, order: dict[str, Any]) -> None:
    """A trial of one plan was the trial."""
    tried_and_canceled(shop)
    shop.subscribe(**order)
    assert days(shop) is None


@scenario(119)
def test_an_order_that_is_open_looks_at_the_whole_history(shop: Shop) -> None:
    """A page is open while the trial of another plan group begins, and the next page knows of it."""
    shop.upgrade("tried")
    assert days(shop) == "14"
    dashboard(
        shop,
        "POST",
        "/v1/subscriptions",
        customer=asked(shop)["customer"],
        trial_period_days="3",
        **PRO,
    )
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["trialing"]
    shop.stripe.advance(hours=25)
    dashboard(shop, "DELETE", f"/v1/subscriptions/{shop.billing.subscriptions.list('ann')[0].stripe_id}")
    assert shop.upgrade("tried").status == 200
    assert days(shop) is None


@scenario(120, 122)
def test_the_dates_of_a_trial_come_with_its_end_too(open_shop: OpenShop) -> None:
    """Nothing was heard of the subscription but its deletion: the row has the trial, and the next page none."""
    shop = open_shop(plans=(*PLANS, *TRIED), deliver="manual")
    shop.stripe.pay(shop.upgrade("tried").json["url"])
    (session,) = dashboard(shop, "GET", "/v1/checkout/sessions", news=False)["data"]
    ended = dashboard(shop, "DELETE", f"/v1/subscriptions/{session['subscription']}", news=False)
    (event,) = dashboard(shop, "GET", "/v1/events?type=customer.subscription.deleted", news=False)["data"]
    assert not shop.billing.subscriptions.list("ann")
    shop.stripe.deliver(event["id"])
    (row,) = shop.billing.subscriptions.list("ann")
    assert (row.status, row.trial_start is not None, row.stripe_id) == ("canceled", True, ended["id"])
    assert shop.upgrade("tried").status == 200
    assert days(shop) is None


@scenario(121)
def test_the_dates_of_a_trial_come_with_an_update(shop: Shop) -> None:
    """A trial that somebody gives later, in the dashboard, counts as one from then on."""
    bought = shop.subscribe("pro")
    assert shop.billing.subscriptions.has_trialed("ann") is False
    end = int(bought.period_end.timestamp()) + HOUR
    dashboard(
        shop,
        "POST",
        f"/v1/subscriptions/{bought.stripe_id}",
        trial_end=str(end),
        proration_behavior="none",
    )
    (row,) = shop.billing.subscriptions.list("ann")
    assert (row.status, int(row.trial_end.timestamp())) == ("trialing", end)
    assert shop.billing.subscriptions.has_trialed("ann") is True


@scenario(227)
def test_history_survives_a_subscription_that_vanished(shop: Shop) -> None:
    """Stripe no longer knows the subscription: what is canceled stays in the history, and there is no second trial."""
    bought = shop.subscribe("tried")
    dashboard(shop, "DELETE", f"/v1/subscriptions/{bought.stripe_id}")
    shop.post("/subscription/cancel", {"returnUrl": "/"})
    assert shop.billing.subscriptions.has_trialed("ann", "tried") is True
    assert [each.id for each in shop.billing.subscriptions.list("ann")] == [bought.id]
    shop.upgrade("other")
    assert days(shop) is None
