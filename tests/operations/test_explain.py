"""Answers of the past are found again, whatever happened since, and told in words."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing import (
    Billing,
    Boolean,
    Credits,
    Feature,
    FeatureDenied,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
    Quantity,
    UsageLimit,
)
from kernia_billing.domain.instants import SECOND
from kernia_billing.testing import StripeSimulator
from kernia_billing.types import Decision
from tests.harness.processes import RemoteStripe, StandingClock
from tests.harness.tables import make_tables

WHO = "user_1"
ASKED = ("projects", "messages", "calls", "credits", "sso", "api")
PLANS = [
    Plan("free", features={"projects": Quantity(1), "messages": Metered(3, anchor="calendar", reset="day")}),
    Plan(
        "pro",
        price_id="price_pro",
        features={
            "projects": Quantity(3),
            "messages": Metered(9, reset="day", limits=(UsageLimit(5, per="hour", count=6),)),
            "calls": Metered(1, reset="week", on_plan_change="reset"),
            "credits": Credits(12, reset="day", limits=(UsageLimit(9, per="day"),)),
            "sso": Boolean(),
            "api": Metered(2, reset="hour", overage="free", overage_limit=3),
        },
    ),
    Plan(
        "team",
        price_id="price_team",
        features={
            "projects": Quantity(5),
            "messages": Metered(unlimited=True),
            "credits": Credits(20),
            "api": Metered(4, reset="day", rollover=3, debt="carry", overage="free"),
        },
    ),
]
FEATURES = [Feature("calls", credit_cost={"credits": 2})]
COUNTED = st.sampled_from(["projects", "messages", "calls", "credits", "api"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["use", "use", "consume", "give_back", "hold", "grant"]), COUNTED, st.integers(1, 6)),
    st.tuples(st.sampled_from(["refund", "settle", "release"]), st.integers(0, 3), st.integers(1, 6)),
    st.tuples(st.just("plan"), st.sampled_from(["pro", "team"]), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 3, 10, 24, 30, 60, 800]), st.just(0)),
    st.tuples(st.just("cancel"), st.none(), st.just(0)),
)


@define(eq=False)
class Life:
    """One customer, what is done to it, and every answer that was given on the way."""

    billing: Billing
    stripe: StripeSimulator
    answers: list[Decision] = field(factory=list[Decision])
    uses: list[str] = field(factory=list[str])
    holds: list[Any] = field(factory=list[Any])

    def do(self, action: str, what: Any, quantity: Any) -> None:
        """Let an hour pass, do something, and ask."""
        self.stripe.advance(hours=1)
        with suppress(FeatureDenied):
            getattr(self, action)(what, quantity)
        self.ask()

    def ask(self) -> None:
        """Remember what is answered now."""
        self.answers += [self.billing.check(WHO, feature) for feature in ASKED]

    def use(self, feature: str, quantity: int) -> None:
        """Count a use."""
        self.uses.append(self.billing.track(WHO, feature, quantity).event_id)

    def consume(self, feature: str, quantity: int) -> None:
        """Use something, or be refused."""
        self.uses.append(self.billing.consume(WHO, feature, quantity).event_id)

    def give_back(self, feature: str, quantity: int) -> None:
        """Give back what was used last."""
        self.billing.give_back(WHO, feature, quantity)

    def refund(self, number: int, quantity: int) -> None:
        """Refund a use."""
        if number < len(self.uses):
            self.billing.refund(WHO, self.uses[number], quantity)

    def hold(self, feature: str, quantity: int) -> None:
        """Set something aside for five hours, or be refused."""
        self.holds.append(self.billing.reserve(WHO, feature, quantity, ttl=timedelta(hours=5)))

    def settle(self, number: int, quantity: int) -> None:
        """End a hold with what was used."""
        if number < len(self.holds):
            self.holds.pop(number).settle(quantity)

    def release(self, number: int, _: int) -> None:
        """End a hold of which nothing was used."""
        if number < len(self.holds):
            self.holds.pop(number).release()

    def grant(self, feature: str, quantity: int) -> None:
        """Give something for a day."""
        self.billing.grant(WHO, feature, quantity, expires_at=self.stripe.now + timedelta(days=1))

    def wait(self, hours: int, _: int) -> None:
        """Let time pass."""
        self.stripe.advance(hours=hours)

    def cancel(self, *_: object) -> None:
        """End the subscription, if there is one."""
        if (stripe_id := self._subscribed()) is not None:
            _call(self.stripe, "DELETE", f"subscriptions/{stripe_id}")

    def plan(self, name: str, _: int) -> None:
        """Subscribe to a plan, or change to it."""
        stripe_id = self._subscribed()
        if stripe_id is None:
            self.stripe.subscribe(WHO, name)
            return
        items = _call(self.stripe, "GET", f"subscription_items?subscription={stripe_id}")["data"]
        change = {"items[0][id]": items[0]["id"], "items[0][price]": f"price_{name}"}
        _call(self.stripe, "POST", f"subscriptions/{stripe_id}", change)

    def _subscribed(self) -> str | None:
        known = self.billing.subscriptions.get(WHO)
        return None if known is None or known.status == "canceled" else known.stripe_id


def _call(stripe: StripeSimulator, method: str, path: str, data: dict[str, str] | None = None) -> Any:
    with httpx.Client(transport=stripe.transport) as client:
        headers = {"Authorization": f"Bearer {stripe.api_key}"}
        answer = client.request(method, f"https://api.stripe.com/v1/{path}", data=data, headers=headers)
    assert answer.status_code == 200, answer.text
    stripe.flush()
    return answer.json()


def _live(database: str, steps: Sequence[tuple[str, Any, Any]]) -> None:
    stripe = StripeSimulator()
    options: dict[str, Any] = {"plans": PLANS, "features": FEATURES, "default_plan": "free", "database": database}
    with Billing(stripe_client=stripe, event_retention=timedelta(days=3_650), **options) as billing:
        billing.catalog.sync()
        life = Life(billing, stripe)
        life.ask()
        for step in steps:
            life.do(*step)
        stripe.advance(hours=1)
        for answer in life.answers:
            told = billing.explain(WHO, answer.feature, at=answer.as_of)
            assert told.decision == answer
            assert told.startswith(f"{'allowed' if answer else 'denied'}: {answer.reason}.")
            assert not told.unknown
        for feature in ASKED:
            assert billing.explain(WHO, feature).decision == billing.check(WHO, feature)


@given(steps=st.lists(STEPS, max_size=10))
@settings(max_examples=25)
@pytest.mark.sqlite
def test_an_old_answer_is_found_again(steps: list[tuple[str, Any, Any]]) -> None:
    """Uses, holds, refunds, changes of plan and time in any order: `explain` at an instant is the answer given then."""
    _live("sqlite://", steps)


STORY: tuple[tuple[str, Any, Any], ...] = (
    ("use", "projects", 2),
    ("plan", "pro", 0),
    ("use", "messages", 4),
    ("hold", "calls", 2),
    ("consume", "calls", 3),
    ("wait", 10, 0),
    ("grant", "messages", 4),
    ("use", "api", 4),
    ("plan", "team", 0),
    ("hold", "api", 3),
    ("refund", 1, 1),
    ("wait", 30, 0),
    ("use", "api", 6),
    ("cancel", None, 0),
    ("use", "projects", 1),
    ("settle", 0, 2),
    ("plan", "pro", 0),
    ("give_back", "projects", 2),
    ("wait", 60, 0),
)


def test_a_story_is_found_again(engine_url: str) -> None:
    """One story with everything in it, on each engine."""
    engine = sa.create_engine(engine_url)
    make_tables(engine)
    engine.dispose()
    _live(engine_url, STORY)


@pytest.mark.sqlite
def test_what_a_later_plan_took_over() -> None:
    """What a lapsed plan's use counted for is told as it was before another plan took it over."""
    _live("sqlite://", (("use", "projects", 1), ("plan", "pro", 0), ("cancel", None, 0), ("plan", "team", 0)))


