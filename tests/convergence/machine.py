"""A machine that does to an application whatever can happen to it, and compares it with a model after every step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine

from kernia_billing import Billing, Metered, Plan, Quantity
from kernia_billing.errors import BillingError
from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.api.faults import Fault
from kernia_billing.testing.simulator.webhooks.mishaps import Mishap
from tests.convergence.databases import LifeDatabase
from tests.convergence.model import LIMITS, Model, Subscription
from tests.convergence.scene import DECLINING, REFERENCE, VISA
from tests.convergence.tape import VERSIONS
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.simulator.shop import Shop as Account
from tests.webhooks.shop import hurry

PLANS = (
    Plan("free", features={"projects": Quantity(LIMITS["free"]), "messages": Metered(10)}),
    Plan("pro", price_id="price_pro", features={"projects": Quantity(LIMITS["pro"]), "messages": Metered(100)}),
    Plan("team", price_id="price_team", features={"projects": Quantity(LIMITS["team"]), "messages": Metered(1_000)}),
)


class BillingMachine(RuleBasedStateMachine):
    """One application, one customer. Nothing is compared while news is lost, until a resync."""

    server: ClassVar[str | None] = None
    """The URL of an empty database on a server, for one life after the other; None for a new SQLite file for each."""

    def __init__(self) -> None:
        super().__init__()
        self.database = LifeDatabase(self.server)
        self.stripe = StripeSimulator()
        self.account = Account(self.stripe)
        self.billing = self.open()
        self.model = Model(self.stripe.clock.seconds())
        self.losing = self.behind = False
        self.heard = 0
        self.uses = 0

    # ── The application ─────────────────────────────────────────────────────────────────────────────────────────────

    def open(self) -> Billing:
        """A process of the application."""
        billing = Billing(
            database=self.database.url,
            stripe_client=self.stripe,
            plans=PLANS,
            default_plan="free",
            base_url="https://shop.example",
            # The judge of the tables wants to see that everything was told, however long ago.
            event_retention=timedelta(days=3_650),
        )
        hurry(billing)
        return billing

    @property
    def now_at_stripe(self) -> dict[str, Any]:
        """The newest subscription as Stripe has it."""
        rows: Sequence[dict[str, Any]] = list(self.stripe.state.world.table("subscription").rows.values())
        return rows[-1]

    @property
    def live(self) -> Subscription:
        """The subscription of the model."""
        assert self.model.live is not None
        return self.model.live

    def change(self, **params: str) -> None:
        """Change the subscription, as in the dashboard."""
        self.account.post(f"/v1/subscriptions/{self.now_at_stripe['id']}", params)

    def settle(self) -> None:
        """Let what Stripe has to tell arrive, unless it is lost."""
        for _ in range(2):
            # What the network holds back at first is sent once more.
            self.stripe.flush()
        told = len(self.stripe.events)
        self.behind = self.behind or (self.losing and told > self.heard)
        self.heard = told

    # ── What customers do ───────────────────────────────────────────────────────────────────────────────────────────

    @initialize(version=st.sampled_from(VERSIONS))
    def begin(self, version: str) -> None:
        """Events come in the shape of some version."""
        self.stripe.event_version = version

    @precondition(lambda self: self.model.live is None)
    @rule(plan=st.sampled_from(["pro", "team"]))
    def subscribe(self, plan: str) -> None:
        """Buy a plan."""
        opened = self.billing.subscriptions.upgrade(REFERENCE, plan, success_url="/", cancel_url="/")
        self.stripe.pay(opened, card=VISA)
        self.model.subscribe(plan)
        self.settle()

    @precondition(lambda self: self.model.live is not None)
    @rule(plan=st.sampled_from(["pro", "team"]))
    def subscribe_twice(self, plan: str) -> None:
        """Whoever has a plan is not sold another, even if nobody told us of it."""
        with pytest.raises(BillingError) as refused:
            self.billing.subscriptions.upgrade(REFERENCE, plan, success_url="/", cancel_url="/")
        assert refused.value.status == 409
        self.settle()

    @precondition(lambda self: self.model.live is not None and self.live.draft_until is None)
    @rule(plan=st.sampled_from(["pro", "team"]), seats=st.integers(1, 4))
    def switch(self, plan: str, seats: int) -> None:
        """Change to another plan or quantity."""
        (item,) = self.account.subscription(self.now_at_stripe["id"])["items"]["data"]
        chosen = {"items[0][id]": str(item["id"]), "items[0][price]": f"price_{plan}"}
        self.change(**chosen, **{"items[0][quantity]": str(seats)}, proration_behavior="none")
        self.live.plan, self.live.seats = plan, seats
        self.settle()

    @precondition(lambda self: self.model.live is not None and not self.live.ends)
    @rule()
    def cancel_later(self) -> None:
        """Cancel in the portal, to the end of the period."""
        self.stripe.portal(self.billing.portal(REFERENCE, return_url="/"), "cancel")
        self.live.ends = True
        self.settle()

    @precondition(lambda self: self.model.live is not None and self.live.ends)
    @rule()
    def keep(self) -> None:
        """Take the cancellation back."""
        self.stripe.portal(self.billing.portal(REFERENCE, return_url="/"), "renew")
        self.live.ends = False
        self.settle()

    @precondition(lambda self: self.model.live is not None)
    @rule()
    def cancel_now(self) -> None:
        """Cancel at once, as in the dashboard."""
        self.account.delete(f"/v1/subscriptions/{self.now_at_stripe['id']}")
        self.live.end()
        self.settle()

    @precondition(lambda self: self.model.live is not None and self.live.is_quiet and not self.live.paused)
    @rule()
    def pause(self) -> None:
        """Collect nothing for a while."""
        self.change(**{"pause_collection[behavior]": "void"})
        self.live.paused = True
        self.settle()

    @precondition(lambda self: self.model.live is not None and self.live.is_quiet and self.live.paused)
    @rule()
    def resume(self) -> None:
        """Collect again."""
        self.change(pause_collection="")
        self.live.paused = False
        self.settle()

    @precondition(lambda self: self.model.live is not None)
    @rule(good=st.booleans())
    def change_card(self, good: bool) -> None:
        """Give another card."""
        self.stripe.use_card(self.now_at_stripe["customer"], VISA if good else DECLINING)
        self.live.card = good
        self.settle()

    @precondition(lambda self: self.model.live is not None and self.live.failed_at is not None and self.live.card)
    @rule()
    def recover(self) -> None:
        """Pay what is open."""
        self.stripe.collect(self.now_at_stripe["customer"])
        self.live.pay()
        self.settle()

    @rule(days=st.sampled_from([0, 1, 6, 15]), hours=st.sampled_from([1, 2, 12]))
    def wait(self, days: int, hours: int) -> None:
        """Time passes."""
        self.stripe.advance(days=days, hours=hours)
        self.model.advance(self.stripe.clock.seconds())
        self.settle()

    @rule()
    def wait_a_month(self) -> None:
        """A whole month passes."""
        self.stripe.advance(months=1)
        self.model.advance(self.stripe.clock.seconds())
        self.settle()

    # ── What is used ────────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.model.projects < LIMITS["free"])
    @rule()
    def make_project(self) -> None:
        """As many as everybody may have, so that no plan's end forgives any."""
        self.billing.consume(REFERENCE, "projects")
        self.model.projects += 1

    @precondition(lambda self: self.model.projects > 0)
    @rule()
    def delete_project(self) -> None:
        """Give one back."""
        self.billing.give_back(REFERENCE, "projects")
        self.model.projects -= 1

    @rule(quantity=st.integers(1, 200), repeated=st.booleans())
    def send_messages(self, quantity: int, repeated: bool) -> None:
        """Count messages; the same request again counts nothing."""
        self.uses += 1
        for _ in range(1 + repeated):
            self.billing.track(REFERENCE, "messages", quantity, idempotency_key=f"use-{self.uses}")
        self.model.messages += quantity

    # ── What goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: not self.losing)
    @rule()
    def lose_webhooks(self) -> None:
        """Nothing arrives from now on."""
        self.stripe.delivery.mishaps[:] = [Mishap("drop")]
        self.losing = True

    @rule(copies=st.integers(0, 2), late=st.booleans())
    def hear_again(self, copies: int, late: bool) -> None:
        """Everything arrives, perhaps repeatedly, in any order, or only when it is sent again."""
        repeat = [Mishap("repeat", copies=copies)] if copies else []
        self.stripe.delivery.mishaps[:] = [*repeat, *([Mishap("late", seconds=900)] if late else [])]
        self.stripe.delivery.order = "shuffled" if copies else "in order"
        self.losing = False

    @rule(data=st.data())
    def repeat_old_news(self, data: st.DataObject) -> None:
        """Any events of the past arrive once more."""
        if self.stripe.events:
            ids = st.sampled_from([str(each["id"]) for each in self.stripe.events])
            self.stripe.deliver(*data.draw(st.lists(ids, min_size=1, max_size=3)))

    @precondition(lambda self: self.model.live is not None)
    @rule(ends=st.booleans())
    def stripe_fails(self, ends: bool) -> None:
        """Stripe says that something changed and does not say what, until hours later."""
        self.stripe.faults.append(Fault("status", 503, "GET", "/v1/subscriptions/*", times=None))
        self.change(cancel_at_period_end=str(ends).lower())
        self.live.ends = ends
        self.stripe.flush()
        self.stripe.advance(hours=1)
        self.stripe.faults.clear()
        self.stripe.advance(hours=7)
        self.model.advance(self.stripe.clock.seconds())
        self.settle()

    @rule()
    def crash(self) -> None:
        """The process is gone, and another begins on the same database."""
        self.billing.close()
        self.billing = self.open()

    @precondition(lambda self: self.heard)
    @rule(everything=st.booleans())
    def resync(self, everything: bool) -> None:
        """Compare with Stripe, whatever was lost."""
        if everything:
            assert self.billing.sync.all().ok
        elif self.billing.customers.get(REFERENCE) is not None:
            assert self.billing.sync.reference(REFERENCE).ok
        else:
            return
        self.behind = False
        self.settle()

    # ── What must hold ──────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def model_and_stripe_agree(self) -> None:
        """The model knows Stripe's rules."""
        count("convergence: steps of the machine")
        one = self.model.subscription
        if one is None:
            return
        theirs = self.now_at_stripe
        assert theirs["status"] == one.status
        assert theirs["cancel_at_period_end"] == one.ends or not one.is_live

    @invariant()
    def model_and_database_agree(self) -> None:
        """Status, plan, quantity, what is allowed and what is used are the model's."""
        if self.behind:
            return
        self.compare()

    def compare(self) -> None:
        """Compare what the application answers with the model."""
        model, one = self.model, self.model.subscription
        if one is not None:
            rows = {each.stripe_id: each for each in self.billing.subscriptions.list(REFERENCE)}
            ours = rows[self.now_at_stripe["id"]]
            assert (ours.status, ours.plan, ours.seats) == (one.status, one.plan, one.seats)
            if one.is_live:
                assert ours.cancel_at_period_end == one.ends
            assert len(rows) == len(model.ever)
        if one is not None or model.projects or model.messages:
            customer = self.billing.customers.get(REFERENCE)
            assert customer is not None
            balance = self.billing.balances(REFERENCE)["projects"]
            assert (balance.included, balance.used) == (model.limit, model.projects), (balance, model)
        left = model.limit - model.projects
        assert self.billing.check(REFERENCE, "projects", left).allowed
        assert not self.billing.check(REFERENCE, "projects", left + 1).allowed

    def teardown(self) -> None:
        """After a resync everything agrees, and nothing contradicts anything."""
        try:
            self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Close everything, and remove the database."""
        self.billing.close()
        self.account.http.close()
        self.database.drop()

    def _finish(self) -> None:
        self.stripe.delivery.mishaps.clear()
        self.losing = False
        self.settle()
        assert self.billing.sync.all().ok
        if self.billing.customers.get(REFERENCE) is not None:
            assert self.billing.sync.reference(REFERENCE).ok
        self.compare()
        engine = create_engine(self.database.url)
        try:
            tables = coherent(engine, self.stripe)
        finally:
            engine.dispose()
        assert sum(row["quantity"] for row in tables.events if row["feature_key"] == "messages") == self.model.messages
        found = self.billing.doctor()
        assert found.ok, found.findings
        count("convergence: examples of the machine")
