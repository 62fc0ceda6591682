"""What the option `plan_change.pairs` says of the change between two plans goes before everything else."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import BillingConfig, Plan
from tests.webhooks.shop import Shop

PLANS = (
    Plan("free"),
    Plan("pro", price_id="price_pro", annual_price_id="price_pro_year"),
    Plan("team", price_id="price_team", proration_behavior="always_invoice"),
)
_URLS: Any = {"success_url": "/", "cancel_url": "/"}


def _opened(open_shop: Any, *pairs: dict[str, str], **options: Any) -> Shop:
    shop: Shop = open_shop(plans=PLANS, plan_change={"pairs": pairs, **options})
    return shop


def _sent(shop: Shop, path: str) -> Any:
    """The parameters of the newest write to a path."""
    return shop.called("POST", path)[-1].params


@pytest.mark.parametrize(
    ("start", "to", "when", "state"),
    [("team", "pro", "now", "active"), ("pro", "team", "period_end", "changing"), ("pro", "pro", "now", "active")],
)
def test_a_pair_decides_when(open_shop: Any, start: str, to: str, when: str, state: str) -> None:
    """A downgrade now, an upgrade later, and a shorter interval now; what the call says decides before."""
    shop = _opened(open_shop, {"from": start.upper(), "to": to, "when": when})
    shop.buy("ann", start, annual=start == to)
    options: Any = {"annual": False} if start == to else {}
    shown = shop.billing.subscriptions.preview_change("ann", to, **options)
    assert (shown.effective_at == shop.stripe.now) is (when == "now")
    assert shop.billing.subscriptions.change("ann", to, preview=shown).display_state == state


def test_what_the_call_says_goes_before_the_pair(open_shop: Any) -> None:
    """`when="now"` is obeyed although the pair waits for the end of the period."""
    shop = _opened(open_shop, {"from": "pro", "to": "team", "when": "period_end"})
    shop.buy("ann", "pro")
    assert shop.billing.subscriptions.change("ann", "team", when="now").plan == "team"


def test_a_pair_says_nothing_of_others(open_shop: Any) -> None:
    """The same plans the other way round are changed by rank."""
    shop = _opened(open_shop, {"from": "pro", "to": "team", "when": "period_end"})
    shop.buy("ann", "team")
    assert shop.billing.subscriptions.change("ann", "pro").display_state == "downgrading"
    shop.billing.subscriptions.restore("ann")


def test_a_pair_decides_what_becomes_of_unused_time(open_shop: Any) -> None:
    """Before the plan's own word and the options: at once, on the pages, and when the period ends."""
    upwards = {"from": "pro", "to": "team", "proration_behavior": "none"}
    downwards = {"from": "team", "to": "pro", "proration_behavior": "create_prorations"}
    shop = _opened(open_shop, upwards, downwards, direct=True)
    path = f"/v1/subscriptions/{shop.buy('ann', 'pro').stripe_id}"
    shop.billing.subscriptions.change("ann", "team")
    assert _sent(shop, path)["proration_behavior"] == "none"
    waiting = shop.billing.subscriptions.change("ann", "pro")
    phases = _sent(shop, f"/v1/subscription_schedules/{waiting.schedule_id}")["phases"]
    assert phases["1"]["proration_behavior"] == "create_prorations"
    shop.billing.subscriptions.change("ann", "pro", when="now")
    shop.billing.subscriptions.upgrade("ann", "team", **_URLS)
    assert _sent(shop, path)["proration_behavior"] == "none"


def test_a_pair_that_waits_does_so_on_the_pages_too(open_shop: Any) -> None:
    """Who asks for the plan on a page of the application waits for the end of the period."""
    shop = _opened(open_shop, {"from": "team", "to": "pro", "when": "period_end"})
    shop.buy("ann", "team")
    page = shop.billing.subscriptions.upgrade("ann", "pro", **_URLS)
    assert page.status == "complete"
    assert shop.subscription().display_state == "downgrading"


def test_pairs_are_kept_by_the_configuration() -> None:
    """However they are spelled, and read once more."""
    pairs = [{"from": "pro", "toPlan": "Team", "when": "now", "prorationBehavior": "none"}]
    config = BillingConfig(plans=PLANS, plan_change={"pairs": pairs})
    found = config.plan_change.pair("pro", "team")
    assert found is not None
    assert (found.when, found.proration_behavior) == ("now", "none")
    assert BillingConfig(plans=PLANS, plan_change=config.plan_change).plan_change == config.plan_change
