"""Other plans, tried on what was recorded: the same judgement as if they had been there, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing import (
    Billing,
    ConfigError,
    Credits,
    Feature,
    FeatureDenied,
    InvalidInput,
    Metered,
    Money,
    Plan,
    Quantity,
    UsageLimit,
)
from kernia_billing.domain.plans import Allowance
from kernia_billing.testing import StripeSimulator

FREE = Plan("free", features={"projects": Quantity(2), "messages": Metered(10, reset="day", anchor="calendar")})
PRO = Plan("pro", price_id="price_pro", features={"projects": Quantity(9), "messages": Metered(100, reset="day")})
GENEROUS = [
    Plan("free", features={"projects": Quantity(unlimited=True), "messages": Metered(unlimited=True)}),
    Plan(
        "pro",
        price_id="price_pro",
        features={"projects": Quantity(unlimited=True), "messages": Metered(unlimited=True)},
    ),
]


def _simulated(shop: Billing, plans: Any, start: datetime, **options: Any) -> Any:
    return shop.plans.simulate(plans, start=start, **options)


def test_who_would_be_denied(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """With the same plans nobody is; with smaller ones those are who used more, by feature, and only in the range."""
    shop = open_billing(plans=[FREE, PRO], default_plan="free")
    stripe.subscribe("payer", "pro")
    shop.track("payer", "messages", 60)
    stripe.advance(hours=30)
    start = stripe.now
    shop.track("payer", "messages", 60)
    shop.track("payer", "messages", 30)
    shop.consume("guest", "messages", 8)
    shop.consume("guest", "projects", 2)

    same = _simulated(shop, [FREE, PRO], start)
    assert (same.looked_at, same.uses, same.denied_uses, same.customers) == (2, 4, 0, ())
    smaller = [
        Plan("free", features={"projects": Quantity(1), "messages": Metered(5, reset="day", anchor="calendar")}),
        Plan("pro", price_id="price_pro", features={"messages": Metered(70, reset="day")}),
    ]
    told = _simulated(shop, smaller, start)
    assert (told.denied_customers, told.denied_uses) == (2, 3)
    assert told.denied == {"messages": 20 + 8, "projects": 2}
    by_name = {each.reference.id: each for each in told.customers}
    assert by_name["payer"].denied == {"messages": 20}
    assert by_name["guest"].denied == {"messages": 8, "projects": 2}
    assert [by_name["payer"].plan, by_name["guest"].plan] == ["pro", "free"]
    early = _simulated(shop, smaller, start - timedelta(hours=31), end=start)
    assert (early.uses, early.denied_uses) == (1, 0)


def test_who_would_pay(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Billed overage is counted in units, another price in what a year costs more; unknown prices are told of."""
    stripe.add_price("price_pro", 1_000, "eur")
    stripe.add_price("price_dearer", 1_500, "eur")
    shop = open_billing(plans=[FREE, PRO], default_plan="free")
    shop.catalog.sync()
    start = stripe.now
    stripe.subscribe("payer", "pro")
    shop.track("payer", "messages", 90)
    other = Metered(50, reset="day", overage="billed", meter="messages")

    told = _simulated(shop, [FREE, Plan("pro", price_id="price_dearer", features={"messages": other})], start)
    assert (told.overage_customers, told.overage, told.denied_uses) == (1, {"messages": 40}, 0)
    assert told.revenue == {"eur": Money(6_000, "eur")}
    (payer,) = told.customers
    assert (payer.yearly_before, payer.yearly_after) == (Money(12_000, "eur"), Money(18_000, "eur"))
    assert told.unknown == ()

    told = _simulated(shop, [FREE, Plan("pro", price_id="price_new", features={"messages": other})], start)
    assert told.revenue == {}
    assert ["price_new" in each for each in told.unknown] == [True]
    told = _simulated(shop, [FREE, Plan("max", price_id="price_max", features={"messages": other})], start)
    assert told.denied == {"messages": 90}
    assert "pro" in told.unknown[0]


