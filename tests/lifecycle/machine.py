"""A machine that leads one organization's subscription through its life by the public API, step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine

from kernia_billing import AlreadySubscribed, Billing, Conflict, PaymentFailed, Plan, Quantity
from kernia_billing.domain.answers import Subscription
from kernia_billing.testing import StripeSimulator
from tests.convergence.databases import LifeDatabase
from tests.convergence.scene import DECLINING, VISA
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.lifecycle.model import LEAST, LIMITS, MOST, TRIAL_DAYS, Deal, Life, Model
from tests.webhooks.shop import hurry

WHO = "org"
PLANS = (
    Plan("free", features={"projects": Quantity(LIMITS["free"])}),
    Plan(
        "pro",
        price_id="price_pro",
        annual_price_id="price_pro_year",
        trial_days=TRIAL_DAYS,
        proration_behavior="none",
        features={"projects": Quantity(LIMITS["pro"])},
    ),
    Plan(
        "team",
        price_id="price_team",
        seats=True,
        min_seats=LEAST,
        max_seats=MOST,
        proration_behavior="none",
        features={"projects": Quantity(LIMITS["team"])},
    ),
    Plan("max", price_id="price_max", features={"projects": Quantity(LIMITS["max"])}),
)
PRICES = {"price_pro": 1_000, "price_team": 500, "price_max": 100_000}
DEALS = st.one_of(
    st.sampled_from([Deal("pro"), Deal("pro", "year"), Deal("max")]),
    st.integers(LEAST, MOST).map(lambda seats: Deal("team", "month", seats)),
)


def may(*_: object) -> bool:
    """`authorize_reference` of a host that trusts everybody."""
    return True


class LifeMachine(RuleBasedStateMachine):
    """One organization, which has one subscription at a time."""

    server: ClassVar[str | None] = None
    """The URL of an empty database on a server, for one life after the other; None for a new SQLite file for each."""

    def __init__(self) -> None:
        super().__init__()
        self.database = LifeDatabase(self.server)
        self.stripe = StripeSimulator()
        for price, amount in PRICES.items():
            self.stripe.add_price(price, amount)
        self.stripe.add_price("price_pro_year", 10_000, interval="year")
        self.billing = Billing(
            database=self.database.url,
            stripe_client=self.stripe,
            plans=PLANS,
            default_plan="free",
            base_url="https://shop.example",
            subscription_for="organization",
            authorize_reference=may,
            # The judge of the tables wants to see that everything was told, however long ago.
            event_retention=timedelta(days=3_650),
        )
        hurry(self.billing)
        self.model = Model(self.stripe.clock.seconds())

    @property
    def live(self) -> Life:
        """The subscription of the model."""
        assert self.model.live is not None
        return self.model.live

    def passed(self) -> None:
        """The time of Stripe is the model's."""
        self.model.advance(self.stripe.clock.seconds())

    # ── What is bought and changed ──────────────────────────────────────────────────────────────────────────────────

    @initialize(deal=DEALS, trial=st.booleans(), card=st.booleans())
    def begin(self, deal: Deal, *, trial: bool, card: bool) -> None:
        """Everybody buys something first, half of them on trial: what comes before has tests of its own."""
        self.buy(Deal("pro", deal.interval) if trial else deal, trial=trial, card=card)

    @precondition(lambda self: self.model.live is None)
    @rule(deal=DEALS, trial=st.booleans(), card=st.booleans())
    def buy_again(self, deal: Deal, *, trial: bool, card: bool) -> None:
        """Buy a plan once more: nobody gets a second trial."""
        self.buy(deal, trial=trial, card=card)
        count("lifecycle: bought again")

    def buy(self, deal: Deal, *, trial: bool, card: bool) -> None:
        """Buy a plan; a trial may begin with a card that will not pay."""
        trial = trial and deal.plan == "pro" and not self.model.tried
        card = card or not trial
        opened = self.billing.subscriptions.upgrade(
            WHO,
            deal.plan,
            annual=deal.interval == "year",
            seats=deal.seats if deal.plan == "team" else None,
            skip_trial=not trial and not self.model.tried,
            success_url="/",
            cancel_url="/",
        )
        self.stripe.pay(opened, card=VISA if card else DECLINING)
        self.model.buy(deal, trial=trial, card=card)

    def ask(self, deal: Deal, when: Any) -> Subscription:
        """Ask for a change."""
        seats = deal.seats if deal.plan == "team" else None
        return self.billing.subscriptions.change(WHO, deal.plan, when=when, annual=deal.interval == "year", seats=seats)

    @precondition(lambda self: self.model.live is not None)
    @rule(deal=DEALS)
    def change_now(self, deal: Deal) -> None:
        """Another plan at once: refused where it is the same, and where it cannot be paid."""
        one, deal = self.live, self.model.meant(deal)
        if one.ends and one.costs(deal) and deal.interval != one.deal.interval:
            # Stripe does not say when a cancelled subscription ends whose period begins anew.
            return
        if deal == one.deal:
            with pytest.raises(AlreadySubscribed):
                self.ask(deal, "now")
        elif not one.costs(deal):
            self.ask(deal, "now")
            one.change(deal, self.model.now)
        elif one.is_quiet and not one.paused and one.card:
            self.ask(deal, "now")
            one.change(deal, self.model.now)
            count("lifecycle: charged changes")
        elif one.is_quiet and not one.paused:
            with pytest.raises(PaymentFailed):
                self.ask(deal, "now")
            one.pending = None
            count("lifecycle: declined changes")

    @precondition(lambda self: self.model.live is not None)
    @rule(deal=DEALS)
    def change_later(self, deal: Deal) -> None:
        """Another plan when the period ends: refused where it is the same, and where nothing comes after the end."""
        one, deal = self.live, self.model.meant(deal)
        if deal == one.deal:
            with pytest.raises(AlreadySubscribed):
                self.ask(deal, "period_end")
        elif one.ends:
            with pytest.raises(Conflict) as refused:
                self.ask(deal, "period_end")
            assert refused.value.code == "SUBSCRIPTION_CANCELS"
        else:
            self.ask(deal, "period_end")
            one.pending = deal
            count("lifecycle: scheduled changes")

    @rule(members=st.integers(0, MOST + 2))
    def count_members(self, members: int) -> None:
        """Members came or went: a plan with seats follows."""
        one = self.model.live
        sync = self.billing.subscriptions.sync_seats
        if one is None or one.deal.plan != "team":
            assert sync(WHO, members) is None
        elif members > MOST:
            with pytest.raises(Conflict) as refused:
                sync(WHO, members)
            assert refused.value.code == "SEAT_LIMIT_REACHED"
        else:
            sync(WHO, members)
            self.model.members = members
            one.change_seats(max(members, LEAST))
            count("lifecycle: counts of members")

    # ── What ends and stands still ──────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.model.live is not None)
    @rule()
    def cancel_later(self) -> None:
        """Cancel to the end of the period: what was to change then does not."""
        self.billing.subscriptions.cancel(WHO)
        self.live.ends, self.live.pending = True, None

    @precondition(lambda self: self.model.live is not None and (self.live.period > 0 or self.live.status != "active"))
    @rule(prorate=st.booleans())
    def cancel_now(self, *, prorate: bool) -> None:
        """Cancel at once; not what was bought just now, or most lives would be short."""
        self.billing.subscriptions.cancel(WHO, when="now", prorate=prorate and self.live.status == "trialing")
        self.live.end()

    @precondition(lambda self: self.model.live is not None)
    @rule()
    def restore(self) -> None:
        """Take back what was to come, if something was."""
        one = self.live
        if one.ends or one.pending is not None:
            self.billing.subscriptions.restore(WHO)
            one.ends, one.pending = False, None
            count("lifecycle: restored")
            return
        with pytest.raises(Conflict) as refused:
            self.billing.subscriptions.restore(WHO)
        assert refused.value.code == "SUBSCRIPTION_NOT_PENDING_CHANGE"

    @precondition(lambda self: self.model.live is not None and self.live.is_quiet)
    @rule(days=st.sampled_from([None, 2, 20, 50]))
    def pause(self, days: int | None) -> None:
        """Collect nothing, until a day or until somebody says so; again it says until when."""
        # Half an hour beside everything else that happens, so that nobody has to say what comes first.
        until = None if days is None else self.model.now + days * 86_400 + 1_800
        moment = None if until is None else datetime.fromtimestamp(until, tz=UTC)
        self.billing.subscriptions.pause(WHO, resumes_at=moment)
        self.live.paused, self.live.resumes_at = True, until

    @precondition(lambda self: self.model.live is not None and self.live.is_quiet)
    @rule()
    def resume(self) -> None:
        """Collect again; nothing happens where it was done all the time."""
        self.billing.subscriptions.resume(WHO)
        self.live.resume()

    # ── Cards and time ──────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.model.live is not None)
    @rule(good=st.booleans())
    def change_card(self, *, good: bool) -> None:
        """Give another card; what is open waits for its next attempt."""
        self.stripe.use_card(WHO, VISA if good else DECLINING)
        self.live.card = good

    @precondition(lambda self: self.model.live is not None and self.live.failed_at is not None)
    @rule()
    def recover(self) -> None:
        """Give a card that pays, and pay what is open."""
        self.stripe.use_card(WHO, VISA)
        self.stripe.collect(WHO)
        self.live.card = True
        self.live.pay()
        count("lifecycle: recovered")

    @rule(days=st.sampled_from([0, 1, 6, 14]), hours=st.sampled_from([1, 2, 12]))
    def wait(self, days: int, hours: int) -> None:
        """Time passes."""
        self.stripe.advance(days=days, hours=hours)
        self.passed()

    @precondition(lambda self: self.model.live is not None)
    @rule(hours=st.sampled_from([-1, 0, 1, 25]))
    def reach_the_end_of_the_period(self, hours: int) -> None:
        """Time passes until about when a trial ends or the next period is billed."""
        whole = (self.live.period_end - self.model.now) // 3_600 + hours
        if whole > 0:
            self.stripe.advance(hours=whole)
            self.passed()

    @precondition(
        lambda self: self.model.live is not None and self.live.is_quiet and not (self.live.ends or self.live.paused)
    )
    @rule(days=st.sampled_from([0, 3, 7, 15]))
    def fail_to_renew(self, days: int) -> None:
        """The card fails at the next renewal: with the grace, some retries, or all of them behind it."""
        self.change_card(good=False)
        self.reach_the_end_of_the_period(hours=2 + days * 24)
        count("lifecycle: failed renewals")

    @rule()
    def wait_a_month(self) -> None:
        """A month passes."""
        self.stripe.advance(months=1)
        self.passed()

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def they_agree(self) -> None:
        """What the application says is what the model says."""
        count("lifecycle: steps")
        self.compare()

    def compare(self) -> None:
        """Compare the application with the model, and the model with Stripe."""
        model, one = self.model, self.model.newest
        if one is not None:
            count(f"lifecycle: {one.display}")
            self._compare_subscription(one)
            assert self.billing.subscriptions.has_trialed(WHO) == model.tried
        for quantity, allowed in ((model.limit, True), (model.limit + 1, False)):
            assert self.billing.check(WHO, "projects", quantity).allowed == allowed, (quantity, model)

    def _compare_subscription(self, one: Life) -> None:
        ours = self.billing.subscriptions.get(WHO)
        assert ours is not None
        theirs = list(self.stripe.state.world.table("subscription").rows.values())[-1]
        assert ours.stripe_id == theirs["id"]
        assert (theirs["status"], theirs["cancel_at_period_end"]) == (one.status, one.ends), one
        said = (ours.status, ours.display_state, ours.plan, ours.interval, ours.seats)
        assert said == (one.status, one.display, one.deal.plan, one.deal.interval, one.deal.seats), (ours, one)
        assert ours.cancel_at_period_end == one.ends
        if not one.is_live:
            return
        assert ours.period_end == _moment(one.period_end), (ours, one)
        assert ours.cancel_at == (_moment(one.period_end) if one.ends else None), (ours, one)
        assert ours.resumes_at == (None if one.resumes_at is None else _moment(one.resumes_at)), (ours, one)
        coming, told = one.coming, ours.pending_change
        assert (told is None) == (coming is None), (ours, one)
        if told is not None and coming is not None:
            assert (told.plan, told.interval, told.seats) == (coming.plan, coming.interval, coming.seats)
            assert told.effective_at == _moment(one.period_end)

    def teardown(self) -> None:
        """Nothing was missed, and nothing contradicts anything."""
        try:
            self._finish()
        finally:
            self.billing.close()
            self.database.drop()

    def _finish(self) -> None:
        before = self._told()
        assert self.billing.sync.all().ok
        assert self._told() == before
        self.compare()
        engine = create_engine(self.database.url)
        try:
            coherent(engine, self.stripe)
        finally:
            engine.dispose()
        found = self.billing.doctor()
        assert found.ok, found.findings
        count("lifecycle: lives")

    def _told(self) -> tuple[object, ...]:
        if not self.model.lives:
            return ()
        on = self.billing.subscriptions
        return on.list(WHO), on.history(WHO, limit=200), self.billing.balances(WHO)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
