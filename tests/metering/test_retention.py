"""Usage that was reported is forgotten when it can change no more, and gives back what it would have before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernia_billing import Metered, Plan
from kernia_billing._drive import run_blocking
from kernia_billing.operations import retention
from tests.metering.conftest import Shop


def prune(shop: Shop) -> None:
    """Throw away what is old."""
    run_blocking(retention.prune(shop.billing._wiring.core))


def identifiers(shop: Shop) -> set[str]:
    """Those of the events that are left."""
    return {each.identifier for each in shop.billing.meters.list().items}


def test_what_was_sent_is_forgotten_after_its_period(shop: Shop) -> None:
    """Not before both are 36 days past, the event and the end of its period."""
    shop.sold()
    shop.billing.track("ada", "messages", 13)
    (first,) = identifiers(shop)
    assert 3 == shop.counted()
    shop.stripe.advance(days=36)
    shop.billing.track("ada", "messages", 12)
    shop.stripe.advance(days=26)
    prune(shop)
    assert first in identifiers(shop)

    shop.stripe.advance(days=7)
    prune(shop)
    assert first not in identifiers(shop)
    assert 1 == len(identifiers(shop))


def test_a_longer_retention_keeps_it_longer(open_shop: Callable[..., Shop]) -> None:
    """What is older than 36 days is kept as long as everything else."""
    shop = open_shop(event_retention="100d")
    shop.sold()
    shop.billing.track("ada", "messages", 13)
    shop.stripe.advance(days=99)
    prune(shop)
    assert 1 == len(identifiers(shop))
    shop.stripe.advance(days=40)
    prune(shop)
    assert set() == identifiers(shop)


@pytest.mark.parametrize("is_pruned", [False, True])
def test_a_long_period_can_be_corrected_to_its_end(open_shop: Callable[..., Shop], is_pruned: bool) -> None:
    """What was used in it months ago is taken back as if nothing had been thrown away."""
    pages = Metered(10, reset="year", overage="billed", meter="messages")
    shop = open_shop(
        plans=[Plan("free"), Plan("pro", price_id="price_messages", metered=True, features={"pages": pages})]
    )
    shop.sold()
    shop.billing.track("ada", "pages", 13)
    assert 3 == shop.counted()
    shop.stripe.advance(days=200)
    if is_pruned:
        prune(shop)
    assert 1 == len(identifiers(shop))
    shop.billing.give_back("ada", "pages", 2)

    assert [-2, 3] == sorted(each.value for each in shop.billing.meters.list().items)


def test_what_was_not_counted_stays(shop: Shop) -> None:
    """An event that Stripe refused, or that waits for its customer, is there until something becomes of it."""
    shop.sold()
    shop.billing.track("ada", "messages", 13)
    (event,) = identifiers(shop)
    core = shop.billing._wiring.core
    run_blocking(core.store.transaction(lambda tx: tx.meter_events.claim(core.now(), core.now(), 1)))
    assert run_blocking(core.store.transaction(lambda tx: tx.meter_events.reject(event, "no_meter")))
    shop.stripe.advance(days=200)
    prune(shop)
    assert {event} == identifiers(shop)