@pytest.mark.sqlite
def test_what_stayed_with_a_plan_that_lapsed() -> None:
    """Uses that did not fit into the default plan stay where they were used, and count no second time."""
    steps = ("plan", "pro", 0), ("use", "messages", 5), ("cancel", None, 0), ("use", "messages", 1)
    _live("sqlite://", (*steps, ("give_back", "messages", 1), ("wait", 1, 0)))


@pytest.mark.sqlite
def test_a_hold_that_lapsed_unnoticed() -> None:
    """It holds nothing from its time on, as `check` said before anybody wrote that down, and still says afterwards."""
    clock = StandingClock(1_790_000_000_000_000)
    with (
        socket.socket() as nowhere,
        Billing(
            database="sqlite://",
            plans=PLANS,
            features=FEATURES,
            default_plan="free",
            stripe_client=RemoteStripe("sk_test_explain", "whsec_explain", clock, nowhere),
        ) as billing,
    ):
        billing.reserve(WHO, "messages", 2, ttl=60)
        answers: list[Decision] = []
        for seconds in (59, 1, 60):
            clock.micros += seconds * SECOND
            answers.append(billing.check(WHO, "messages"))
        clock.micros += SECOND
        assert [1, 3, 3] == [answer.remaining for answer in answers]
        assert answers == [billing.explain(WHO, "messages", at=answer.as_of).decision for answer in answers]
        billing.track(WHO, "messages", 1)
        assert answers == [billing.explain(WHO, "messages", at=answer.as_of).decision for answer in answers]


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """A shop with every kind of plan."""
    return open_billing(plans=PLANS, features=FEATURES, default_plan="free")


