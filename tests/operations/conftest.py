"""A shop with plans over the simulator, on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kernia_billing import Billing, Boolean, Metered, Plan, Quantity
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine
from tests.servers import async_url

PLANS = [
    Plan("free", features={"projects": Quantity(1), "messages": Metered(10, anchor="calendar")}),
    Plan(
        "pro",
        price_id="price_pro",
        annual_price_id="price_pro_year",
        features={
            "projects": Quantity(3),
            "messages": Metered(100),
            "sso": Boolean(),
            "api": Metered(5, overage="free", overage_limit=10),
        },
    ),
    Plan(
        "team",
        price_id="price_team",
        seats=True,
        seat_price_id="price_seat",
        max_seats=50,
        features={
            "projects": Quantity(5, per_seat=True),
            "messages": Metered(1_000),
            "files": Quantity(unlimited=True),
        },
    ),
]


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe."""
    return StripeSimulator()


@pytest.fixture
def open_billing(stripe: StripeSimulator, sqlite_url: str) -> Iterator[Callable[..., Billing]]:
    """Opens facades over the simulator and one database; options override the shop's."""
    opened: list[Billing] = []

    def make(**options: Any) -> Billing:
        settled: dict[str, Any] = {"stripe_client": stripe, "database": sqlite_url, "plans": PLANS, **options}
        billing = Billing(**settled)
        opened.append(billing)
        return billing

    yield make
    for each in opened:
        each.close()
    assert () == stripe.violations


@pytest.fixture
def billing(open_billing: Callable[..., Billing]) -> Billing:
    """The shop, with a default plan."""
    return open_billing(default_plan="free")


@pytest.fixture
def async_engine_url(engine_url: str, engine_name: str) -> str:
    """A database that has the tables, for an asynchronous driver; the test runs once per engine."""
    new_engine(engine_url).dispose()
    return engine_url if engine_name == "sqlite" else async_url(engine_url)