def test_things_that_exist_and_what_was_bought(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Projects of before the range still exist in it; what was granted by hand helps; what came back is not used."""
    shop = open_billing(plans=[FREE, PRO], default_plan="free")
    stripe.subscribe("payer", "pro")
    shop.track("payer", "projects", 5)
    shop.grant("payer", "messages", 30)
    stripe.advance(hours=2)
    start = stripe.now
    shop.track("payer", "projects", 1)
    shop.give_back("payer", "projects", 2)
    shop.track("payer", "projects", 1)
    use = shop.track("payer", "messages", 60)
    shop.refund("payer", use.event_id, 20)
    six: dict[str, Allowance] = {"projects": Quantity(6), "messages": Metered(10, reset="day")}

    told = _simulated(shop, [FREE, Plan("pro", price_id="price_pro", features=six)], start)
    assert told.denied == {}
    five: dict[str, Allowance] = {"projects": Quantity(5), "messages": Metered(9, reset="day")}
    told = _simulated(shop, [FREE, Plan("pro", price_id="price_pro", features=five)], start)
    assert told.denied == {"projects": 1, "messages": 1}


def test_uses_of_a_trial(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """They are drawn from what the other plan's trial includes, without overage; what was used later is not."""

    def plans(**terms: Any) -> list[Plan]:
        pro = Plan("pro", price_id="price_pro", trial_days=5, features={"messages": Metered(reset="day", **terms)})
        return [Plan("free", features={"messages": Metered(95)}), pro]

    shop = open_billing(plans=plans(included=100, trial=20), default_plan="free")
    start = stripe.now
    stripe.subscribe("payer", "pro")
    shop.subscriptions.start_trial("guest", "pro")
    shop.track("payer", "messages", 18)
    shop.track("guest", "messages", 19)
    stripe.advance(days=5)
    shop.track("payer", "messages", 90)
    shop.track("guest", "messages", 95)

    assert _simulated(shop, plans(included=100, trial=20), start).customers == ()
    told = _simulated(shop, plans(included=93, trial=15), start)
    assert {each.reference.id: each.denied["messages"] for each in told.customers} == {"payer": 3, "guest": 4}
    told = _simulated(shop, plans(included=10, trial=15, overage="free"), start)
    assert {each.reference.id: each.denied["messages"] for each in told.customers} == {"payer": 3, "guest": 4}
    told = _simulated(shop, plans(included=89), start)
    assert {each.reference.id: each.denied["messages"] for each in told.customers} == {"payer": 1}
    told = _simulated(shop, plans(included=200, trial=15), start, end=start + timedelta(days=5))
    assert (told.uses, told.denied) == (2, {"messages": 3 + 4})


def test_what_a_trial_leaves(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Nothing rolls over from it, whatever it includes; what is used of things that exist stays used."""

    def plans(trial: int | None) -> list[Plan]:
        features: dict[str, Allowance] = {
            "messages": Metered(10, reset="day", rollover=50, trial=trial),
            "projects": Quantity(9, trial=trial),
        }
        return [Plan("pro", price_id="price_pro", trial_days=3, features=features)]

    shop = open_billing(plans=plans(None))
    start = stripe.now
    stripe.subscribe("payer", "pro")
    shop.track("payer", "projects", 4)
    stripe.advance(days=3, hours=1)
    shop.track("payer", "messages", 25)
    shop.track("payer", "projects", 5)

    assert _simulated(shop, plans(None), start).denied == {}
    assert _simulated(shop, plans(20), start).denied == {"messages": 15}
    assert _simulated(shop, plans(1), start).denied == {"messages": 15, "projects": 3}


TRIED = [
    Plan(
        "free",
        features={
            "projects": Quantity(3),
            "messages": Metered(8, reset="day", anchor="calendar", rollover=5, limits=(UsageLimit(9, per="day"),)),
            "credits": Credits(12, reset="day", anchor="calendar"),
            "api": Metered(4, reset="hour", anchor="calendar", overage="free", overage_limit=3, debt="carry"),
        },
    )
]
FEATURES = [Feature("calls", credit_cost={"credits": 3})]
USES = st.lists(
    st.tuples(
        st.sampled_from(["projects", "messages", "calls", "credits", "api"]),
        st.integers(-3, 6).filter(bool),
        st.integers(0, 20),
    ),
    max_size=15,
)


def _shop(plans: list[Plan]) -> tuple[StripeSimulator, Billing]:
    stripe = StripeSimulator()
    options: dict[str, Any] = {"features": FEATURES, "default_plan": "free", "database": "sqlite://"}
    return stripe, Billing(stripe_client=stripe, plans=plans, **options)


@given(uses=USES)
@settings(max_examples=40)
@pytest.mark.sqlite
def test_the_same_as_having_had_the_plans(uses: list[tuple[str, int, int]]) -> None:
    """What a simulation says would be denied is what is denied by a shop that has these plans."""
    endless = dict.fromkeys(["projects", "messages", "calls", "api"], Metered(unlimited=True))
    recorder, recorded = _shop([Plan("free", features={**endless, "credits": Credits(unlimited=True)})])
    real, tried = _shop(TRIED)
    start = recorder.now
    denied: dict[str, int] = {}
    with recorded, tried:
        # What moves on from an earlier day is theirs who were customers then.
        for shop in (recorded, tried):
            shop.consume("u", "projects")
        for feature, quantity, hours in uses:
            if hours:
                recorder.advance(hours=hours)
                real.advance(hours=hours)
            if quantity < 0:
                came_back = recorded.give_back("u", feature, -quantity).funded
                if came_back:
                    tried.give_back("u", feature, came_back)
                continue
            recorded.consume("u", feature, quantity)
            try:
                tried.consume("u", feature, quantity)
            except FeatureDenied:
                denied[feature] = denied.get(feature, 0) + quantity

        told = recorded.plans.simulate(TRIED, start=start)

    assert dict(told.denied) == denied


def test_nothing_is_written(open_billing: Callable[..., Billing], sqlite_url: str, stripe: StripeSimulator) -> None:
    """Not a row is added or changed by trying."""
    shop = open_billing(plans=[FREE, PRO], default_plan="free")
    shop.track("guest", "messages", 60)
    engine = sa.create_engine(sqlite_url)

    def rows() -> list[Any]:
        with engine.connect() as connection:
            tables = sa.inspect(engine).get_table_names()
            return [connection.execute(sa.text(f"SELECT * FROM {name}")).all() for name in sorted(tables)]

    before = rows()
    _simulated(shop, GENEROUS, stripe.now - timedelta(days=1))
    assert rows() == before
    engine.dispose()


def test_what_cannot_be_tried(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Plans that would not start an application, and an empty range, are refused."""
    shop = open_billing(plans=[FREE, PRO], default_plan="free")

    with pytest.raises(ConfigError, match="default_plan"):
        _simulated(shop, [PRO], stripe.now)
    with pytest.raises(InvalidInput):
        _simulated(shop, [FREE], stripe.now, end=stripe.now)
