"""A page that was paid without a word of it reaching us is never handed out again."""

from __future__ import annotations

import pytest

from kernia_billing.errors import AlreadySubscribed
from tests.webhooks.shop import Shop


def _paid_and_ended(shop: Shop, plan: str) -> str:
    """Pay for a plan and cancel it at once, of which nothing is heard; answers the session."""
    opened = shop.upgrade(plan=plan)
    shop.stripe.pay(opened)
    (subscription,) = shop.objects("subscription")
    shop.account.delete(f"/v1/subscriptions/{subscription['id']}")
    return str(opened.session_id)


def test_after_a_paid_page_whose_subscription_ended_there_is_a_new_one(quiet_shop: Shop) -> None:
    """The same order again gives a page that can be paid, and what the first one sold is known."""
    first = _paid_and_ended(quiet_shop, "pro")
    again = quiet_shop.upgrade(plan="pro")
    assert again.session_id != first
    assert [each.status for each in quiet_shop.billing.subscriptions.list("ann")] == ["canceled"]
    quiet_shop.stripe.pay(again)
    quiet_shop.stripe.deliver()
    assert quiet_shop.subscription().status == "active"


def test_another_order_after_a_paid_page_whose_subscription_ended_is_not_refused(quiet_shop: Shop) -> None:
    """Nothing is live, so another plan can be bought at once."""
    first = _paid_and_ended(quiet_shop, "pro")
    assert quiet_shop.upgrade(plan="team").session_id != first


def test_a_trial_that_was_never_heard_of_is_not_given_twice(quiet_shop: Shop) -> None:
    """What a lost page sold counts as a trial."""
    _paid_and_ended(quiet_shop, "trial")
    quiet_shop.stripe.pay(quiet_shop.upgrade(plan="trial"))
    assert [row["trial_end"] is None for row in quiet_shop.objects("subscription")] == [False, True]


def test_a_page_that_is_still_open_is_given_again(quiet_shop: Shop) -> None:
    """Whoever asks twice is led to one page."""
    assert quiet_shop.upgrade(plan="pro").session_id == quiet_shop.upgrade(plan="pro").session_id


def test_another_order_after_a_paid_page_that_lives_is_refused(quiet_shop: Shop) -> None:
    """What was paid meanwhile is no reason to sell another plan."""
    quiet_shop.stripe.pay(quiet_shop.upgrade(plan="pro"))
    with pytest.raises(AlreadySubscribed):
        quiet_shop.upgrade(plan="pro")


def test_a_page_that_was_given_up_does_not_come_back_beside_its_successor(quiet_shop: Shop) -> None:
    """Stripe goes on showing a deleted customer's page as open; the one that took its place stays the open one."""
    shop = quiet_shop
    first = shop.upgrade()
    shop.account.delete(f"/v1/customers/{shop.customer()}")
    shop.stripe.deliver()
    second = shop.upgrade()
    assert {each["id"]: each["status"] for each in shop.objects("checkout.session")}[first.session_id] == "open"
    assert shop.billing.sync.object("checkout.session", first.session_id or "") == "applied"
    assert shop.upgrade().session_id == second.session_id != first.session_id
