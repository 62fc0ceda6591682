"""What a change of plan would do is what it then does, and looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from kernia_billing import Billing, Boolean, Credits, Metered, NotFound, Plan, Quantity
from kernia_billing.storage.tables import metadata
from kernia_billing.testing import StripeSimulator
from tests.operations.dashboard import change_price

Open = Callable[..., Billing]

POLICIES = ("reset", "carry_usage", "carry_remaining", "prorate")


def _plan(name: str, amount: int, **more: Any) -> Plan:
    features: dict[str, Any] = {
        each: Metered(amount, on_plan_change=each, overage="free", overage_limit=5)  # type: ignore[arg-type]  # a str of the choices
        for each in POLICIES
    }
    features["kept"] = Metered(amount, rollover=50, debt="carry", on_plan_change="carry_usage")
    return Plan(name, price_id=f"price_{name}", features={**features, "projects": Quantity(amount // 10), **more})


PLANS = [
    _plan("small", 30, sso=Boolean(), credits=Credits(9)),
    _plan("large", 100, api=Metered(7)),
    Plan("bare", price_id="price_bare", features={"api": Metered(unlimited=True)}),
]


def _rows(url: str) -> Any:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {each.name: connection.execute(each.select()).all() for each in metadata.sorted_tables}
    engine.dispose()
    return found


@pytest.mark.parametrize(
    ("start", "to"), [("small", "large"), ("large", "small"), ("large", "bare"), ("bare", "small")]
)
@pytest.mark.parametrize("used", [0, 25, 104])
def test_a_preview_is_the_change(
    open_billing: Open, stripe: StripeSimulator, sqlite_url: str, start: str, to: str, used: int
) -> None:
    """Every balance afterwards is the one that was shown, whatever was used, held and given."""
    billing = open_billing(plans=PLANS)
    stripe.subscribe("org", start)
    billing.grant("org", "api", 3)
    stripe.advance(days=40)
    for feature in (*POLICIES, "kept") if used else ():
        billing.track("org", feature, used)
    billing.track("org", "projects", 3)
    if start != "bare":
        billing.reserve("org", "kept", 2, ttl=3_600) if used < 30 else None
    rows = _rows(sqlite_url)

    shown = billing.plans.preview("org", to)
    assert rows == _rows(sqlite_url)
    assert shown.before == billing.balances("org")
    change_price(billing, stripe, "org", f"price_{to}")

    assert shown.after == billing.balances("org")
    assert (to, [*shown.after]) == (shown.plan, [*billing.balances("org")])


def test_what_comes_and_goes(open_billing: Open, stripe: StripeSimulator) -> None:
    """It names the features that the plan brings, and those that go with the old one."""
    billing = open_billing(plans=PLANS)
    stripe.subscribe("org", "small")

    shown = billing.plans.preview("org", "large")
    assert (["api"], ["credits", "sso"]) == (shown.gained, shown.lost)


def test_nothing_to_change(open_billing: Open, stripe: StripeSimulator) -> None:
    """Who has no subscription, or asks for no plan of ours, is told so."""
    billing = open_billing(plans=PLANS)
    with pytest.raises(NotFound, match="Subscription not found"):
        billing.plans.preview("org", "large")
    stripe.subscribe("org", "small")
    with pytest.raises(NotFound) as error:
        billing.plans.preview("org", "gold")
    assert "PLAN_NOT_FOUND" == error.value.code
