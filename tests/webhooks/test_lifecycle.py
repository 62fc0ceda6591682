"""What becomes of a subscription at Stripe becomes of it here, whatever events are called and whenever they come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kernia_billing.domain.answers import Event
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import PLANS, Shop, envelope

CREATED, UPDATED, DELETED = (f"customer.subscription.{each}" for each in ("created", "updated", "deleted"))


def test_deleted_then_an_older_update_stays_canceled(quiet_shop: Shop) -> None:
    """News from before the end, delivered after it, revives nothing."""
    shop = quiet_shop
    bought = shop.buy()
    shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"cancel_at_period_end": "true"})
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")
    shop.stripe.deliver(*shop.event_ids(DELETED))
    ended = shop.subscription()
    assert (ended.status, ended.plan, ended.ended_at) == ("canceled", "pro", shop.stripe.now)
    assert not shop.billing.check("ann", "projects", 5)
    shop.stripe.deliver(*shop.event_ids(UPDATED), *shop.event_ids(CREATED))
    assert shop.subscription() == ended
    shop.stripe.deliver()
    assert shop.subscription() == ended
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["canceled"]


def test_updated_before_created_makes_the_row(quiet_shop: Shop) -> None:
    """The first news of a subscription makes its row, whichever type it has; `created` adds nothing."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    sold = shop.account.buy("price_pro", customer=str(customer))
    shop.account.post(f"/v1/subscriptions/{sold['id']}", {"cancel_at_period_end": "true"})
    shop.stripe.deliver(*shop.event_ids(UPDATED))
    known = shop.subscription()
    assert (known.plan, known.display_state, known.stripe_id) == ("pro", "cancel_pending", sold["id"])
    shop.stripe.deliver(*shop.event_ids(CREATED), *shop.event_ids(CREATED))
    assert shop.subscription() == known
    assert len(shop.billing.subscriptions.list("ann")) == 1


def test_an_unknown_customer_is_unmatched_and_not_lost(quiet_shop: Shop) -> None:
    """News of a customer that nobody linked is kept as `unmatched` and answered; linking brings the subscription in."""
    shop = quiet_shop
    sold = shop.account.buy("price_pro")
    shop.billing.jobs.run()
    before = shop.rows()
    event = shop.event(CREATED)
    assert shop.post(event).status == "unmatched"
    after = shop.rows()
    assert after["subscription"] == before["subscription"] == []
    assert shop.inbox()[event["id"]]["status"] == "unmatched"
    assert shop.post(event).status == "skipped"
    linked = shop.billing.customers.link("ann", str(sold["customer"]))
    assert linked.plan == "pro"
    assert linked.subscription is not None
    assert linked.subscription.stripe_id == sold["id"]


def test_an_unknown_subscription_of_a_known_customer_is_a_row_of_its_own(shop: Shop) -> None:
    """A subscription made in the dashboard gets its own row; the one that was bought stays as it is."""
    bought = shop.buy("ann", "extra")
    shop.account.buy("price_pro_year", customer=shop.customer())
    other = shop.subscription()
    assert (other.plan, other.interval, other.seats, other.group) == ("pro", "year", 1, "default")
    assert other.id != bought.id
    assert shop.billing.subscriptions.get("ann", group="extras") == bought


