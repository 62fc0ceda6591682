"""A shop whose plans are billed by usage, over the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import pytest
from attrs import define, evolve, field
from sqlalchemy import create_engine

from kernia_billing import Billing, Metered, Plan
from kernia_billing.domain.answers import Event
from kernia_billing.operations.event_types import HANDLED_THIN
from kernia_billing.runtime.pace import BlockingPace
from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.webhooks.signing import signature
from tests.harness.tables import make_tables

PLANS = [
    Plan("free", features={"messages": Metered(5)}),
    Plan(
        "pro",
        price_id="price_messages",
        metered=True,
        features={
            "messages": Metered(10, overage="billed", meter="messages"),
            "calls": Metered(unlimited=True, meter="calls"),
            "api": Metered(4, overage="free", overage_limit=6, meter="api"),
            "files": Metered(3),
        },
    ),
    Plan(
        "payg",
        price_id="price_tokens",
        metered=True,
        features={"messages": Metered(0, overage="billed", meter="tokens")},
    ),
]


@define
class Shop:
    """The library, the simulator behind it, and what hooks heard of meters."""

    stripe: StripeSimulator
    billing: Billing
    told: list[Event] = field(factory=list[Event])

    def sold(self, plan: str = "pro", reference: str = "ada") -> str:
        """The reference, subscribed to a plan."""
        self.stripe.subscribe(reference, plan)
        return reference

    def counted(self, reference: str = "ada", meter: str = "messages") -> int:
        """What Stripe has counted, after everything was sent and had its time."""
        self.billing.jobs.run()
        self.stripe.advance(hours=1)
        return self.stripe.usage(reference, meter)

    def get(self, path: str) -> dict[str, Any]:
        """What Stripe answers."""
        return self._send("GET", path)

    def post(self, path: str, form: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
        """What Stripe answers to a write."""
        return self._send("POST", path, data=form, **more)

    def _send(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.stripe.api_key}"}
        with httpx.Client(transport=self.stripe.transport, base_url="https://api.stripe.com") as client:
            answer = client.request(method, path, headers=headers, **content)
        assert answer.is_success, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def die(self, survives: int, *, arrives: bool) -> None:
        """Run a worker that is killed during its n-th request, if it comes so far."""
        wiring = self.billing._wiring
        core = wiring.core
        deadly: Any = Dying(core.stripe, survives, arrives=arrives)
        wiring.core = evolve(core, stripe=deadly)
        try:
            with suppress(KeyboardInterrupt):
                self.billing.jobs.run()
        finally:
            wiring.core = core

    def states(self) -> dict[str, int]:
        """How many events are in each state."""
        health = self.billing.meters.health()
        names = ("waiting", "sending", "sent", "rejected", "quarantined", "canceled")
        return {name: number for name in names if (number := getattr(health, name))}


@define
class Destination:
    """An event destination's way to the library: thin notifications are signed by the secret that it knows."""

    stripe: StripeSimulator
    billing: Billing

    def receive(self, body: bytes, _signed: str) -> object:
        """Deliver one notification."""
        signed = signature(body, self.stripe.webhook_secret, self.stripe.clock.seconds())
        return self.billing.webhooks.receive(body, signed)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between attempts take no time."""

    async def no_time(_pace: BlockingPace, _seconds: float) -> None:
        return

    monkeypatch.setattr(BlockingPace, "sleep", no_time)


class Dying:
    """A Stripe during whose n-th request the process dies, before or after the request did its work."""

    def __init__(self, stripe: Any, survives: int, *, arrives: bool) -> None:
        self._stripe = stripe
        self._survives = survives
        self._arrives = arrives

    def in_background(self) -> Dying:
        """The same."""
        return self

    async def request(self, *args: Any, **named: Any) -> Any:
        """One request, or the last."""
        self._survives -= 1
        if self._survives >= 0:
            return await self._stripe.request(*args, **named)
        if self._arrives:
            await self._stripe.request(*args, **named)
        raise KeyboardInterrupt


def with_tables(url: str) -> str:
    """The URL of a database that has the billing tables."""
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()
    return url


@pytest.fixture
def open_shop(make_database: Callable[[str], str]) -> Iterator[Callable[..., Shop]]:
    """Opens shops over one database; options override theirs."""
    opened: list[Billing] = []
    stripe = StripeSimulator()

    def make(engine: str = "sqlite", **options: Any) -> Shop:
        database = with_tables(make_database(engine))
        settled: dict[str, Any] = {"stripe_client": stripe, "plans": PLANS, "default_plan": "free", **options}
        billing = Billing(database=database, **settled)
        opened.append(billing)
        shop = Shop(stripe, billing)
        stripe.delivery.serve(_destination(shop), Destination(stripe, billing))
        billing.on("meter.rejected", "meter.quarantined")(shop.told.append)
        return shop

    yield make
    for each in opened:
        each.close()
    assert () == stripe.violations


def _destination(shop: Shop) -> str:
    """An event destination for what Stripe could not count; its id."""
    wanted = {
        "name": "Usage errors",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": list(HANDLED_THIN),
        "webhook_endpoint": {"url": "https://shop.example/thin"},
    }
    return str(shop.post("/v2/core/event_destinations", json=wanted)["id"])


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop on SQLite."""
    return open_shop()
