"""The same on asyncio: `AsyncBilling` with the asynchronous simulator, and many tasks at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import create_engine

from kernia_billing import AsyncBilling, Unavailable
from kernia_billing.domain.answers import Event
from kernia_billing.testing import AsyncStripeSimulator, Fault
from tests.harness.tables import make_tables
from tests.servers import async_url
from tests.webhooks.shop import ORIGIN, PLANS, hurry, rows_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def stripe() -> AsyncStripeSimulator:
    """An empty account that delivers at once."""
    return AsyncStripeSimulator()


@pytest.fixture
async def billing(engine_url: str, stripe: AsyncStripeSimulator) -> AsyncIterator[AsyncBilling]:
    """An application on each database."""
    if not engine_url.startswith("sqlite"):
        engine = create_engine(engine_url)
        make_tables(engine)
        engine.dispose()
    options: dict[str, Any] = {"plans": PLANS, "default_plan": "free", "base_url": ORIGIN}
    async with AsyncBilling(database=async_url(engine_url), stripe_client=stripe, **options) as billing:
        hurry(billing)
        yield billing


async def _open(billing: AsyncBilling, reference: str, plan: str = "pro") -> Any:
    return await billing.subscriptions.upgrade(reference, plan, success_url="/ok", cancel_url="/no")


async def test_first_plan_hooks_and_portal(billing: AsyncBilling, stripe: AsyncStripeSimulator) -> None:
    """Upgrade, pay, be subscribed, be heard of by plain and asynchronous hooks, and open the portal."""
    heard: list[str] = []

    @billing.on("subscription.completed")
    async def waits(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(f"async {event.type}")

    @billing.on("subscription.completed")
    def plain(event: Event) -> None:
        heard.append(f"plain {event.type}")

    opened = await _open(billing, "ann")
    bought = await stripe.pay(opened)
    assert (bought.plan, bought.status) == ("pro", "active")
    assert await billing.check("ann", "projects", 5)
    assert heard == ["async subscription.completed", "plain subscription.completed"]
    assert (await billing.sync_checkout(opened.session_id)).subscription == bought
    assert (await billing.portal("ann", return_url="/account")).url.startswith("https://")


async def test_a_hook_that_raises_is_called_again(billing: AsyncBilling, stripe: AsyncStripeSimulator) -> None:
    """An asynchronous hook that raises changes nothing, and is called again by the jobs."""
    heard: list[str] = []

    @billing.on("subscription.activated")
    async def fragile(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(event.id)
        if len(heard) == 1:
            raise RuntimeError

    await stripe.subscribe("ann", "pro")
    stripe.clock.move_to(stripe.clock.seconds() + 3_600)
    await billing.jobs.run()
    assert len(heard) == 2
    assert len(set(heard)) == 1


async def test_many_tasks_deliver_the_same_events(
    billing: AsyncBilling, stripe: AsyncStripeSimulator, engine_url: str
) -> None:
    """Eight tasks deliver every event of a purchase at once: each is worked on once."""
    stripe.state.delivers = False
    opened = await _open(billing, "ann")
    await stripe.pay(opened)
    bodies = [json.dumps(event).encode() for event in stripe.events]
    answers = await asyncio.gather(
        *(billing.webhooks.receive(body, stripe.sign(body)) for _ in range(8) for body in bodies),
        *(billing.sync_checkout(opened.session_id) for _ in range(4)),
    )
    assert len(answers) == 8 * len(bodies) + 4
    rows = rows_of(engine_url)
    assert {row["attempts"] for row in rows["webhook_event"]} == {1}
    assert {row["status"] for row in rows["webhook_event"]} == {"processed", "ignored"}
    topics = [row["topic"] for row in rows["outbox"] if row["topic"].startswith("subscription.")]
    assert sorted(topics) == ["subscription.activated", "subscription.completed", "subscription.created"]
    assert len(rows["subscription"]) == 1


async def test_many_tasks_buy_for_a_new_user(billing: AsyncBilling, stripe: AsyncStripeSimulator) -> None:
    """Eight first upgrades at once give one customer and one page."""
    pages = await asyncio.gather(*(_open(billing, "ann") for _ in range(8)), return_exceptions=True)
    opened = [each for each in pages if not isinstance(each, BaseException)]
    assert len({page.url for page in opened}) == 1
    assert all(isinstance(each, Unavailable) for each in pages if isinstance(each, BaseException))
    tables = stripe.state.world.tables
    assert (len(tables["customer"].rows), len(tables["checkout.session"].rows)) == (1, 1)


async def test_an_outage_fails_the_delivery_and_the_jobs_heal_it(
    billing: AsyncBilling, stripe: AsyncStripeSimulator
) -> None:
    """While Stripe is down nothing is acknowledged, afterwards nothing is missing."""
    stripe.faults.append(Fault("status", 500, path="/v1/subscriptions/*", times=None))
    assert await stripe.subscribe("ann", "pro") is None
    assert [each for each in stripe.deliveries if each.error is not None]
    stripe.faults.clear()
    stripe.clock.move_to(stripe.clock.seconds() + 10)
    await billing.jobs.run()
    assert await billing.check("ann", "projects", 5)