def test_deleted_for_an_unknown_subscription_leaves_its_end(quiet_shop: Shop) -> None:
    """The end of a subscription that was never heard of is stored as its end."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    sold = shop.account.buy("price_pro", customer=str(customer))
    shop.account.delete(f"/v1/subscriptions/{sold['id']}")
    shop.stripe.deliver(*shop.event_ids(DELETED), *shop.event_ids(CREATED))
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["canceled"]


def test_a_subscription_that_stripe_does_not_have_is_over(shop: Shop) -> None:
    """A subscription that Stripe answers 404 for ends here, and its allowance with it."""
    bought = shop.buy()
    shop.stripe.state.world.table("subscription").rows.pop(str(bought.stripe_id))
    shop.post(envelope(UPDATED, {"object": "subscription", "id": bought.stripe_id}, "evt_gone"))
    assert (shop.subscription().status, shop.subscription().plan) == ("canceled", "pro")
    assert not shop.billing.check("ann", "projects", 5)


def test_past_due_is_a_time_of_grace_and_a_payment_ends_it(shop: Shop) -> None:
    """A failed renewal gives the plan for seven days more, a payment for good again; without one it is denied."""
    shop.buy()
    shop.stripe.use_card("ann", "4000000000000341")
    shop.stripe.advance(months=1, hours=2)
    late = shop.subscription()
    assert (late.status, late.display_state) == ("past_due", "past_due")
    assert late.grace_ends_at is not None
    assert timedelta(days=6, hours=22) < late.grace_ends_at - shop.stripe.now <= timedelta(days=7)
    assert shop.billing.check("ann", "projects", 5)
    assert shop.billing.customers.get("ann").plan == "pro"  # type: ignore[union-attr]  # None would fail the test
    shop.stripe.advance(days=7)
    denied = shop.billing.check("ann", "projects", 5)
    assert not denied
    assert shop.subscription().status == "past_due"
    assert shop.billing.customers.get("ann").plan == "free"  # type: ignore[union-attr]  # None would fail the test
    shop.stripe.use_card("ann", "4242424242424242")
    shop.stripe.collect("ann")
    healed = shop.subscription()
    assert (healed.status, healed.grace_ends_at) == ("active", None)
    assert shop.billing.check("ann", "projects", 5)


def test_the_grace_counts_from_the_first_failure_however_late_we_hear_of_it(quiet_shop: Shop) -> None:
    """News of a failed payment that comes five days late leaves two days of grace."""
    shop = quiet_shop
    shop.buy()
    shop.stripe.use_card("ann", "4000000000000341")
    shop.stripe.advance(months=1, hours=2)
    failed = shop.stripe.now
    shop.stripe.advance(days=5)
    shop.stripe.deliver()
    ends = shop.subscription().grace_ends_at
    assert ends is not None
    assert failed + timedelta(days=6, hours=22) < ends <= failed + timedelta(days=7)


@pytest.mark.parametrize("end", ["cancel", "unpaid", "past_due"])
def test_after_the_last_retry_the_plan_is_gone(shop: Shop, end: Any) -> None:
    """Whatever the account does after the last retry, nobody keeps the plan unpaid."""
    shop.stripe.settings.after_last_retry = end
    shop.buy()
    shop.stripe.use_card("ann", "4000000000000341")
    shop.stripe.advance(months=1, days=20)
    assert shop.subscription().status == ("canceled" if end == "cancel" else end)
    assert not shop.billing.check("ann", "projects", 5)


def test_cancel_at_period_end_lasts_to_the_end_and_can_be_undone(shop: Shop) -> None:
    """The flag shows at once, the plan stays until the end; undone it renews, done again it ends with the period."""
    bought = shop.buy()
    path = f"/v1/subscriptions/{bought.stripe_id}"
    asked = shop.stripe.now
    shop.account.post(path, {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    waiting = shop.subscription()
    assert (waiting.status, waiting.display_state, waiting.canceled_at) == ("active", "cancel_pending", asked)
    assert waiting.ended_at is None
    assert shop.billing.check("ann", "projects", 5)
    shop.account.post(path, {"cancel_at_period_end": "false"})
    shop.stripe.flush()
    assert shop.subscription().display_state == "active"
    shop.account.post(path, {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    shop.stripe.advance(months=1, hours=1)
    ended = shop.subscription()
    assert (ended.status, ended.cancel_at_period_end, ended.ended_at) == ("canceled", True, bought.period_end)
    assert not shop.billing.check("ann", "projects", 5)
    again = shop.buy("ann", "team")
    assert again.status == "active"
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["canceled", "active"]


def test_a_date_to_cancel_at_is_kept_exactly(shop: Shop) -> None:
    """`cancel_at` is shown to the second, without the flag of the period's end."""
    bought = shop.buy()
    when = shop.stripe.now + timedelta(days=3)
    shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"cancel_at": str(int(when.timestamp()))})
    shop.stripe.flush()
    waiting = shop.subscription()
    assert (waiting.cancel_at, waiting.cancel_at_period_end, waiting.display_state) == (when, False, "cancel_pending")


def test_a_price_that_is_mapped_to_nothing_leaves_no_plan_behind(shop: Shop) -> None:
    """A switch to an unknown price makes the plan None and its allowance lapse; a mapping and more news give one."""
    bought = shop.buy()
    shop.billing.track("ann", "messages", 30)
    product = shop.stripe.add_product("Special")
    shop.stripe.add_price("price_special", 700, product=product)
    shop.change_price(str(bought.stripe_id), "price_special")
    shop.stripe.flush()
    unknown = shop.subscription()
    assert (unknown.plan, unknown.status, unknown.price_id, unknown.id) == (None, "active", "price_special", bought.id)
    assert not shop.billing.check("ann", "projects", 5)
    assert shop.billing.check("ann", "projects", 1)
    shop.billing.catalog.sync()
    shop.billing.catalog.map_price("price_special", "mapped", "month")
    shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"metadata[note]": "again"})
    shop.stripe.flush()
    assert shop.subscription().plan == "mapped"
    assert shop.billing.check("ann", "projects", 9)
    assert not shop.billing.check("ann", "projects", 10)


def test_a_subscription_with_unknown_prices_follows_its_status(shop: Shop) -> None:
    """The status is mirrored also where no item sells a plan, and a known item among unknown ones is found."""
    shop.stripe.ensure_price("price_unknown")
    customer = str(shop.billing.customers.ensure("ann").stripe_id)
    sold = shop.account.buy("price_unknown", customer=customer)
    assert (shop.subscription().plan, shop.subscription().status) == (None, "active")
    shop.account.delete(f"/v1/subscriptions/{sold['id']}")
    shop.stripe.flush()
    assert shop.subscription().status == "canceled"
    shop.account.buy(
        "price_unknown",
        customer=customer,
        **{"line_items[1][price]": "price_team", "line_items[1][quantity]": "1"},
    )
    assert (shop.subscription().plan, shop.subscription().price_id) == ("team", "price_team")