def test_in_plain_words(shop: Billing, stripe: StripeSimulator) -> None:
    """Verdict and reason, what is used, who gave it, the last uses, limits, holds, and when it starts anew."""
    stripe.subscribe(WHO, "pro")
    day, now = f"{stripe.now:%Y-%m-%d}", f"{stripe.now:%Y-%m-%d %H:%MZ}"
    first = shop.track(WHO, "messages", 2, idempotency_key="mail:1")
    second = shop.track(WHO, "messages", 1)
    hold = shop.reserve(WHO, "messages", 1, ttl=timedelta(hours=1))

    lines = shop.explain(WHO, "messages").splitlines()

    assert lines == [
        f"allowed: ok. 3 of 9 used, 1 held. Plan pro v1 gave 9 on {day}. Last use {second.event_id}: 1 on {now}.",
        f"Before that {first.event_id} (mail:1): 2 on {now}.",
        f"4 of at most 5 messages every 6 hours used, anew on {day} 18:00Z.",
        f"Hold {hold.id} keeps 1 until {hold.expires_at:%Y-%m-%d %H:%MZ}.",
        f"Starts anew on {stripe.now + timedelta(days=1):%Y-%m-%d %H:%MZ}.",
    ]
    shop.track(WHO, "messages", 1)
    assert shop.explain(WHO, "messages").startswith("denied: usage_limit. ")


def test_what_pays(shop: Billing, stripe: StripeSimulator) -> None:
    """Credits that pay are told of beside what is included, overage beyond it, and grants by hand as such."""
    stripe.subscribe(WHO, "pro")
    shop.track(WHO, "calls", 3)
    shop.track(WHO, "api", 4)
    shop.grant(WHO, "api", 7, expires_at=stripe.now + timedelta(days=9))

    calls = shop.explain(WHO, "calls")
    assert "Plan pro v1 gave 1 on" in calls
    assert "Plan pro v1 gave 12 of credits on" in calls
    api = shop.explain(WHO, "api")
    assert "2 of at most 3 used beyond it." in api
    assert "A grant by hand gave 7 on" in api
    assert f"until {stripe.now + timedelta(days=9):%Y-%m-%d %H:%MZ}" in api
    assert shop.explain(WHO, "sso").startswith("allowed: ok. Plan pro v1 gave no limit on")


