"""Webhooks: signed as Stripe signs, delivered after the person's action, kept until they are taken."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from kernia_billing.testing import AsyncStripeSimulator, CardDeclined, SimulatorError, StripeSimulator
from tests.simulator.library import AsyncLibrary, Library
from tests.simulator.shop import DAY, Shop
from tests.simulator.test_checkout import AFTER_PAYING


@pytest.fixture
def library(shop: Shop) -> Library:
    """A library attached to the shop, which sells the plan `pro`."""
    shop.stripe.ensure_price("price_pro")
    shop.stripe.ensure_price("price_pro_y", interval="year")
    library = Library(shop)
    shop.stripe.attach(library)
    return library


def test_signatures_verify_with_the_official_package(shop: Shop) -> None:
    """What `sign` makes is a header that the official package accepts, with a v0 beside the v1."""
    body = json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {}}}).encode()

    header = shop.stripe.sign(body)

    official: Any = stripe.WebhookSignature
    verify = official.verify_header
    assert verify(body.decode(), header, shop.stripe.webhook_secret, tolerance=None)
    assert ["t", "v1", "v0"] == [part.partition("=")[0] for part in header.split(",")]
    for forged, secret in ((body + b" ", shop.stripe.webhook_secret), (body, "whsec_other")):
        with pytest.raises(stripe.SignatureVerificationError):
            verify(forged.decode(), header, secret, tolerance=None)


def test_signatures_carry_their_time(shop: Shop) -> None:
    """Now by the simulator's clock, or another aware time; another secret makes another signature."""
    earlier = shop.stripe.sign(b"{}", shop.stripe.now - timedelta(minutes=10))

    assert shop.stripe.sign(b"{}").startswith(f"t={shop.now},")
    assert earlier.startswith(f"t={shop.now - 600},")
    assert shop.stripe.sign(b"{}") != shop.stripe.sign(b"{}", secret="whsec_old")


def test_paying_delivers_and_answers_the_subscription(shop: Shop, library: Library) -> None:
    """`pay` ends with every event delivered in order, and gives what the library then has."""
    opened = library.upgrade("org_1", "pro", annual=False, seats=None)
    assert not library.received

    answer = shop.stripe.pay(opened)

    assert ["customer.created", *AFTER_PAYING] == library.types()
    assert library.subscription("org_1") == answer
    assert all(delivery.delivered and delivery.attempts == 1 for delivery in shop.stripe.deliveries)


def test_subscribe_is_upgrade_and_pay(shop: Shop, library: Library) -> None:
    """One call for both, yearly and with seats if wanted."""
    answer = shop.stripe.subscribe("org_1", "pro", annual=True, seats=3)

    item = answer["items"]["data"][0]
    assert ("price_pro_y", 3) == (item["price"]["id"], item["quantity"])


def test_events_of_the_librarys_own_calls_wait(shop: Shop, library: Library) -> None:
    """Nothing is delivered from inside an API call; the next action or `flush` brings it."""
    shop.customer()
    assert not library.received

    shop.stripe.flush()

    assert ["customer.created"] == library.types()


def test_events_before_the_library_was_there_are_not_its_own(shop: Shop) -> None:
    """Stripe sends what happens after an endpoint was made."""
    shop.customer()
    library = Library(shop)
    shop.stripe.attach(library)
    shop.customer()
    assert [0, 1] == [event["pending_webhooks"] for event in shop.stripe.events]
    shop.stripe.flush()

    assert 1 == len(library.received)
    assert [0, 0] == [event["pending_webhooks"] for event in shop.stripe.events]


def test_calls_from_a_webhook_are_delivered_too(shop: Shop, library: Library) -> None:
    """A library may call the API while it takes an event; what that causes comes after."""
    library.on_event = lambda event: (
        event["type"] == "customer.created"
        and shop.post(f"/v1/customers/{event['data']['object']['id']}", {"metadata[seen]": "1"})
    )
    shop.customer()

    shop.stripe.flush()

    assert ["customer.created", "customer.updated"] == library.types()


def test_a_refused_event_stays_pending(shop: Shop, library: Library) -> None:
    """The error is kept, `pay` does not raise it, the other events come, and the next action tries again."""
    library.fails = lambda event: event["type"] == "invoice.paid"
    shop.stripe.pay(library.upgrade("org_1", "pro", annual=False, seats=None))

    waiting = [delivery for delivery in shop.stripe.deliveries if not delivery.delivered]
    assert ["not now: invoice.paid"] == [str(delivery.error) for delivery in waiting]
    assert "invoice.payment_succeeded" in library.types()
    library.fails = lambda _event: False
    shop.stripe.advance(hours=1)

    assert "invoice.paid" == library.types()[-1]
    assert all(delivery.delivered for delivery in shop.stripe.deliveries)


def test_stripe_gives_up_after_three_days(shop: Shop, library: Library) -> None:
    """An event that nobody took for three days is not sent again; it can still be listed."""
    library.fails = lambda _event: True
    shop.customer()
    shop.stripe.advance(days=3)
    tried = shop.stripe.deliveries[0].attempts
    library.fails = lambda _event: False
    shop.stripe.advance(days=1)

    assert not library.received
    assert tried > 5
    assert 1 == len(shop.get("/v1/events")["data"])


