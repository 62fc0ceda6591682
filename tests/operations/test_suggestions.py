"""What a refused check offers: what would allow it, the cheapest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from kernia_billing import Billing, Boolean, Credits, Feature, Metered, Plan, Quantity, TopUp, UsageLimit
from kernia_billing.testing import StripeSimulator

PLANS = [
    Plan("free", features={"projects": Quantity(1), "messages": Metered(10)}),
    Plan(
        "Big", price_id="price_big", features={"projects": Quantity(50), "messages": Metered(1_000), "sso": Boolean()}
    ),
    Plan("small", price_id="price_small", features={"projects": Quantity(3), "messages": Metered(100)}),
    Plan(
        "dear",
        price_id="price_dear",
        annual_price_id="price_yearly",
        features={"projects": Quantity(9), "messages": Metered(100)},
    ),
    Plan(
        "seats",
        price_id="price_seats",
        seats=True,
        seat_price_id="price_seat",
        min_seats=2,
        max_seats=5,
        features={"projects": Quantity(2, per_seat=True), "sso": Boolean()},
    ),
    Plan("credits", price_id="price_credits", features={"credits": Credits(10)}),
    Plan("extra", price_id="price_extra", group="extras", features={"messages": Metered(40)}),
]
TOP_UPS = [
    TopUp("pack", price_id="price_pack", grants={"messages": 500}),
    TopUp("sachet", price_id="price_sachet", grants={"messages": 50}, max_quantity=3),
    TopUp("coins", price_id="price_coins", grants={"credits": 7}, min_quantity=2),
]
PRICES = {
    "price_big": 5_000,
    "price_small": 900,
    "price_dear": 2_000,
    "price_yearly": 6_000,
    "price_seats": 400,
    "price_seat": 300,
    "price_credits": 700,
    "price_extra": 100,
}
ONCE = {"price_pack": 2_000, "price_sachet": 300, "price_coins": 100}


@pytest.fixture
def stripe() -> StripeSimulator:
    """A Stripe whose prices are not those that are made up."""
    stripe = StripeSimulator()
    for price, amount in PRICES.items():
        stripe.add_price(price, amount, interval="year" if price == "price_yearly" else "month")
    for price, amount in ONCE.items():
        stripe.add_price(price, amount, interval=None)
    return stripe


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """A shop that has imported its prices."""
    features = [Feature("calls", credit_cost={"credits": 3})]
    shop = open_billing(plans=PLANS, top_ups=TOP_UPS, features=features, default_plan="free")
    shop.catalog.sync()
    return shop


def _offers(shop: Billing, feature: str, required: int = 1, **options: Any) -> list[str]:
    decision = shop.check("u", feature, required, preview=True, **options)
    assert not decision or not decision.offers
    assert not shop.check("u", feature, required).offers
    return list(decision.offers)


def test_the_cheapest_comes_first(shop: Billing) -> None:
    """Plans by the price of a month, and then top-ups by what so many of them cost."""
    assert _offers(shop, "projects") == []
    assert _offers(shop, "projects", 2) == ["small", "seats", "dear", "Big"]
    assert _offers(shop, "projects", 4) == ["seats", "dear", "Big"]
    assert _offers(shop, "projects", 9) == ["dear", "Big"]
    assert _offers(shop, "sso") == ["seats", "Big"]
    assert _offers(shop, "projects", 51) == []


def test_top_ups_come_after_plans(shop: Billing) -> None:
    """So many of a top-up as are needed are priced, and none beyond what is sold of it at once."""
    assert _offers(shop, "messages", 41) == ["small", "dear", "Big", "sachet", "pack"]
    assert _offers(shop, "messages", 160) == ["Big", "sachet", "pack"]
    assert _offers(shop, "messages", 161) == ["Big", "pack"]


def test_credits_pay(shop: Billing) -> None:
    """A plan or a top-up that gives credits allows what they pay for; three credits a call."""
    assert _offers(shop, "calls", 3) == ["credits", "coins"]
    assert _offers(shop, "calls", 4) == ["coins"]


def test_what_is_used_moves_along(shop: Billing, stripe: StripeSimulator) -> None:
    """Usage of the plan that is replaced counts; a plan of another group comes on top."""
    stripe.subscribe("u", "small")
    shop.track("u", "messages", 95)

    assert _offers(shop, "messages", 5) == []
    assert _offers(shop, "messages", 6) == ["extra", "Big", "sachet", "pack"]
    assert _offers(shop, "messages", 46) == ["Big", "sachet", "pack"]
    assert _offers(shop, "messages", 905) == ["Big", "pack"]
    assert _offers(shop, "messages", 906) == ["pack"]


def test_more_seats(shop: Billing, stripe: StripeSimulator) -> None:
    """Who asks for one more member is offered the plan with more seats, until there are no more."""
    stripe.subscribe("u", "seats", seats=2)
    shop.track("u", "seats", 2)

    assert _offers(shop, "seats", 1) == ["seats"]
    assert _offers(shop, "seats", 3) == ["seats"]
    assert _offers(shop, "seats", 4) == []


def test_unknown_prices_come_last(open_billing: Callable[..., Billing], sqlite_url: str, shop: Billing) -> None:
    """Without the monthly price the annual one tells; what was never imported comes after the rest, all the same."""
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(
            sa.text("DELETE FROM billing_price WHERE id IN ('price_dear', 'price_seat', 'price_sachet')")
        )
    engine.dispose()

    assert _offers(shop, "projects", 4) == ["dear", "Big", "seats"]
    assert _offers(shop, "messages", 41) == ["dear", "small", "Big", "pack", "sachet"]


def test_limits_of_plans_hold(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """A plan whose usage limit would refuse is not offered, and a window that both plans count into is not refilled."""
    limited = {"messages": Metered(10, limits=(UsageLimit(5, per="day"),))}
    shop = open_billing(
        plans=[
            Plan("free", features=limited),
            Plan(
                "small", price_id="price_small", features={"messages": Metered(100, limits=(UsageLimit(8, per="day"),))}
            ),
            Plan("Big", price_id="price_big", features={"messages": Metered(100, limits=(UsageLimit(20, per="day"),))}),
        ],
        default_plan="free",
    )
    shop.track("u", "messages", 4)

    assert _offers(shop, "messages", 2) == ["small", "Big"]
    assert _offers(shop, "messages", 5) == ["Big"]
    assert _offers(shop, "messages", 17) == []


def test_nothing_is_written(shop: Billing, sqlite_url: str) -> None:
    """Asking what would allow it leaves no row of who asks."""
    _offers(shop, "projects", 2)

    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM billing_customer")).scalar() == 0
    engine.dispose()
