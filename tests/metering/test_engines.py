"""The whole way of reported usage on every database, blocking and on asyncio."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import create_engine

from kernia_billing import AsyncBilling
from kernia_billing.testing import AsyncStripeSimulator, Fault
from tests.metering.conftest import PLANS, Shop, with_tables
from tests.metering.test_sending import EVENTS, later
from tests.servers import async_url


def test_the_whole_way(open_shop: Callable[..., Shop], engine_name: str) -> None:
    """Used, rolled back with the host, sent, lost, refused, given back and sent again."""
    shop = open_shop(engine_name)
    shop.sold()
    shop.billing.track("ada", "messages", 12)
    engine = create_engine(shop.billing.config.database)
    with engine.connect() as host:
        shop.billing.track("ada", "messages", 50, transaction=host)
        host.rollback()
        shop.billing.track("ada", "messages", 3, transaction=host)
        host.commit()
    engine.dispose()
    shop.stripe.faults.append(Fault("timeout_after", method="POST", path=EVENTS, times=3))
    shop.billing.jobs.run()
    later(shop, 1)
    assert 5 == shop.counted()

    shop.billing.give_back("ada", "messages", 4)
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=EVENTS))
    assert 2 == shop.counted()
    (refused,) = shop.billing.meters.list(state="rejected")
    assert -1 == refused.value
    shop.billing.meters.retry(refused.identifier)
    assert 1 == shop.counted()
    assert {"sent": 4, "canceled": 1} == shop.states()


def test_a_host_that_looked_before(open_shop: Callable[..., Shop], engine_name: str) -> None:
    """What a host's older snapshot hides is taken back all the same, once, whatever became of it meanwhile."""
    shop = open_shop(engine_name)
    shop.sold()
    shop.billing.track("ada", "messages", 14)
    engine = create_engine(shop.billing.config.database)
    for meanwhile in ("use", "send", "give back"):
        with engine.connect() as host:
            host.exec_driver_sql("SELECT COUNT(*) FROM billing_meter_event").all()
            if engine_name == "sqlite":
                host.rollback()
            if meanwhile == "use":
                shop.billing.track("ada", "messages", 6)
            elif meanwhile == "send":
                shop.billing.jobs.run()
            else:
                shop.billing.give_back("ada", "messages", 1)
            shop.billing.give_back("ada", "messages", 2, transaction=host)
            host.commit()
    engine.dispose()

    assert 3 == shop.billing.balances("ada")["messages"].overage_used
    assert 3 == shop.counted()


@pytest.mark.anyio
async def test_on_asyncio(engine_url: str) -> None:
    """Several are sent at once; while Stripe does not answer, those that were not begun lose nothing."""
    with_tables(engine_url)
    stripe = AsyncStripeSimulator()
    async with AsyncBilling(database=async_url(engine_url), stripe_client=stripe, plans=PLANS) as billing:
        await stripe.subscribe("ada", "pro")
        for _ in range(30):
            await billing.track("ada", "messages", 1)
        stripe.faults.append(Fault("status", 401, method="POST", path=EVENTS))
        await billing.jobs.run()
        assert 1 <= (await billing.meters.health()).waiting <= 20
        stripe.clock.move_to(stripe.clock.seconds() + 60)
        await billing.jobs.run()
        await stripe.advance(hours=1)

        assert 20 == await stripe.usage("ada", "messages")
        assert 20 == (await billing.meters.health()).sent