def test_delivery_by_hand() -> None:
    """With `deliver="manual"` the test chooses order, repeats and drops."""
    shop = Shop(StripeSimulator(deliver="manual"))
    shop.stripe.ensure_price("price_pro")
    library = Library(shop)
    shop.stripe.attach(library)
    opened = library.upgrade("org_1", "pro", annual=False, seats=None)

    assert shop.stripe.pay(opened) is None
    assert not library.received
    first, *_, last = [str(event["id"]) for event in shop.stripe.events]
    shop.stripe.deliver(last, first, last)
    assert [last, first, last] == [event["id"] for event in library.received]
    shop.stripe.deliver()

    assert len(shop.stripe.events) + 1 == len(library.received)
    with pytest.raises(SimulatorError, match="no event"):
        shop.stripe.deliver("evt_none")


def test_a_declined_payment_is_told_before_it_is_raised(shop: Shop, library: Library) -> None:
    """The person sees the refusal after Stripe told of it."""
    opened = library.upgrade("org_1", "pro", annual=False, seats=None)

    with pytest.raises(CardDeclined):
        shop.stripe.decline(opened)

    assert "charge.failed" in library.types()


def test_advance_delivers_in_order_of_time(shop: Shop, library: Library) -> None:
    """Each event is delivered at the time of what it tells, the library's jobs run after each, and at the end."""
    times: list[tuple[int, int]] = []
    library.on_event = lambda event: times.append((event["created"], shop.now))
    shop.stripe.subscribe("org_1", "pro")
    library.jobs_at.clear()
    start = shop.now

    shop.stripe.advance(months=3)

    assert len({at for at, _ in times}) > 5
    assert all(created == now for created, now in times)
    assert sorted(library.jobs_at) == library.jobs_at
    assert shop.now == library.jobs_at[-1] > start + 80 * DAY


def test_use_card_and_collect_go_by_reference(shop: Shop, library: Library) -> None:
    """A reference is resolved by the library; one without a customer is a mistake."""
    shop.stripe.subscribe("org_1", "pro")
    shop.stripe.use_card("org_1", "4000000000000002")
    shop.stripe.advance(months=1, hours=2)
    assert library.subscription("org_1")["status"] == "past_due"  # type: ignore[index]  # None would fail the test
    shop.stripe.use_card("org_1", "4242424242424242")
    shop.stripe.collect("org_1")

    assert library.subscription("org_1")["status"] == "active"  # type: ignore[index]  # None would fail the test
    with pytest.raises(SimulatorError, match="no Stripe customer"):
        shop.stripe.collect("org_2")


def test_without_a_library(shop: Shop) -> None:
    """A simulator alone can be driven by ids, and says so when it needs a library."""
    assert shop.stripe.pay(shop.checkout(client_reference_id="org_1")["id"]) is None
    for call in (
        lambda: shop.stripe.subscribe("org_1", "pro"),
        lambda: shop.stripe.use_card("org_1", "4242424242424242"),
        lambda: shop.stripe.deliver(str(shop.stripe.events[0]["id"])),
    ):
        with pytest.raises(SimulatorError, match="no library is attached"):
            call()


def test_the_async_simulator_is_awaited() -> None:
    """The same story under asyncio, over the async transport."""

    async def story() -> None:
        simulator = AsyncStripeSimulator()
        twin = Shop()
        twin.stripe = StripeSimulator()
        twin.stripe._state = simulator.state
        twin.http = httpx.Client(
            transport=simulator.transport, base_url="https://api.stripe.com", headers=_key(simulator)
        )
        simulator.ensure_price("price_pro")
        library = Library(twin)
        simulator.attach(AsyncLibrary(library))

        answer = await simulator.subscribe("org_1", "pro")
        assert "active" == answer["status"]
        await simulator.use_card("org_1", "4000000000000002")
        await simulator.advance(months=1, hours=2)
        await simulator.collect("org_1")
        await simulator.flush()
        with pytest.raises(CardDeclined):
            await simulator.decline(library.upgrade("org_2", "pro", annual=False, seats=None))
        await simulator.expire(library.upgrade("org_2", "pro", annual=False, seats=None))
        await simulator.deliver(str(simulator.events[0]["id"]))
        await simulator.pay(library.upgrade("org_2", "pro", annual=False, seats=None))

        async with httpx.AsyncClient(
            transport=simulator.async_transport, base_url="https://api.stripe.com", headers=_key(simulator)
        ) as http:
            pages = await asyncio.gather(*(http.get("/v1/subscriptions") for _ in range(5)))
        assert all(["active", "past_due"] == [row["status"] for row in page.json()["data"]] for page in pages)
        assert "past_due" == library.subscription("org_1")["status"]  # type: ignore[index]  # None would fail the test

    asyncio.run(story())


def _key(simulator: AsyncStripeSimulator) -> dict[str, str]:
    return {"Authorization": f"Bearer {simulator.api_key}"}


def test_blocking_and_async_are_not_mixed(shop: Shop) -> None:
    """A blocking simulator with an async library, or the reverse, names the fix."""
    shop.stripe.attach(AsyncLibrary(Library(shop)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - of the wrong kind on purpose
    with pytest.raises(SimulatorError, match="AsyncStripeSimulator"):
        shop.stripe.collect("org_1")

    simulator = AsyncStripeSimulator()
    simulator.attach(Library(shop))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - of the wrong kind on purpose
    with pytest.raises(SimulatorError, match="StripeSimulator"):
        asyncio.run(simulator.collect("org_1"))
