"""What becomes of a running period when another plan takes the place of one, by every policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy import NullPool, create_engine, text

from kernia_billing import Billing, Credits, Metered, Plan, Quantity
from kernia_billing.testing import StripeSimulator

Open = Callable[..., Billing]
_calls = count()
POLICIES = ("carry_usage", "reset", "carry_remaining", "prorate")


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe, at the start of a month of 30 days."""
    return StripeSimulator(now=datetime(2026, 4, 1, tzinfo=UTC))


def call(stripe: StripeSimulator, method: str, path: str, **values: Any) -> Any:
    """Do what somebody does in Stripe's dashboard."""
    named: dict[str, Any] = {"params" if method == "GET" else "data": values}
    with httpx.Client(transport=stripe.transport) as client:
        headers = {"Authorization": f"Bearer {stripe.api_key}", "Idempotency-Key": f"change {next(_calls)}"}
        answer = client.request(method, f"https://api.stripe.com/v1/{path}", headers=headers, **named)
    assert 200 == answer.status_code, answer.text
    stripe.flush()
    return answer.json()


class Shop:
    """Two plans, of which "org" has the small one; `change` is what their features have in common."""

    def __init__(self, open_billing: Open, stripe: StripeSimulator, small: Any, large: Any, **options: Any) -> None:
        self.stripe = stripe
        self.billing = open_billing(
            plans=[
                Plan("free", features={"projects": Quantity(2), "x": type(small)(10)}),
                Plan("small", price_id="price_small", annual_price_id="price_small_year", features={"x": small}),
                Plan("large", price_id="price_large", features={"x": large}),
            ],
            default_plan="free",
            **options,
        )
        stripe.subscribe("org", "small")
        found = self.billing.subscriptions.get("org")
        assert found is not None
        self.id = found.stripe_id

    def buy(self, plan: str) -> None:
        """Change the plan."""
        items = call(self.stripe, "GET", "subscription_items", subscription=self.id)["data"]
        what = {"items[0][id]": items[0]["id"], "items[0][price]": f"price_{plan}"}
        call(self.stripe, "POST", f"subscriptions/{self.id}", **what)

    @property
    def balance(self) -> tuple[int, int, int | None]:
        """Included, used, and what remains."""
        found = self.billing.check("org", "x").balance
        assert found == self.billing.balances("org")["x"]
        return found.included, found.used, found.remaining

    @property
    def left(self) -> int:
        """What remains of something that has an end."""
        left = self.balance[2]
        assert left is not None
        return left


@pytest.mark.parametrize("kind", [Metered, Credits])
@pytest.mark.parametrize(
    ("policy", "left"), [("reset", 500), ("carry_usage", 420), ("carry_remaining", 520), ("prorate", 270)]
)
def test_every_policy(open_billing: Open, stripe: StripeSimulator, kind: Any, policy: str, left: int) -> None:
    """80 of 100 are used when half the month is over and a plan with 500 begins."""
    shop = Shop(open_billing, stripe, kind(100, on_plan_change=policy), kind(500, on_plan_change=policy))
    shop.billing.consume("org", "x", 80)
    stripe.advance(days=15)

    shop.buy("large")
    assert left == shop.left
    shop.billing.consume("org", "x", left)
    assert 0 == shop.left
    stripe.advance(months=1)
    assert (500, 0, 500) == shop.balance


@pytest.mark.parametrize("policy", POLICIES)
def test_going_back_and_forth_gives_nothing(open_billing: Open, stripe: StripeSimulator, policy: str) -> None:
    """Whoever comes back to a plan within its period finds it as it was left."""
    shop = Shop(open_billing, stripe, Metered(100, on_plan_change=policy), Metered(500, on_plan_change=policy))  # type: ignore[arg-type]  # a str of the choices
    shop.billing.consume("org", "x", 80)
    shop.buy("large")
    most = shop.left
    for plan in ("small", "large", "small", "large"):
        shop.buy(plan)
        assert shop.left <= most
    assert most == shop.left

    shop.billing.consume("org", "x", most)
    for plan in ("small", "large"):
        shop.buy(plan)
        allowed = 20 if (policy, plan) == ("reset", "small") else 0
        assert allowed == shop.left