def test_nothing_was_given(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """Who has nothing is told so, and who did not exist yet as well."""
    shop = open_billing(plans=PLANS[1:], features=FEATURES)
    before = stripe.now
    stripe.advance(hours=1)
    shop.grant(WHO, "projects", 1)

    assert shop.explain("nobody", "projects").splitlines() == [
        "denied: not_entitled.",
        "Nothing that was live then gave it: no plan, and no grant.",
    ]
    assert shop.explain(WHO, "projects", at=before).decision.reason == "not_entitled"
    assert shop.explain(WHO, "projects").decision


def test_why_there_is_nothing_any_more(shop: Billing, stripe: StripeSimulator) -> None:
    """An unpaid subscription is told of as it stood then, also after it was paid."""
    stripe.subscribe(WHO, "pro")
    stripe.use_card(WHO, "4000000000000002")
    stripe.advance(months=1, days=10)
    then = shop.check(WHO, "sso")
    assert then.reason == "subscription_past_due"
    when = stripe.now
    stripe.advance(hours=1)
    stripe.use_card(WHO, "4242424242424242")
    stripe.collect(WHO)
    stripe.advance(hours=1)

    assert shop.check(WHO, "sso")
    assert shop.explain(WHO, "sso", at=when).decision == then


def test_the_default_plan_has_changed(open_billing: Callable[..., Billing], stripe: StripeSimulator) -> None:
    """The default plan is explained as it was stored then, and it is said that nobody knows more than that."""
    former = open_billing(plans=PLANS, default_plan="free")
    former.catalog.sync()
    then, day = former.check("guest", "projects"), former.check("guest", "messages")
    stripe.advance(hours=1)
    plan = Plan("free", features={"projects": Quantity(7)})
    shop = open_billing(plans=[plan, *PLANS[1:]], default_plan="free")
    shop.catalog.sync()
    stripe.advance(hours=1)

    told = shop.explain("guest", "projects", at=then.as_of)
    assert told.decision == then
    assert ["version 1" in each for each in told.unknown] == [True]
    assert "Not known any more: " in told
    assert shop.explain("guest", "messages", at=then.as_of).decision == day
    now = shop.explain("guest", "projects", at=stripe.now)
    assert (now.decision.balance.included, now.unknown) == (7, ())


def test_before_history_began(shop: Billing, stripe: StripeSimulator, sqlite_url: str) -> None:
    """What a version wrote that kept no history is told of as it was found, and that nobody knows more."""
    stripe.subscribe(WHO, "pro")
    shop.track(WHO, "projects", 2)
    before = stripe.now
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        for statement in (
            "UPDATE billing_ledger SET moved_at = 0, included_after = NULL",
            "UPDATE billing_entitlement_change SET changed_at = 0, seq = (SELECT ledger_seq FROM billing_customer)",
            "UPDATE billing_customer_change SET changed_at = 0, seq = (SELECT ledger_seq FROM billing_customer)",
        ):
            connection.execute(sa.text(statement))
    engine.dispose()
    stripe.advance(hours=1)
    shop.track(WHO, "projects", 1)

    told = shop.explain(WHO, "projects", at=before)
    assert (told.decision.balance.included, told.decision.balance.used) == (3, 2)
    assert ["history" in each for each in told.unknown] == [True]
    assert shop.explain(WHO, "projects", at=stripe.now).unknown == ()


def test_clocks_that_differ(shop: Billing, stripe: StripeSimulator, sqlite_url: str) -> None:
    """The order of writes decides, not their times: one of a slow clock counts for all that came before it."""
    for _ in range(9):
        shop.track(WHO, "projects", 1)
        stripe.advance(hours=1)
    start = stripe.now - timedelta(hours=9)
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE billing_ledger SET moved_at = moved_at + 1800000000 WHERE seq % 2 = 0"))
    engine.dispose()

    used = [
        shop.explain(WHO, "projects", at=start + timedelta(minutes=30 * step)).uses[0].occurred_at for step in range(18)
    ]
    assert used == sorted(used)


def test_what_cannot_be_explained(shop: Billing, stripe: StripeSimulator) -> None:
    """The future, a naive time and a feature that is none are refused."""
    with pytest.raises(InvalidInput) as refused:
        shop.explain(WHO, "projects", at=stripe.now + timedelta(seconds=1))
    assert refused.value.field == "at"
    with pytest.raises(InvalidInput):
        shop.explain(WHO, "projects", at=datetime.now(UTC).replace(tzinfo=None))
    with pytest.raises(NotFound):
        shop.explain(WHO, "nothing")


def test_nothing_is_written(shop: Billing, sqlite_url: str) -> None:
    """Explaining leaves no row of who is asked about."""
    shop.explain("nobody", "projects")

    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM billing_customer")).scalar() == 0
    engine.dispose()


def test_tracking_keeps_no_history(shop: Billing, sqlite_url: str, stripe: StripeSimulator) -> None:
    """Uses of a bucket that is open add no row to the history."""
    stripe.subscribe(WHO, "pro")
    shop.track(WHO, "projects", 1)
    engine = sa.create_engine(sqlite_url)
    tables = ("billing_entitlement_change", "billing_customer_change", "billing_bucket_change")

    def rows() -> list[Any]:
        with engine.connect() as connection:
            return [connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar() for name in tables]

    before = rows()
    shop.track(WHO, "projects", 1)
    shop.give_back(WHO, "projects", 1)
    assert rows() == before
    engine.dispose()
