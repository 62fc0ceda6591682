"""Whatever people, merchants and time do, Stripe's own rules hold; and every object passes the oracle on the way."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernia_billing.testing import CardDeclined
from tests.simulator.shop import Shop

CARDS = st.sampled_from(["4242424242424242", "4000000000000002", "4000000000000341", "4000002500003155"])
TERMINAL: dict[str, set[str]] = {
    "subscription": {"canceled", "incomplete_expired"},
    "invoice": {"paid", "void"},
    "checkout.session": {"complete", "expired"},
    "payment_intent": {"succeeded", "canceled"},
}


class Life(RuleBasedStateMachine):
    """Random lives of customers."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.prices = [
            self.shop.price(1_000),
            self.shop.price(12_000, interval="year"),
            self.shop.price(0),
            self.shop.price(7, metered=True),
        ]
        self.customers = [self.shop.customer() for _ in range(2)]
        self.ended: dict[str, str] = {}
        self.events = 0

    @rule(card=CARDS, who=st.integers(0, 1), what=st.integers(0, 3), trial=st.sampled_from([None, 2, 30]))
    def buy(self, card: str, who: int, what: int, trial: int | None) -> None:
        """Open a checkout and try to pay it."""
        params: dict[str, Any] = {"customer": self.customers[who]}
        if what == 3:
            params["line_items[0][quantity]"] = None
        if trial is not None:
            params["subscription_data[trial_period_days]"] = str(trial)
        session = self.shop.checkout(self.prices[what], **params)
        try:
            self.shop.stripe.pay(session["id"], card=card)
        except CardDeclined:
            assert "open" == self.shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]

    @rule(card=CARDS, who=st.integers(0, 1))
    def change_card(self, card: str, who: int) -> None:
        """Pay with another card from now on."""
        self.shop.stripe.use_card(self.customers[who], card)

    @rule(who=st.integers(0, 1))
    def collect(self, who: int) -> None:
        """Try the open invoices."""
        self.shop.stripe.collect(self.customers[who])

    @rule(months=st.integers(0, 2), days=st.integers(0, 20), hours=st.integers(0, 30))
    def wait(self, months: int, days: int, hours: int) -> None:
        """Let time pass."""
        self.shop.stripe.advance(months=months, days=days, hours=hours)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), undo=st.booleans())
    def cancel(self, data: st.DataObject, undo: bool) -> None:
        """Cancel now, or at the end of the period, perhaps taken back."""
        chosen = data.draw(st.sampled_from(self._live()))
        path = f"/v1/subscriptions/{chosen['id']}"
        if data.draw(st.booleans()):
            self.shop.delete(path)
        elif chosen["status"] != "incomplete":
            self.shop.post(path, {"cancel_at_period_end": "true"})
            if undo:
                self.shop.post(path, {"cancel_at_period_end": "false"})

    @invariant()
    def money_adds_up(self) -> None:
        """What is paid never exceeds what is due, remaining is the difference, and paid means nothing remains."""
        for invoice in self._rows("invoice"):
            assert 0 <= invoice["amount_paid"] <= invoice["amount_due"] == invoice["total"]
            assert invoice["amount_remaining"] == invoice["amount_due"] - invoice["amount_paid"]
            assert (invoice["status"] == "paid") is (invoice["status_transitions"]["paid_at"] is not None)
            assert invoice["total"] == sum(line["amount"] for line in invoice["lines"]["data"])

    @invariant()
    def ends_are_final(self) -> None:
        """An object in a final state stays in it."""
        for kind, final in TERMINAL.items():
            for row in self._rows(kind):
                assert row["status"] == self.ended.get(row["id"], row["status"])
                if row["status"] in final:
                    self.ended[row["id"]] = row["status"]

    @invariant()
    def live_subscriptions_are_within_their_period(self) -> None:
        """A subscription that lives has a period that holds the present, and one draft at most."""
        for row in self._rows("subscription"):
            if row["status"] in ("active", "trialing", "past_due", "unpaid"):
                items = [self.shop.stripe.state.world.find(id) for id in row["_items"]]
                assert all(item["current_period_start"] <= self.shop.now < item["current_period_end"] for item in items)
                drafts = [i for i in self._rows("invoice") if i["_subscription"] == row["id"] and i["auto_advance"]]
                assert len([i for i in drafts if i["status"] == "draft"]) <= 1
            if row["status"] in TERMINAL["subscription"]:
                assert row["ended_at"] is not None

    @invariant()
    def events_go_forward(self) -> None:
        """Events are only added, each with an id of its own, never earlier than the one before."""
        events = self.shop.stripe.events
        assert len(events) >= self.events
        self.events = len(events)
        assert len({event["id"] for event in events}) == len(events)
        times = [event["created"] for event in events]
        assert times == sorted(times)

    @invariant()
    def the_last_event_tells_the_state(self) -> None:
        """Who reads the events to their end knows every subscription and invoice as it is."""
        known = {e["data"]["object"].get("id"): e["data"]["object"] for e in self.shop.stripe.events}
        world = self.shop.stripe.state.world
        for row in (*self._rows("subscription"), *self._rows("checkout.session")):
            if row["id"] in known:
                assert known[row["id"]]["status"] == world.render(row)["status"]

    def _rows(self, kind: str) -> list[dict[str, Any]]:
        return list(self.shop.stripe.state.world.table(kind))

    def _live(self) -> list[dict[str, Any]]:
        return [row for row in self._rows("subscription") if row["status"] not in TERMINAL["subscription"]]

    def teardown(self) -> None:
        """Close the client; the requests of the whole life were those of a correct client."""
        assert not self.shop.stripe.violations
        self.shop.http.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