@pytest.mark.parametrize("debt", ["forgive", "carry"])
def test_a_plan_too_small(open_billing: Open, stripe: StripeSimulator, debt: str) -> None:
    """Of 300 used in the large plan 100 count in the small one; the rest is forgiven, or taken from the next month."""
    shop = Shop(open_billing, stripe, Metered(250, debt=debt), Metered(500, debt=debt))  # type: ignore[arg-type]  # a str of the choices
    shop.buy("large")
    shop.billing.consume("org", "x", 300)
    shop.buy("small")
    assert (250, 250, 0) == shop.balance
    stripe.advance(months=1)

    assert (250, 50 if debt == "carry" else 0) == shop.balance[:2]
    shop.billing.consume("org", "x", 10)
    stripe.advance(months=1)
    assert (250, 0, 250) == shop.balance


def test_holds_follow_the_usage(open_billing: Open, stripe: StripeSimulator) -> None:
    """What is held of the old plan is held of the new one, and is settled, released or lost there."""
    shop = Shop(open_billing, stripe, Metered(100), Metered(500))
    one, two, three = (shop.billing.reserve("org", "x", units, ttl=3_600) for units in (20, 30, 10))
    shop.billing.consume("org", "x", 40)
    shop.buy("large")
    assert (500, 40, 400) == shop.balance

    one.settle(15)
    assert (500, 55, 405) == shop.balance
    two.release()
    assert (500, 55, 435) == shop.balance
    stripe.advance(hours=1)
    assert (500, 55, 445) == shop.balance
    assert three.settle(10).late
    assert (500, 65, 435) == shop.balance
    assert [] == [each for each in shop.billing.doctor().findings if each.check != "plans.prices"]


def test_a_plan_too_small_for_what_is_held(open_billing: Open, stripe: StripeSimulator) -> None:
    """The work has begun: the small plan makes room for what the large one held."""
    shop = Shop(open_billing, stripe, Metered(100), Metered(500))
    shop.buy("large")
    shop.billing.consume("org", "x", 90)
    hold = shop.billing.reserve("org", "x", 200, ttl=3_600)
    shop.buy("small")
    assert (290, 90, 0) == shop.balance

    hold.settle(200)
    assert (290, 290, 0) == shop.balance


@pytest.mark.parametrize("policy", ["reset", "carry_remaining", "prorate"])
def test_holds_of_a_plan_that_is_gone(open_billing: Open, stripe: StripeSimulator, policy: str) -> None:
    """Where the period begins anew, what is held stays with the old plan: settled it costs the new one nothing."""
    shop = Shop(open_billing, stripe, Metered(100, on_plan_change=policy), Metered(500, on_plan_change=policy))  # type: ignore[arg-type]  # a str of the choices
    hold = shop.billing.reserve("org", "x", 60, ttl=3_600)
    shop.buy("large")
    before = shop.left

    hold.settle(50)
    assert before == shop.left == {"reset": 500}.get(policy, 540)


def test_overage_is_final(open_billing: Open, stripe: StripeSimulator) -> None:
    """What was used beyond the old plan is paid or given with it; the new one allows its own, the old one no more."""
    shop = Shop(
        open_billing,
        stripe,
        Metered(100, overage="free", overage_limit=50),
        Metered(500, overage="free", overage_limit=30),
    )
    shop.billing.consume("org", "x", 140)
    shop.buy("large")
    found = shop.billing.check("org", "x").balance
    assert (100, 400, 0, 30) == (found.used, found.remaining, found.overage_used, found.overage_limit)

    shop.buy("small")
    found = shop.billing.check("org", "x").balance
    assert (100, 0, 40, 50) == (found.used, found.remaining, found.overage_used, found.overage_limit)


def test_billed_overage_is_reported_once(open_billing: Open, stripe: StripeSimulator) -> None:
    """A change of plan reports nothing to Stripe's meters, there and back, and takes nothing back."""
    terms: dict[str, Any] = {"overage": "billed", "meter": "x_used"}
    shop = Shop(open_billing, stripe, Metered(100, **terms), Metered(500, **terms))
    shop.billing.consume("org", "x", 140)
    before = _reported(shop.billing)
    shop.buy("large")
    shop.buy("small")

    assert before == _reported(shop.billing) == 40
    shop.billing.give_back("org", "x", 15)
    assert 25 == _reported(shop.billing)


