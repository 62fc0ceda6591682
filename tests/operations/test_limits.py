"""Usage limits: at most so many units in a window, whatever balances there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import Billing, Credits, Feature, InsufficientBalance, Metered, Plan, Quantity, UsageLimit
from kernia_billing.domain.answers import Decision
from kernia_billing.testing import StripeSimulator
from tests.harness.ears import hearing
from tests.harness.house import new_engine
from tests.operations.dashboard import change_price

DAILY = UsageLimit(200)
PER_USER = UsageLimit(3, per="hour", per_entity=True)
LARGE = UsageLimit(2, where={"model": "large"})
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(1_000, limits=(DAILY,)),
            "calls": Metered(100, limits=(UsageLimit(5, per="hour"), PER_USER, LARGE)),
            "projects": Quantity(10, limits=(UsageLimit(2, per="day", timezone="America/New_York"),)),
            "credits": Credits(100, limits=(UsageLimit(35),)),
        },
    ),
    Plan(
        "pro",
        price_id="price_pro",
        features={
            "messages": Metered(5_000, limits=(UsageLimit(300),)),
            "calls": Metered(100),
            "credits": Credits(100, limits=(UsageLimit(35),)),
            "images": Metered(1, limits=(UsageLimit(5),)),
        },
    ),
    Plan("team", price_id="price_team", features={"messages": Metered(unlimited=True, limits=(UsageLimit(100),))}),
    Plan("extra", price_id="price_extra", group="extras", features={"messages": Metered(10, limits=(UsageLimit(50),))}),
]
FEATURES = [Feature("images", credit_cost={"credits": 10}), Feature("tags", credit_cost={"credits": 0})]


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """The shop on SQLite; everybody has the free plan."""
    return open_billing(plans=PLANS, features=FEATURES, default_plan="free")


@pytest.fixture
def shop_anywhere(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """The same on each kind of database."""
    options: dict[str, Any] = {"plans": PLANS, "features": FEATURES, "default_plan": "free"}
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, **options) as billing:
        yield billing


def refused(billing: Billing, *use: Any, **named: Any) -> Decision:
    """The decision on a use that is refused."""
    with pytest.raises(InsufficientBalance) as caught:
        billing.consume(*use, **named)
    return caught.value.decision


def left(decision: Decision, feature: str | None = None) -> list[tuple[Any, Any, Any]]:
    """Maximum, use and rest of each limit."""
    return [
        (each["maximum"], each["used"], each["remaining"])
        for each in decision.limits
        if each["feature"] == (feature or decision.feature)
    ]


def test_the_example(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """200 a day, 150 used, 80 wanted of 1,000: refused as a whole, 50 as far as it goes; the next day is a new one."""
    billing = shop_anywhere
    billing.consume("user_1", "messages", 150)

    found = billing.check("user_1", "messages", 80)
    assert (False, "usage_limit", 850) == (found.allowed, found.reason, found.remaining)
    assert found == refused(billing, "user_1", "messages", 80)
    assert [(200, 150, 50)] == left(found)
    capped = billing.track("user_1", "messages", 80, mode="cap", idempotency_key="cap")
    assert (50, 30, 200) == (capped.funded, capped.unfunded, capped.balance.used)
    assert ((200, 0),) == tuple((each["used"], each["remaining"]) for each in capped.limits)
    assert capped.limits == billing.track("user_1", "messages", 80, mode="cap", idempotency_key="cap").limits

    recorded = billing.track("user_1", "messages", 7)
    assert (7, 0, 7) == (recorded.quantity, recorded.funded, recorded.unfunded)
    assert [(200, 200, 0)] == left(billing.check("user_1", "messages"))
    assert billing.check("user_2", "messages", 200).allowed

    stripe.advance(hours=12)
    assert [(200, 0, 200)] == left(billing.check("user_1", "messages", 200))
    assert 200 == billing.consume("user_1", "messages", 200).funded


def test_a_decision_tells_of_its_limits(shop: Billing) -> None:
    """What the limit is, how much of it is used, and from when to when."""
    shop.consume("user_1", "messages", 150)

    (limit,) = shop.check("user_1", "messages").limits
    start = datetime(2026, 1, 15, tzinfo=UTC)
    known = {key: value for key, value in limit.items() if key != "id"}
    assert {
        "feature": "messages",
        "entityId": None,
        "maximum": 200,
        "used": 150,
        "remaining": 50,
        "per": "day",
        "count": 1,
        "timezone": "UTC",
        "where": {},
        "startedAt": start,
        "resetsAt": start.replace(day=16),
    } == known
    assert "80 of messages asked for, 50 allowed for now." == shop.check("user_1", "messages", 80).message


def test_what_is_too_much_anyway_is_not_limited(shop: Billing) -> None:
    """Where balances would not cover it without the limit either, waiting does not help: that is the reason."""
    found = shop.check("user_1", "messages", 1_001)

    assert "insufficient_balance" == found.reason
    assert "usage_limit" == shop.check("user_1", "messages", 1_000).reason


def test_check_is_one_read(shop: Billing) -> None:
    """With limits as without; a second one only for grants whose limits the plans have no more."""
    shop.consume("user_1", "messages", 150)
    sent: list[str] = []
    with hearing(sent.append):
        assert [(200, 150, 50)] == left(shop.check("user_1", "messages"))
    assert 1 == len(sent)


def test_limits_that_plans_have_no_more(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """They hold for those who were given them, at the price of a second read."""
    before = open_billing(plans=PLANS, features=FEATURES)
    stripe.subscribe("user_1", "pro")
    before.consume("user_1", "messages", 250)

    after = open_billing(plans=[Plan("pro", price_id="price_pro", features={"messages": Metered(9)})])
    after.check("user_1", "messages")
    sent: list[str] = []
    with hearing(sent.append):
        found = after.check("user_1", "messages", 51)
    assert 2 == len(sent)
    assert ([(300, 250, 50)], "usage_limit") == (left(found), found.reason)
    assert found == refused(after, "user_1", "messages", 51)


def test_each_entity_by_itself(shop: Billing) -> None:
    """An entity has a window of its own beside everybody's, and use without one is not limited by it."""
    shop.consume("user_1", "calls", 3, entity="a")
    assert [(5, 3, 2), (3, 3, 0)] == left(shop.check("user_1", "calls", entity="a"))
    assert "usage_limit" == refused(shop, "user_1", "calls", entity="a").reason
    assert [(5, 3, 2), (3, 0, 3)] == left(shop.check("user_1", "calls", entity="b"))
    assert ["a"] == [each["entityId"] for each in shop.check("user_1", "calls", entity="a").limits if each["entityId"]]
    shop.consume("user_1", "calls", 2)
    assert [(5, 5, 0)] == left(shop.check("user_1", "calls"))


