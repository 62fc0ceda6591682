"""Subscriptions are cancelled directly at Stripe: once, at the right time, and never beside what is there."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Conflict, InvalidInput, NotFound, Unavailable
from kernia_billing.domain.answers import SubscriptionEvent
from kernia_billing.testing import Fault
from tests.webhooks.shop import Shop

SUBSCRIPTIONS = "/v1/subscriptions/"
BAD_CARD = "4000000000000341"


def writes(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    """What was changed of subscriptions at Stripe."""
    return [
        (each.method, dict(each.params)) for verb in ("POST", "DELETE") for each in shop.called(verb, SUBSCRIPTIONS)
    ]


def test_at_the_end_of_the_period_and_once(each_shop: Shop) -> None:
    """It works until its period ends, a second wish changes nothing, and why it was cancelled is kept."""
    shop = each_shop
    told: list[SubscriptionEvent] = []
    shop.billing.on("subscription.cancel_scheduled")(told.append)
    bought = shop.buy()
    pending = shop.billing.subscriptions.cancel("ann", reason="Too dear for us", feedback="too_expensive")
    assert (pending.status, pending.display_state, pending.cancel_at_period_end) == ("active", "cancel_pending", True)
    assert (pending.cancel_reason, pending.cancel_feedback) == ("cancellation_requested", "too_expensive")
    assert shop.billing.subscriptions.cancel("ann", subscription_id=bought.id) == pending
    assert shop.billing.subscriptions.cancel("ann", subscription_id=bought.stripe_id) == pending
    details = {"comment": "Too dear for us", "feedback": "too_expensive"}
    assert writes(shop) == [("POST", {"cancel_at_period_end": "true", "cancellation_details": details})]
    assert [each.subscription for each in told] == [pending]
    assert "Too dear" not in str(shop.rows()["audit"] + shop.rows()["subscription"])
    assert shop.billing.check("ann", "projects", 5)
    shop.stripe.advance(months=1, hours=2)
    ended = shop.subscription()
    assert (ended.id, ended.status, ended.ended_at) == (bought.id, "canceled", bought.period_end)
    assert not shop.billing.check("ann", "projects", 5)


def test_at_once_also_after_it_was_scheduled(shop: Shop) -> None:
    """A pending end is no reason not to end now; unused time is credited and billed where that is asked for."""
    bought = shop.buy()
    shop.billing.subscriptions.cancel("ann")
    shop.stripe.advance(days=10)
    ended = shop.billing.subscriptions.cancel("ann", when="now", prorate=True, invoice_now=True)
    assert (ended.id, ended.status, ended.ended_at) == (bought.id, "canceled", shop.stripe.now)
    assert not shop.billing.check("ann", "projects", 5)
    (invoice,) = [each for each in shop.objects("invoice") if each["total"] < 0]
    assert invoice["billing_reason"] == "subscription_update"
    assert shop.billing.subscriptions.cancel("ann", when="now") == ended
    assert shop.billing.subscriptions.cancel("ann") == ended
    assert len(shop.called("DELETE", SUBSCRIPTIONS)) == 1


def test_again_after_it_was_taken_back(shop: Shop) -> None:
    """A cancellation that was taken back in the portal can be wished again on the same day."""
    bought = shop.buy()
    shop.billing.subscriptions.cancel("ann")
    shop.account.post(SUBSCRIPTIONS + str(bought.stripe_id), {"cancel_at_period_end": "false"})
    shop.stripe.flush()
    assert shop.subscription().display_state == "active"
    assert shop.billing.subscriptions.cancel("ann").display_state == "cancel_pending"


def test_a_later_date_gives_way_to_the_end_of_the_period(shop: Shop) -> None:
    """A date that lies beyond the period is too late for who wants to leave, and an earlier one stays."""
    bought = shop.buy()
    assert bought.period_end is not None
    end = int(bought.period_end.timestamp())
    for at, is_kept in ((end + 86_400, False), (end - 86_400, True)):
        shop.account.post(SUBSCRIPTIONS + str(bought.stripe_id), {"cancel_at": str(at)})
        after = shop.billing.subscriptions.cancel("ann")
        assert after.cancel_at is not None
        assert after.cancel_at_period_end is not is_kept
        assert int(after.cancel_at.timestamp()) == (at if is_kept else end)


@pytest.mark.parametrize("plan", ["trial", "pro"])
def test_while_it_is_tried_or_overdue(shop: Shop, plan: str) -> None:
    """Trials and overdue subscriptions can be cancelled like any other."""
    shop.buy("ann", plan)
    if plan == "pro":
        shop.stripe.use_card("ann", BAD_CARD)
        shop.stripe.advance(months=1, hours=2)
    before = shop.subscription()
    after = shop.billing.subscriptions.cancel("ann")
    assert (before.status, after.status) == (("trialing", "past_due")["trial" != plan],) * 2
    assert after.cancel_at_period_end
    assert shop.billing.subscriptions.cancel("ann", when="now").status == "canceled"


def test_what_stripe_lost_ends_here_only(shop: Shop) -> None:
    """Nothing is sent for a subscription that Stripe does not know; its row ends and stays."""
    bought = shop.buy()
    del shop.stripe.state.world.table("subscription").rows[str(bought.stripe_id)]
    ended = shop.billing.subscriptions.cancel("ann")
    assert (ended.id, ended.status, ended.plan) == (bought.id, "canceled", "pro")
    assert not writes(shop)


def test_what_ended_without_our_hearing_of_it(quiet_shop: Shop) -> None:
    """A subscription that ended at Stripe is brought up to date, and nothing is sent."""
    bought = quiet_shop.buy()
    quiet_shop.account.delete(SUBSCRIPTIONS + str(bought.stripe_id))
    before = len(writes(quiet_shop))
    assert quiet_shop.billing.subscriptions.cancel("ann").status == "canceled"
    assert len(writes(quiet_shop)) == before


def test_a_schedule_of_ours_gives_way_and_a_foreign_one_does_not(shop: Shop) -> None:
    """A change that was to come is dropped with the subscription; what somebody else planned only ends with it."""
    for reference, source in (("ann", "kernia_billing"), ("bob", "billing team")):
        bought = shop.buy(reference)
        made = shop.account.post("/v1/subscription_schedules", {"from_subscription": str(bought.stripe_id)})
        shop.account.post(f"/v1/subscription_schedules/{made['id']}", {"metadata[source]": source})
        shop.stripe.flush()
    assert shop.billing.subscriptions.cancel("ann").cancel_at_period_end
    with pytest.raises(Conflict) as refusal:
        shop.billing.subscriptions.cancel("bob")
    assert refusal.value.code == "SCHEDULE_NOT_OURS"
    assert not shop.subscription("bob").cancel_at_period_end
    assert shop.billing.subscriptions.cancel("bob", when="now").status == "canceled"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"when": "later"}, "when"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": 5}, "reason"),
        ({"feedback": "bored"}, "feedback"),
        ({"prorate": True}, "prorate"),
        ({"invoice_now": True}, "invoice_now"),
        ({"when": "now", "prorate": "yes"}, "prorate"),
    ],
)
def test_wrong_wishes_change_nothing(shop: Shop, wrong: dict[str, Any], field: str) -> None:
    """Each is refused by its name, before Stripe is asked anything."""
    shop.buy()
    before = len(shop.stripe.requests)
    with pytest.raises(InvalidInput) as refusal:
        shop.billing.subscriptions.cancel("ann", **wrong)
    assert refusal.value.field == field
    assert len(shop.stripe.requests) == before


def test_nobody_cancels_anothers(shop: Shop) -> None:
    """An id of somebody else is as unknown as one that does not exist."""
    bought = shop.buy("ann")
    shop.buy("bob", "team")
    for id in (bought.id, bought.stripe_id, "sub_none"):
        with pytest.raises(NotFound) as missing:
            shop.billing.subscriptions.cancel("bob", subscription_id=id)
        assert missing.value.code == "SUBSCRIPTION_NOT_FOUND"
    assert shop.subscription("ann").display_state == shop.subscription("bob").display_state == "active"


def test_an_outage_after_the_write_is_gone_on_with(shop: Shop) -> None:
    """Where the answer of Stripe is lost, the same call finds what was done and does it no second time."""
    bought = shop.buy()
    path = SUBSCRIPTIONS + str(bought.stripe_id)
    shop.stripe.faults.append(Fault("reset_after", method="POST", path=path, times=None))
    with pytest.raises(Unavailable):
        shop.billing.subscriptions.cancel("ann")
    shop.stripe.faults.clear()
    sent = len(writes(shop))
    assert shop.billing.subscriptions.cancel("ann").display_state == "cancel_pending"
    assert len(writes(shop)) == sent


def test_the_history_tells_who_why_and_when(shop: Shop) -> None:
    """Every change is a row with its states, its actor, its cause and Stripe's event, newest first."""
    bought = shop.buy()
    with shop.billing.acting_as("user:7"):
        shop.billing.subscriptions.cancel("ann")
    shop.stripe.advance(months=1, hours=2)
    page = shop.billing.subscriptions.history("ann", limit=2)
    ended, cancelled = page.items
    (first,) = shop.billing.subscriptions.history("ann", limit=2, cursor=page.next_cursor).items
    assert {each.subscription_id for each in (ended, cancelled, first)} == {bought.id}
    assert (first.from_status, first.to_status, first.from_plan, first.to_plan) == (None, "active", None, "pro")
    assert (cancelled.actor, cancelled.cause, cancelled.event_id) == ("user:7", "cancel", None)
    assert (ended.actor, ended.cause) == ("stripe", "customer.subscription.deleted")
    assert ended.event_id in shop.event_ids("customer.subscription.deleted")
    assert (ended.to_status, ended.effective_at) == ("canceled", bought.period_end)
    assert shop.billing.subscriptions.history("nobody").items == ()