def _reported(billing: Billing) -> int:
    with create_engine(str(billing.config.database), poolclass=NullPool).connect() as connection:
        return int(connection.execute(text("SELECT SUM(value) FROM billing_meter_event")).scalar_one())


@pytest.mark.parametrize(("policy", "left"), [("carry_usage", 530), ("reset", 500), ("carry_remaining", 630)])
def test_rolled_units(open_billing: Open, stripe: StripeSimulator, policy: str, left: int) -> None:
    """What earlier months of the old plan left is kept with the new one, within its cap; `reset` takes it away."""
    terms: dict[str, Any] = {"on_plan_change": policy, "rollover": 300, "rollover_periods": 2}
    shop = Shop(open_billing, stripe, Metered(100, **terms), Metered(500, **terms))
    shop.billing.consume("org", "x", 30)
    stripe.advance(months=1)
    shop.billing.consume("org", "x", 40)
    shop.buy("large")
    # The 40 came out of the 70 that had moved on.
    assert left == shop.left

    for _ in range(3):
        stripe.advance(months=1)
        assert 800 == shop.left


def test_a_plan_bought_late_has_no_past(open_billing: Open, stripe: StripeSimulator) -> None:
    """Months before a plan with rollover was bought leave nothing."""
    shop = Shop(open_billing, stripe, Metered(100), Metered(500, rollover=1_000))
    stripe.advance(months=3)
    shop.buy("large")
    assert (500, 0, 500) == shop.balance

    stripe.advance(months=1)
    assert 1_000 == shop.left


def test_a_plan_bought_again_has_no_past(open_billing: Open, stripe: StripeSimulator) -> None:
    """Months under another plan leave nothing either, though the grant is the same as before."""
    shop = Shop(open_billing, stripe, Metered(100, rollover=1_000), Metered(500))
    shop.billing.consume("org", "x", 10)
    shop.buy("large")
    stripe.advance(months=3)
    shop.buy("small")

    assert (100, 0, 100) == shop.balance
    stripe.advance(months=1)
    assert 200 == shop.left


def test_another_anchor_is_paid_for_anew(open_billing: Open, stripe: StripeSimulator) -> None:
    """A change to yearly billing begins a new period: nothing of the old one is used of it."""
    shop = Shop(open_billing, stripe, Metered(100), Metered(500))
    shop.billing.consume("org", "x", 80)
    stripe.advance(days=10)
    shop.buy("small_year")

    assert (100, 0, 100) == shop.balance


def test_things_that_exist_always_move(open_billing: Open, stripe: StripeSimulator) -> None:
    """Things that a smaller plan has no room for leave none for more until enough of them are gone."""
    shop = Shop(open_billing, stripe, Quantity(10), Quantity(3))
    shop.billing.consume("org", "x", 8)
    shop.buy("large")
    assert (8, 8, 0) == shop.balance
    shop.billing.give_back("org", "x", 2)
    assert (6, 6, 0) == shop.balance
    shop.billing.give_back("org", "x", 4)
    assert (3, 2, 1) == shop.balance
    shop.buy("small")
    assert (10, 2, 8) == shop.balance


# ── The default plan after one that lapsed ───────────────────────────────────────────────────────────────────────────

DECLINED, GOOD = "4000000000000002", "4242424242424242"


