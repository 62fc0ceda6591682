"""The main job, end to end, through both facades on every engine: sell a plan, mirror it, gate, count."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from kernia_billing import AsyncBilling, Billing, InsufficientBalance, Metered, Plan, Quantity
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from tests.harness.tables import make_tables
from tests.servers import async_url

PLANS = [
    Plan("free", features={"projects": Quantity(1)}),
    Plan("pro", price_id="price_pro", trial_days=14, features={"projects": Quantity(3), "messages": Metered(100)}),
]


@pytest.fixture
def migrated_url(engine_url: str) -> str:
    """The URL of a database that has the billing tables."""
    engine = sa.create_engine(engine_url)
    make_tables(engine)
    engine.dispose()
    return engine_url


def test_blocking(migrated_url: str) -> None:
    """Import, sell, mirror, gate and count, by blocking calls."""
    stripe = StripeSimulator()
    with Billing(stripe_client=stripe, database=migrated_url, plans=PLANS, default_plan="free") as billing:
        assert {"products": 1, "prices": 1} == {
            name: number for name, number in billing.catalog.sync().items() if name in ("products", "prices")
        }
        checkout = billing.subscriptions.upgrade("user_1", "pro", success_url="/ok", cancel_url="/no")
        subscription = stripe.pay(checkout)
        assert subscription is not None
        assert "trialing" == subscription.status

        for number in range(3):
            assert billing.check("user_1", "projects")
            billing.consume("user_1", "projects", idempotency_key=f"project:{number}")
        assert not billing.check("user_1", "projects")
        with pytest.raises(InsufficientBalance):
            billing.consume("user_1", "projects", idempotency_key="project:3")
        assert billing.consume("user_1", "projects", idempotency_key="project:1").replayed
        assert 3 == billing.balances("user_1")["projects"].used

        stripe.advance(months=2)
        renewed = billing.subscriptions.get("user_1")
        assert renewed is not None
        assert "active" == renewed.status
        customers = list(billing.customers.iter(plan="pro"))
        assert ["user_1"] == [customer.reference.id for customer in customers]
        assert billing.portal("user_1", return_url="/billing").url.startswith("https://billing.stripe.com/")
    assert () == stripe.violations


def test_asynchronous(migrated_url: str, engine_name: str) -> None:
    """The same by awaited calls, many of them at once."""
    url = migrated_url if engine_name == "sqlite" else async_url(migrated_url)

    async def story() -> None:
        stripe = AsyncStripeSimulator()
        async with AsyncBilling(stripe_client=stripe, database=url, plans=PLANS, default_plan="free") as billing:
            assert await billing.check("user_1", "projects")
            checkouts = await asyncio.gather(
                *(
                    billing.subscriptions.upgrade("user_1", "pro", success_url="/ok", cancel_url="/no")
                    for _ in range(4)
                ),
                return_exceptions=True,
            )
            urls = {each.url for each in checkouts if not isinstance(each, BaseException)}
            assert 1 == len(urls), checkouts
            checkout = await billing.subscriptions.upgrade("user_1", "pro", success_url="/ok", cancel_url="/no")
            subscription = await stripe.pay(checkout)
            assert subscription is not None
            assert "trialing" == subscription.status

            answers = await asyncio.gather(
                *(billing.consume("user_1", "messages", 10) for _ in range(16)), return_exceptions=True
            )
            granted = [each for each in answers if not isinstance(each, BaseException)]
            refused = [each for each in answers if isinstance(each, InsufficientBalance)]
            assert (10, 6) == (len(granted), len(refused)), answers
            assert 100 == (await billing.balances("user_1"))["messages"].used
            assert ["user_1"] == [each.reference.id async for each in billing.customers.iter()]
        assert () == stripe.violations

    asyncio.run(story())
