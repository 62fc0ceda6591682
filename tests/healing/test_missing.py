"""Objects that Stripe says it does not have: in test mode they are gone, in live mode something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from kernia_billing.domain.answers import Event
from tests.healing.story import errors, execute
from tests.webhooks.shop import Shop, envelope

UPDATED = "customer.subscription.updated"


def _go_live(shop: Shop) -> None:
    """From now on it is real money, as far as the library knows."""
    shop.billing._wiring.core = evolve(shop.billing._wiring.core, livemode=True)


def _lose(shop: Shop, kind: str, stripe_id: str) -> Callable[[], None]:
    """Let Stripe answer as to a key of another account; gives what undoes it."""
    rows = shop.stripe.state.world.table(kind).rows
    lost = rows.pop(stripe_id)

    def restore() -> None:
        rows[stripe_id] = lost

    return restore


def _an_event_comes(shop: Shop, stripe_id: str) -> None:
    told = envelope(UPDATED, {"object": "subscription", "id": stripe_id}, "evt_lost", livemode=True)
    assert shop.post(told).status == "applied"


def _it_is_overdue(shop: Shop, _: str) -> None:
    (row,) = shop.rows()["subscription"]
    end = "UPDATE billing_subscription SET period_end = :end"
    execute(shop, end, "UPDATE billing_stripe_object SET checked_at = 1", end=1)
    assert shop.billing.reconcile().subscriptions == 1
    execute(shop, end, end=row["period_end"])


def _all_are_compared(shop: Shop, _: str) -> None:
    assert shop.billing.sync.subscriptions().kinds["subscription"].gone == 1


def _it_is_asked_for(shop: Shop, stripe_id: str) -> None:
    assert shop.billing.sync.object("subscription", stripe_id) == "gone"


def _its_customer_is_looked_at(shop: Shop, _: str) -> None:
    assert shop.billing.sync.reference("ann").kinds["subscription"].gone == 1


WAYS = [_an_event_comes, _it_is_overdue, _all_are_compared, _it_is_asked_for, _its_customer_is_looked_at]


@pytest.mark.parametrize("look", WAYS)
def test_a_live_subscription_that_is_missing_stays(shop: Shop, look: Callable[[Shop, str], None]) -> None:
    """However it is noticed, hooks hear of it once and its plan stays; once Stripe has it again all is as it was."""
    told: list[Event] = []
    shop.billing.on("subscription.missing", "subscription.deleted", "subscription.updated")(told.append)
    sold = shop.buy()
    stripe_id = str(sold.stripe_id)
    shop.billing.sync.all()
    told.clear()
    _go_live(shop)
    restore = _lose(shop, "subscription", stripe_id)
    look(shop, stripe_id)
    shop.billing.sync.object("subscription", stripe_id)
    (alarm,) = told
    assert (alarm.type, alarm.data) == ("subscription.missing", {"kind": "subscription", "id": stripe_id})
    assert alarm.reference == sold.reference
    assert shop.subscription() == sold
    (found,) = (each for each in errors(shop) if each.check == "subscriptions.missing")
    assert (found.count, found.ids) == (1, (stripe_id,))
    restore()
    shop.billing.sync.reference("ann")
    assert shop.subscription().status == "active"
    assert [each for each in errors(shop) if each.check == "subscriptions.missing"] == []


def test_a_test_subscription_that_is_missing_has_ended(each_shop: Shop) -> None:
    """Test data can be deleted as a whole: it ends here too, and no hook hears of an alarm."""
    shop = each_shop
    told: list[Event] = []
    shop.billing.on("subscription.missing", "subscription.deleted")(told.append)
    sold = shop.buy()
    _lose(shop, "subscription", str(sold.stripe_id))
    assert shop.billing.sync.object("subscription", str(sold.stripe_id)) == "gone"
    assert shop.subscription().status == "canceled"
    assert [each.type for each in told] == ["subscription.deleted"]
    assert not shop.billing.check("ann", "projects", 5)


def test_a_live_customer_that_is_missing_stays(each_shop: Shop) -> None:
    """Stripe still shows a customer that it deleted: one that is not there at all is not unlinked, but told of."""
    shop = each_shop
    told: list[Any] = []
    shop.billing.on("customer.missing", "subscription.missing")(told.append)
    sold, theirs = shop.buy(), shop.customer()
    _go_live(shop)
    _lose(shop, "subscription", str(sold.stripe_id))
    _lose(shop, "customer", theirs)
    assert shop.billing.sync.object("customer", theirs) == "gone"
    assert shop.billing.sync.object("customer", theirs) == "gone"
    assert [(each.type, each.data["id"], each.reference) for each in told] == [
        ("customer.missing", theirs, sold.reference),
        ("subscription.missing", sold.stripe_id, sold.reference),
    ]
    assert (shop.customer(), shop.subscription()) == (theirs, sold)


def test_a_live_customer_that_was_deleted_is_unlinked(shop: Shop) -> None:
    """Stripe says that it deleted it: it is gone in live mode too, and so are its subscriptions."""
    shop.buy()
    shop.stripe.state.delivers = False
    theirs = shop.customer()
    _go_live(shop)
    shop.account.delete(f"/v1/customers/{theirs}")
    assert shop.billing.sync.object("customer", theirs) == "gone"
    found = shop.billing.customers.get("ann")
    assert found is not None
    assert found.stripe_id is None
    assert shop.subscription().status == "canceled"