class Lapsing:
    """A customer "org" who has the plan "pro" and does not pay for its second month: the plan "free" counts then."""

    def __init__(self, open_billing: Open, stripe: StripeSimulator, free: Any, pro: Any) -> None:
        self.stripe = stripe
        plans = [Plan("free", features={"x": free}), Plan("pro", price_id="price_pro", features={"x": pro})]
        self.billing = open_billing(plans=plans, default_plan="free")

    def buy(self) -> None:
        """Buy the plan with a card that is declined from the next time on."""
        self.stripe.subscribe("org", "pro")
        self.stripe.use_card("org", DECLINED)

    def lapse(self) -> None:
        """The days in which it could be paid for are over."""
        self.stripe.advance(days=8)

    def pay(self) -> None:
        """Pay what is open."""
        self.stripe.use_card("org", GOOD)
        self.stripe.collect("org")

    @property
    def balance(self) -> tuple[int, int, int | None]:
        """Included, used, and what remains."""
        found = self.billing.check("org", "x").balance
        assert found == self.billing.balances("org")["x"]
        return found.included, found.used, found.remaining


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("kind", [Metered, Credits])
def test_who_pays_again_has_used_it_still(
    open_billing: Open, stripe: StripeSimulator, kind: Any, is_written: bool
) -> None:
    """80 of 100 are used before the plan lapses: they fill the default plan, and are used when the invoice is paid."""
    shop = Lapsing(open_billing, stripe, kind(10), kind(100))
    shop.buy()
    stripe.advance(months=1)
    shop.billing.consume("org", "x", 80)
    shop.lapse()
    assert (10, 10, 0) == shop.balance
    if is_written:
        assert 1 == shop.billing.track("org", "x").unfunded
        shop.billing.give_back("org", "x", 4)
        assert (10, 6, 4) == shop.balance
        shop.billing.consume("org", "x", 4)
    shop.pay()

    assert (100, 80, 20) == shop.balance


@pytest.mark.parametrize("policy", ["reset", "carry_remaining", "prorate"])
def test_a_default_plan_that_begins_anew(open_billing: Open, stripe: StripeSimulator, policy: str) -> None:
    """By every other policy the default plan has its whole amount, and nothing is left over from what was not paid."""
    shop = Lapsing(open_billing, stripe, Metered(10, on_plan_change=policy), Metered(100))  # type: ignore[arg-type]  # a str of the choices
    shop.buy()
    stripe.advance(months=1)
    shop.billing.consume("org", "x", 80)
    shop.lapse()
    assert (10, 0, 10) == shop.balance
    shop.billing.consume("org", "x", 4)
    shop.pay()

    assert (100, 80, 20) == shop.balance


def test_a_hold_of_a_plan_that_lapses(open_billing: Open, stripe: StripeSimulator) -> None:
    """What is held goes on being held under the default plan, which makes room for it."""
    shop = Lapsing(open_billing, stripe, Metered(10), Metered(100))
    shop.buy()
    stripe.advance(months=1)
    stripe.advance(days=6)
    hold = shop.billing.reserve("org", "x", 30, ttl=6 * 86_400)
    shop.billing.consume("org", "x", 4)
    stripe.advance(days=2)
    assert (34, 4, 0) == shop.balance

    hold.settle(8)
    assert (12, 12, 0) == shop.balance
    shop.pay()
    assert (100, 12, 88) == shop.balance


def test_the_default_plan_waits(open_billing: Open, stripe: StripeSimulator) -> None:
    """While another plan counts, the default plan's months leave nothing; before and afterwards they do."""
    shop = Lapsing(open_billing, stripe, Metered(10, rollover=50), Metered(100))
    shop.billing.consume("org", "x", 4)
    stripe.advance(months=1)
    assert 16 == shop.balance[2]
    shop.buy()
    stripe.advance(months=3)
    # June, which nobody paid for, and July.
    assert 6 + 10 + 10 + 10 == shop.balance[2]
    stripe.advance(months=1)
    assert 46 == shop.balance[2]


# ── Another configuration ────────────────────────────────────────────────────────────────────────────────────────────


def test_plans_that_were_changed(open_billing: Open, stripe: StripeSimulator) -> None:
    """A plan keeps what it was sold with until Stripe tells of the subscription; the default plan changes at once."""

    def shop(free: int, pro: int) -> Billing:
        plans = [
            Plan("free", features={"x": Metered(free)}),
            Plan("pro", price_id="price_pro", features={"x": Metered(pro)}),
        ]
        return open_billing(plans=plans, default_plan="free")

    before = shop(10, 100)
    stripe.subscribe("org", "pro")
    before.consume("org", "x", 30)
    before.consume("guest", "x", 3)
    before.close()
    after = shop(20, 500)
    assert (70, 17) == (after.check("org", "x").remaining, after.check("guest", "x").remaining)

    stripe.advance(days=7)
    after.sync.reference("org")
    assert (500, 30, 470) == _balance(after, "org")
    after.close()
    assert (20, 3, 17) == _balance(shop(20, 50), "guest")


def _balance(billing: Billing, reference: str) -> tuple[int, int, int | None]:
    found = billing.check(reference, "x").balance
    return found.included, found.used, found.remaining