def test_uses_with_properties(shop: Billing) -> None:
    """A limit that asks for properties counts the uses that have them; a check has none."""
    assert 1 == shop.consume("user_1", "calls", properties={"model": "large", "n": 1}).funded
    shop.consume("user_1", "calls", properties={"model": "small"})
    capped = shop.track("user_1", "calls", 3, mode="cap", properties={"model": "large"})

    assert [(5, 3, 2), (2, 2, 0)] == [(each["maximum"], each["used"], each["remaining"]) for each in capped.limits]
    assert (1, 2) == (capped.funded, capped.unfunded)
    assert [(5, 3, 2)] == left(shop.check("user_1", "calls", 2))


def test_a_limit_on_credits(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """It clamps what the pool pays; a limit on the feature counts its units, whoever paid them."""
    billing = open_billing(plans=PLANS, features=FEATURES)
    stripe.subscribe("user_1", "pro")

    assert 4 == billing.track("user_1", "images", 5, mode="cap").funded
    found = billing.check("user_1", "images")
    assert "usage_limit" == found.reason
    assert ([(5, 4, 1)], [(35, 30, 5)]) == (left(found), left(found, "credits"))
    stripe.advance(hours=12)
    assert 3 == billing.track("user_1", "images", 6, mode="cap").funded
    assert [(35, 30, 5)] == left(billing.check("user_1", "credits"))
    assert 5 == billing.track("user_1", "credits", 9, mode="cap").funded


def test_what_costs_nothing_counts_too(open_billing: Callable[..., Billing]) -> None:
    """Units that a pool pays at no cost, without drawing anything."""
    plans = [Plan("free", features={"credits": Credits(1), "tags": Metered(0, limits=(UsageLimit(3),))})]
    billing = open_billing(plans=plans, features=FEATURES, default_plan="free")

    assert 3 == billing.track("user_1", "tags", 5, mode="cap").funded
    assert [(3, 3, 0)] == left(billing.check("user_1", "tags"))


def test_giving_back_makes_room(shop: Billing, stripe: StripeSimulator) -> None:
    """In the window that runs, never below nothing: what was used yesterday makes no more room than there is."""
    shop.consume("user_1", "messages", 100)
    shop.give_back("user_1", "messages", 30)
    assert [(200, 70, 130)] == left(shop.check("user_1", "messages"))
    stripe.advance(hours=12)
    shop.consume("user_1", "messages", 50)
    shop.give_back("user_1", "messages", 110)

    assert [(200, 0, 200)] == left(shop.check("user_1", "messages"))


def test_a_day_is_that_of_its_time_zone(shop: Billing, stripe: StripeSimulator) -> None:
    """A day in New York ends at five in the morning in UTC."""
    shop.consume("user_1", "projects", 2)
    stripe.advance(hours=16)
    assert datetime(2026, 1, 16, 5, tzinfo=UTC) == refused(shop, "user_1", "projects").limits[0]["resetsAt"]
    stripe.advance(hours=1)
    shop.consume("user_1", "projects", 2)


def test_a_change_of_plan_refills_nothing(shop: Billing, stripe: StripeSimulator) -> None:
    """What was used counts on in the same window under the new plan's maximum."""
    shop.consume("user_1", "messages", 150)
    stripe.subscribe("user_1", "pro")
    assert [(300, 150, 150)] == left(shop.check("user_1", "messages"))
    shop.consume("user_1", "messages", 140)
    change_price(shop, stripe, "user_1", "price_team")

    assert [(100, 290, 0)] == left(shop.check("user_1", "messages"))
    assert "usage_limit" == refused(shop, "user_1", "messages").reason


def test_of_several_plans_the_larger_maximum_holds(
    open_billing: Callable[..., Billing], stripe: StripeSimulator
) -> None:
    """They add their benefits: nobody may use less for having bought more."""
    billing = open_billing(plans=PLANS, features=FEATURES)
    stripe.subscribe("user_1", "extra")
    assert [(50, 0, 50)] == left(billing.check("user_1", "messages"))
    stripe.subscribe("user_1", "pro")

    assert [(300, 0, 300)] == left(billing.check("user_1", "messages"))


def test_holds_count(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """What is set aside counts; what is released or has lapsed does not, whether or not anybody wrote that down."""
    billing = shop_anywhere
    hold = billing.reserve("user_1", "messages", 120)
    assert [(200, 120, 80)] == left(billing.check("user_1", "messages"))
    assert "usage_limit" == refused(billing, "user_1", "messages", 81).reason
    usage = hold.settle(100)
    assert [(200, 100, 100)] == left(billing.check("user_1", "messages"))
    assert (100, ()) == (usage.limits[0]["used"], usage.alerts)

    billing.reserve("user_1", "messages", 60).release()
    assert [(200, 100, 100)] == left(billing.check("user_1", "messages"))
    billing.reserve("user_1", "messages", 90, ttl=60)
    with pytest.raises(InsufficientBalance):
        billing.reserve("user_1", "messages", 11)
    assert [(200, 190, 10)] == left(billing.check("user_1", "messages"))
    stripe.advance(hours=1)
    assert [(200, 100, 100)] == left(billing.check("user_1", "messages"))
    billing.consume("user_1", "messages", 100)
    assert [(200, 200, 0)] == left(billing.check("user_1", "messages"))


def test_what_was_set_aside_yesterday(shop: Billing, stripe: StripeSimulator) -> None:
    """It was counted yesterday: settling it counts nothing today, and releasing it makes no room."""
    hold, other = (shop.reserve("user_1", "messages", 90, ttl=86_400) for _ in range(2))
    stripe.advance(hours=12)
    shop.consume("user_1", "messages", 150)
    hold.release()
    assert [(200, 150, 50)] == left(shop.check("user_1", "messages"))
    other.settle(100)

    assert [(200, 160, 40)] == left(shop.check("user_1", "messages"))


def test_an_excess_is_of_the_day_it_was_used(shop: Billing, stripe: StripeSimulator) -> None:
    """Settling 30 more than was set aside yesterday counts 30 today; refunds give those back first, and no more."""
    hold = shop.reserve("user_1", "messages", 90, ttl=86_400)
    stripe.advance(hours=12)
    use = hold.settle(120)
    shop.consume("user_1", "messages", 50)
    assert [(200, 80, 120)] == left(shop.check("user_1", "messages"))

    shop.refund("user_1", use.event_id, 20)
    assert [(200, 60, 140)] == left(shop.check("user_1", "messages"))
    shop.refund("user_1", use.event_id, 20)
    assert [(200, 50, 150)] == left(shop.check("user_1", "messages"))
    shop.refund("user_1", use.event_id)
    assert [(200, 50, 150)] == left(shop.check("user_1", "messages"))


@pytest.mark.parametrize("how", ["release", "lapse", "refund"])
def test_what_was_drawn_before_there_was_a_limit(
    open_billing: Callable[..., Billing], stripe: StripeSimulator, how: str
) -> None:
    """It was not counted, and makes no room when it comes back."""
    limited = Plan("pro", price_id="price_pro", features={"x": Metered(100, limits=(UsageLimit(5, per="month"),))})
    free = Plan("free", features={"x": Metered(100)})
    billing = open_billing(plans=[free, limited], default_plan="free")
    use = billing.consume("user_1", "x", 3)
    hold = billing.reserve("user_1", "x", 3, ttl=7_200)
    stripe.advance(hours=1)
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "x", 4)
    assert [(5, 4, 1)] == left(billing.check("user_1", "x"))

    if how == "release":
        hold.release()
    elif how == "refund":
        billing.refund("user_1", use.event_id)
    else:
        stripe.advance(hours=2)
    assert [(5, 4, 1)] == left(billing.check("user_1", "x"))
    billing.consume("user_1", "x")
    assert [(5, 5, 0)] == left(billing.check("user_1", "x"))


AMOUNTS = st.integers(1, 6)
ENTITIES = st.sampled_from([None, "a", "b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["consume", "cap", "record", "give", "reserve"]), AMOUNTS, ENTITIES),
        st.tuples(st.just("advance"), st.integers(1, 3), st.none()),
        st.tuples(st.sampled_from(["settle", "release"]), st.integers(0, 8), st.none()),
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, number=st.uuids())
def test_check_and_use_never_disagree(shop: Billing, stripe: StripeSimulator, steps: Any, number: object) -> None:
    """Whatever happened before, a check allows exactly what a use is granted; no window has more than its maximum."""
    who = str(number)
    holds: list[Any] = []
    for name, amount, entity in steps:
        if name == "advance":
            stripe.advance(hours=amount)
        elif name in ("settle", "release"):
            if holds:
                hold = holds.pop()
                hold.settle(amount) if name == "settle" else hold.release()
        elif name == "give":
            shop.give_back(who, "calls", amount, entity=entity)
        elif name in ("cap", "record"):
            shop.track(who, "calls", amount, mode=name, entity=entity)
        else:
            allowed = shop.check(who, "calls", amount, entity=entity).allowed
            act = shop.consume if name == "consume" else shop.reserve
            try:
                done = act(who, "calls", amount, entity=entity)
            except InsufficientBalance:
                assert not allowed
            else:
                assert allowed
                holds += [done] if name == "reserve" else []
        for each in shop.check(who, "calls", entity=entity).limits:
            assert 0 <= each["used"] <= each["maximum"]  # type: ignore[operator]  # objects of JSON
