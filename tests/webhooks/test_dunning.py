"""Payments that fail are told of once for each attempt, and so is the payment that comes after all."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.domain.answers import DunningEvent
from kernia_billing.testing import CardDeclined
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop

BAD_CARD, GOOD_CARD, ASKING_CARD = "4000000000000341", "4242424242424242", "4000002760003184"


def listen(shop: Shop) -> list[DunningEvent]:
    """What hooks are told of payments from now on."""
    heard: list[Any] = []
    shop.billing.on("dunning.payment_failed", "dunning.action_required", "dunning.recovered")(heard.append)
    return heard


def overdue(shop: Shop, card: str = BAD_CARD) -> None:
    """Let a renewal fail."""
    shop.buy()
    shop.stripe.use_card("ann", card)
    shop.stripe.advance(months=1, hours=2)


def test_each_attempt_is_told_of_once(each_shop: Shop) -> None:
    """With its number, its stage and when the next one is; also when every event comes a second time."""
    shop = each_shop
    heard = listen(shop)
    overdue(shop)
    assert shop.subscription().status == "past_due"
    for _ in range(3):
        shop.stripe.advance(days=5)
        for event_id in shop.event_ids("invoice.payment_failed"):
            shop.stripe.deliver(event_id)
            shop.billing.webhooks.replay(event_id)
    attempts = [each.attempt for each in heard]
    assert attempts == sorted(set(attempts))
    assert attempts[0] == 1
    assert {each.invoice_id for each in heard} == {
        each["id"] for each in shop.objects("invoice") if each["attempt_count"] > 1
    }
    assert {each.type for each in heard} == {"dunning.payment_failed"}
    for each in heard:
        is_final = each.attempt >= 3 or each.next_attempt_at is None
        assert each.stage == ("final" if is_final else "retry")
        assert (each.amount_due.amount, each.subscription_id) == (1_000, shop.subscription().id)
        assert str(each.hosted_url).startswith("https://")


@pytest.mark.parametrize("final", [1, 2])
def test_the_final_attempt_is_configured(open_shop: Open, final: int) -> None:
    """From `dunning_final_attempt` on the stage is final."""
    shop = open_shop(dunning_final_attempt=final)
    heard = listen(shop)
    overdue(shop)
    shop.stripe.advance(days=5)
    assert {each.attempt: each.stage for each in heard} == {
        each.attempt: "final" if each.attempt >= final or each.next_attempt_at is None else "retry" for each in heard
    }
    assert heard[final - 1].stage == "final"


def test_the_recovery_is_told_of_once(each_shop: Shop) -> None:
    """Paid after all the grace is over, and hooks hear of the invoice and of the subscription."""
    shop = each_shop
    recovered: list[Any] = []
    shop.billing.on("subscription.recovered")(recovered.append)
    heard = listen(shop)
    overdue(shop)
    assert shop.subscription().grace_ends_at is not None
    shop.stripe.use_card("ann", GOOD_CARD)
    shop.stripe.collect("ann")
    assert (shop.subscription().status, shop.subscription().grace_ends_at) == ("active", None)
    for kind in ("invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed"):
        for event_id in set(shop.event_ids(kind)) & set(shop.inbox()):
            shop.billing.webhooks.replay(event_id)
    assert [each.type for each in heard] == ["dunning.payment_failed", "dunning.recovered"]
    assert heard[1].invoice_id == heard[0].invoice_id
    assert (heard[1].stage, heard[1].amount_due.amount) == (None, 1_000)
    assert [each.previous.status for each in recovered] == ["past_due"]


def test_a_payment_that_has_to_be_confirmed(shop: Shop) -> None:
    """The customer is asked on Stripe's page, whose address is told."""
    heard = listen(shop)
    overdue(shop, ASKING_CARD)
    asked = [each for each in heard if each.type == "dunning.action_required"]
    assert [each.attempt for each in asked] == [1]
    assert str(asked[0].hosted_url).startswith("https://")


def test_news_of_a_failure_that_is_over(shop: Shop) -> None:
    """An event that comes after the payment tells nothing, and neither does one of a first purchase."""
    heard = listen(shop)
    overdue(shop)
    shop.stripe.use_card("ann", GOOD_CARD)
    shop.stripe.collect("ann")
    before = list(heard)
    late = shop.event("invoice.payment_failed")
    assert shop.post({**late, "id": "evt_late"}).status == "applied"
    with pytest.raises(CardDeclined):
        shop.stripe.pay(shop.upgrade("bob"), card="4000000000000002")
    assert heard == before


def test_retries_that_are_exhausted(shop: Shop) -> None:
    """What Stripe makes of it in the end is followed: the subscription is canceled and gives nothing."""
    heard = listen(shop)
    overdue(shop)
    shop.stripe.advance(days=40)
    assert shop.subscription().status == "canceled"
    assert not shop.billing.check("ann", "projects", 5)
    assert heard[-1].stage == "final"
    assert heard[-1].next_attempt_at is None
