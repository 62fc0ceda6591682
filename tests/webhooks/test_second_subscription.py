"""A second live subscription of one customer is told of, and takes nothing away."""

from __future__ import annotations

from typing import Any

from tests.webhooks.fixtures import Open


def test_a_second_live_subscription_is_told_of_once(open_shop: Open) -> None:
    """Hooks hear `subscription.duplicate`, the audit log has it, and the mark on the subscription stays."""
    told: list[Any] = []
    shop = open_shop(on_event=told.append)
    shop.buy()
    shop.stripe.advance(hours=1)
    shop.account.buy("price_team", customer=shop.customer())
    shop.stripe.flush()
    shop.billing.jobs.run()

    duplicates = [each for each in told if each.type == "subscription.duplicate"]
    assert [each.subscription.plan for each in duplicates] == ["team"]
    assert [each.action for each in shop.billing.audit("ann")].count("subscription.duplicate") == 1
    assert {each.plan: each.duplicate for each in shop.billing.subscriptions.list("ann")} == {
        "pro": False,
        "team": True,
    }