@pytest.mark.parametrize(("plan", "limit"), [("pro", 5), ("twin", 33)])
def test_of_two_plans_that_share_a_price_the_bought_one_counts(open_shop: Open, plan: str, limit: int) -> None:
    """The chosen plan stands in the metadata and decides; where none was chosen the first configured one does."""
    from kernia_billing import Plan, Quantity

    twin = Plan("twin", price_id="price_pro", features={"projects": Quantity(33)})
    shop = open_shop(plans=(*PLANS, twin))
    assert shop.buy("ann", plan).plan == plan
    assert shop.billing.check("ann", "projects", limit)
    assert not shop.billing.check("ann", "projects", limit + 1)
    sold = shop.account.buy("price_pro", customer=str(shop.billing.customers.ensure("bob").stripe_id))
    assert shop.subscription("bob").plan == "pro"
    shop.account.post(f"/v1/subscriptions/{sold['id']}", {"metadata[plan]": "team"})
    shop.stripe.flush()
    assert shop.subscription("bob").plan == "pro"


def test_metadata_cannot_take_over_another_subscriptions_row(shop: Shop) -> None:
    """A subscription that names a row or a reference of somebody else in its metadata stays with its own customer."""
    victim = shop.buy("victim", "pro")
    thief = str(shop.billing.customers.ensure("thief").stripe_id)
    shop.account.buy(
        "price_team",
        customer=thief,
        client_reference_id="victim",
        **{
            "subscription_data[metadata][subscriptionId]": victim.id,
            "subscription_data[metadata][referenceId]": "victim",
            "metadata[subscriptionId]": victim.id,
        },
    )
    assert shop.subscription("victim") == victim
    assert shop.subscription("thief").plan == "team"
    assert shop.subscription("thief").id != victim.id


def test_a_second_live_subscription_is_flagged_and_gives_nothing(shop: Shop) -> None:
    """Two live subscriptions of one group: the older counts and the newer is a duplicate, until the older ends."""
    first = shop.buy("ann", "pro")
    shop.stripe.advance(hours=1)
    shop.account.buy("price_team", customer=shop.customer())
    listed = {each.plan: each.duplicate for each in shop.billing.subscriptions.list("ann")}
    assert listed == {"pro": False, "team": True}
    assert not shop.billing.check("ann", "projects", 6)
    told: list[Event] = []
    shop.billing.on()(told.append)
    shop.account.delete(f"/v1/subscriptions/{first.stripe_id}")
    shop.stripe.flush()
    assert (shop.subscription().plan, shop.subscription().duplicate) == ("team", False)
    assert shop.billing.check("ann", "projects", 50)
    of_team = [each for each in told if getattr(getattr(each, "subscription", None), "plan", None) == "team"]
    assert [each.type for each in of_team] == ["subscription.updated"]


def test_a_trial_runs_and_becomes_paid_or_ends(shop: Shop) -> None:
    """A trial gives the plan, its dates are kept, and after it the subscription is active; a bad card ends the plan."""
    bought = shop.buy("ann", "trial")
    assert (bought.status, bought.trial_start) == ("trialing", shop.stripe.now)
    assert bought.trial_end == shop.stripe.now + timedelta(days=14)
    assert shop.billing.check("ann", "projects", 5)
    poor = shop.upgrade("bob", "trial")
    shop.stripe.pay(poor, card="4000000000000341")
    shop.stripe.advance(days=14, hours=2)
    assert (shop.subscription("ann").status, shop.subscription("bob").status) == ("active", "past_due")
    shop.stripe.advance(days=30)
    assert shop.subscription("bob").status == "canceled"


def test_renewals_move_the_period_and_start_allowances_anew(shop: Shop) -> None:
    """Each renewal moves the period; a metered allowance starts anew, a quantity stays used."""
    bought = shop.buy()
    shop.billing.track("ann", "messages", 100)
    shop.billing.track("ann", "projects", 3)
    assert not shop.billing.check("ann", "messages")
    shop.stripe.advance(months=1, hours=2)
    renewed = shop.subscription()
    assert (renewed.period_start, renewed.id) == (bought.period_end, bought.id)
    assert shop.billing.check("ann", "messages", 100)
    assert shop.billing.balances("ann")["projects"].used == 3


@pytest.mark.parametrize("version", ["2024-04-10", "2025-03-31.basil"])
def test_older_shapes_of_events_name_the_same_objects(quiet_shop: Shop, version: str) -> None:
    """An endpoint that still sends an older version of an invoice or a subscription is understood."""
    shop = quiet_shop
    shop.stripe.pay(shop.upgrade())
    event = shop.event("invoice.paid")
    subject = event["data"]["object"]
    if version == "2024-04-10":
        subject = {**subject, "subscription": subject["parent"]["subscription_details"]["subscription"], "parent": None}
    assert shop.post({**event, "api_version": version, "data": {"object": subject}}).status == "applied"
    assert shop.subscription().plan == "pro"
