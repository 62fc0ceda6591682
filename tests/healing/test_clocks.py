"""Hosts whose clocks differ: what one of them noted keeps no other from its work."""

from __future__ import annotations

import pytest
from attrs import evolve, frozen

from kernia_billing import Billing
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import DAY, HOUR, MINUTE, Instant
from kernia_billing.operations import reconcile
from kernia_billing.ports.clock import Clock
from tests.healing.story import Cut, cut_at, execute
from tests.webhooks.shop import Shop


@frozen
class Skewed:
    """A clock that differs by so many microseconds from another one."""

    clock: Clock
    by: int

    def now(self) -> Instant:
        """The wrong instant."""
        return self.clock.now() + self.by


def skew(billing: Billing, by: int) -> None:
    """Let the clock of the host of `billing` differ."""
    core = billing._wiring.core
    billing._wiring.core = evolve(core, clock=Skewed(core.clock, by))


def test_a_host_of_the_future_that_died_holds_up_nobody(each_shop: Shop) -> None:
    """Its lease and its note of when it listed events are 400 days ahead: the next run takes in what was missed."""
    shop = each_shop
    shop.stripe.state.delivers = False
    ahead = shop.open()
    skew(ahead, 400 * DAY)
    assert ahead.reconcile().status == "done"
    core = ahead._wiring.core
    now = core.now()
    run_blocking(core.store.transaction(lambda tx: tx.leases.acquire(reconcile.LEASE, "dead", now, now + 5 * MINUTE)))
    shop.stripe.pay(shop.upgrade())
    done = shop.billing.reconcile()
    assert (done.status, done.events > 0) == ("done", True)
    assert shop.subscription().plan == "pro"


def test_what_a_host_of_the_future_looked_at_is_looked_at_again(each_shop: Shop) -> None:
    """It noted that it looked at a subscription 400 days from now: once that is overdue the next run looks at it."""
    shop = each_shop
    shop.buy()
    shop.billing.reconcile()
    ended, ahead = shop.stripe.clock.now() - 2 * DAY, shop.stripe.clock.now() + 400 * DAY
    execute(
        shop,
        "UPDATE billing_subscription SET period_end = :ended",
        "UPDATE billing_stripe_object SET checked_at = :ahead",
        ended=ended,
        ahead=ahead,
    )
    assert shop.billing.reconcile().subscriptions == 1
    assert shop.billing.reconcile().subscriptions == 0


@pytest.mark.parametrize("by", [-HOUR, -1, HOUR])
def test_an_import_is_gone_on_with_by_a_host_with_another_clock(quiet_shop: Shop, by: int) -> None:
    """It reads the pages that were left, asks for no object of those before, and finds nothing missing."""
    shop = quiet_shop
    for number in range(250):
        shop.stripe.add_price(f"price_n{number:03}", number + 1, product=shop.stripe.add_product(f"Product {number}"))
    with cut_at(shop, 2), pytest.raises(Cut):
        shop.billing.sync.catalog()
    other = shop.open()
    skew(other, by)
    before = len(shop.stripe.requests)
    report = other.sync.catalog()
    asked = [each.path for each in shop.stripe.requests[before:]]
    assert (report.resumed, set(asked)) == (True, {"/v1/products", "/v1/prices"})
    assert not any(each.updated or each.gone or each.failed for each in report.kinds.values())
    assert {kind: each.seen for kind, each in report.kinds.items()} == {
        kind: len(shop.objects(kind)) for kind in ("product", "price")
    }
