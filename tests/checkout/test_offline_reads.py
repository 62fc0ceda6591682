"""What an application asks all the time is answered by the database alone, whatever Stripe does."""

from __future__ import annotations

import pytest

from kernia_billing import Money
from kernia_billing.testing import Fault
from tests.webhooks.shop import Shop


@pytest.fixture
def cut_off(each_shop: Shop) -> Shop:
    """A shop with a subscriber and an imported catalog, for which every call to Stripe fails from now on."""
    each_shop.buy("ann")
    each_shop.billing.catalog.sync()
    each_shop.stripe.faults.append(Fault("timeout_before", times=None))
    return each_shop


def test_reads_and_counting_ask_nobody_but_the_database(cut_off: Shop) -> None:
    """check, track, consume, give_back, balances, usage, lists, plans and the catalog: all work, no call is made."""
    shop, billing = cut_off, cut_off.billing
    asked = len(shop.stripe.requests)
    assert billing.check("ann", "projects", 5)
    assert billing.check("stranger", "projects", 1)
    assert billing.track("ann", "messages", 3).balance.used == 3
    assert billing.consume("ann", "projects", 2).funded == 2
    assert billing.give_back("ann", "projects", 1).balance.used == 1
    assert billing.balances("ann")["projects"].used == 1
    assert len(list(billing.usage("ann"))) == 3
    (subscription,) = billing.subscriptions.list("ann")
    assert billing.subscriptions.get("ann") == subscription
    customer = billing.customers.get("ann")
    assert customer is not None
    assert (customer.plan, customer.subscription) == ("pro", subscription)
    assert [each.reference.id for each in billing.customers.iter(plan="pro")] == ["ann"]
    pro = next(each for each in billing.plans.list() if each.name == "pro")
    assert (pro.monthly, pro.annual) == (Money(1_000, "usd"), Money(10_000, "usd"))
    assert "price_pro" in [each.id for each in billing.catalog.prices()]
    assert len(list(billing.catalog.products())) == len(shop.objects("product"))
    billing.jobs.run()
    assert len(shop.stripe.requests) == asked
