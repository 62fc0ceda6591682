"""Whatever people, merchants and time do, Stripe's own rules hold; and every object passes the oracle on the way."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import httpx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernia_billing.testing import CardDeclined
from tests.simulator.shop import Shop

CARDS = st.sampled_from(
    ["4242424242424242", "4000000000000002", "4000000000000341", "4000002500003155", "4000002760003184"]
)
PRORATION = st.sampled_from(["create_prorations", "always_invoice", "none"])
PAYMENT = st.sampled_from(["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"])
TERMINAL: dict[str, set[str]] = {
    "subscription": {"canceled", "incomplete_expired"},
    "invoice": {"paid", "void"},
    "checkout.session": {"complete", "expired"},
    "payment_intent": {"succeeded", "canceled"},
    "subscription_schedule": {"canceled", "completed", "released"},
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
            self._try("POST", path, {"cancel_at_period_end": "true"})
            if undo:
                self._try("POST", path, {"cancel_at_period_end": "false"})

    @precondition(lambda self: self._live())
    @rule(data=st.data(), what=st.integers(0, 3), quantity=st.integers(0, 5), behavior=PRORATION, payment=PAYMENT)
    def change(self, data: st.DataObject, what: int, quantity: int, behavior: str, payment: str) -> None:
        """Sell another price or quantity, or one price more."""
        chosen = data.draw(st.sampled_from(self._live()))
        item = data.draw(st.sampled_from([*chosen["_items"], None]))
        params = {"items[0][price]": self.prices[what], "proration_behavior": behavior, "payment_behavior": payment}
        if item is not None:
            params["items[0][id]"] = item
        if what != 3:
            params["items[0][quantity]"] = str(quantity)
        self._try("POST", f"/v1/subscriptions/{chosen['id']}", params)

    @precondition(lambda self: self._live())
    @rule(
        data=st.data(),
        params=st.sampled_from(
            [
                {"billing_cycle_anchor[type]": "now"},
                {"trial_end": "now"},
                {"trial_end": "later"},
                {"collection_method": "send_invoice", "days_until_due": "5"},
                {"collection_method": "charge_automatically"},
                {"pause_collection[behavior]": "void"},
                {"pause_collection[behavior]": "keep_as_draft", "pause_collection[resumes_at]": "later"},
                {"pause_collection": ""},
                {"cancel_at": "later"},
            ]
        ),
    )
    def settle(self, data: st.DataObject, params: dict[str, str]) -> None:
        """Change the anchor, the trial, the collection or the end."""
        chosen = data.draw(st.sampled_from(self._live()))
        later = str(self.shop.now + 10 * 86_400)
        given = {name: later if value == "later" else value for name, value in params.items()}
        self._try("POST", f"/v1/subscriptions/{chosen['id']}", given)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), action=st.sampled_from(["pause", "resume"]), more=st.booleans())
    def pause(self, data: st.DataObject, action: str, more: bool) -> None:
        """Pause or resume a whole subscription."""
        chosen = data.draw(st.sampled_from(self._live()))
        extra = {
            "pause": {"invoicing_behavior": "invoice"},
            "resume": {"payment_behavior": "resume_on_payment_success"},
        }
        self._try("POST", f"/v1/subscriptions/{chosen['id']}/{action}", extra[action] if more else {})

    @precondition(lambda self: self._live())
    @rule(data=st.data(), what=st.integers(0, 2), behavior=PRORATION, ends=st.booleans())
    def schedule(self, data: st.DataObject, what: int, behavior: str, ends: bool) -> None:
        """Plan another price for the end of the period, or let a schedule go."""
        chosen = data.draw(st.sampled_from(self._live()))
        if chosen["schedule"] is not None:
            self._try("POST", f"/v1/subscription_schedules/{chosen['schedule']}/release")
            return
        answer = self._try("POST", "/v1/subscription_schedules", {"from_subscription": chosen["id"]})
        if answer.status_code != 200:
            return
        made = answer.json()
        (phase,) = made["phases"]
        params = {
            "phases[0][start_date]": phase["start_date"],
            "phases[0][end_date]": phase["end_date"],
            "phases[1][items][0][price]": self.prices[what],
            "phases[1][duration][interval]": "month",
            "phases[1][proration_behavior]": behavior,
            "end_behavior": "cancel" if ends else "release",
        }
        for index, item in enumerate(phase["items"]):
            params[f"phases[0][items][{index}][price]"] = item["price"]
            if "quantity" in item:
                params[f"phases[0][items][{index}][quantity]"] = item["quantity"]
        self._try("POST", f"/v1/subscription_schedules/{made['id']}", {k: str(v) for k, v in params.items()})

    @rule(who=st.integers(0, 1), amount=st.integers(-500, 500), invoice=st.booleans())
    def bill_by_hand(self, who: int, amount: int, invoice: bool) -> None:
        """Add an invoice item, and perhaps invoice what waits."""
        customer = self.customers[who]
        self._try("POST", "/v1/invoiceitems", {"customer": customer, "amount": str(amount), "currency": "usd"})
        if invoice:
            params = {"customer": customer, "currency": "usd", "pending_invoice_items_behavior": "include"}
            self._try("POST", "/v1/invoices", {**params, "auto_advance": "true"})

    @precondition(lambda self: self._rows("invoice"))
    @rule(data=st.data(), action=st.sampled_from(["finalize", "pay", "void", "mark_uncollectible", "send"]))
    def act(self, data: st.DataObject, action: str) -> None:
        """Do something to an invoice by hand."""
        chosen = data.draw(st.sampled_from(self._rows("invoice")))
        self._try("POST", f"/v1/invoices/{chosen['id']}/{action}")

    @precondition(lambda self: self._live())
    @rule(data=st.data(), what=st.integers(0, 2))
    def preview(self, data: st.DataObject, what: int) -> None:
        """Look at what would be billed, which changes nothing at all."""
        chosen = data.draw(st.sampled_from(self._live()))
        self.shop.stripe.advance()  # what is due this second happens first
        tables = self.shop.stripe.state.world.tables
        before = {kind: deepcopy(table.rows) for kind, table in tables.items()}
        due = self.shop.stripe.state.world.agenda.next_at()
        params = {"subscription": chosen["id"]}
        if what:
            params["subscription_details[items][0][price]"] = self.prices[what]
        self._try("POST", "/v1/invoices/create_preview", params)
        assert before == {kind: table.rows for kind, table in tables.items()}
        assert due == self.shop.stripe.state.world.agenda.next_at()

    @invariant()
    def money_adds_up(self) -> None:
        """What is paid never exceeds what is due, remaining is the difference, and paid means nothing remains."""
        for invoice in self._rows("invoice"):
            assert 0 <= invoice["amount_paid"] <= invoice["amount_due"]
            assert invoice["amount_due"] == max(0, invoice["total"] + invoice["starting_balance"])
            assert invoice["amount_remaining"] == invoice["amount_due"] - invoice["amount_paid"]
            assert (invoice["status"] == "paid") is (invoice["status_transitions"]["paid_at"] is not None)
            assert invoice["total"] == sum(line["amount"] for line in invoice["lines"]["data"])
            assert all(line["invoice"] == invoice["id"] for line in invoice["lines"]["data"])

    @invariant()
    def every_item_is_billed_once(self) -> None:
        """An invoice item waits, or stands on exactly the one invoice that it names."""
        on: dict[str, list[str]] = {}
        for invoice in self._rows("invoice"):
            for line in invoice["lines"]["data"]:
                details = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
                if details["invoice_item"] is not None:
                    on.setdefault(details["invoice_item"], []).append(invoice["id"])
        for row in self._rows("invoiceitem"):
            assert on.get(row["id"], []) == ([row["invoice"]] if row["invoice"] else [])

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
                cycles = [i for i in drafts if i["billing_reason"] == "subscription_cycle" and i["status"] == "draft"]
                assert len({i["period_end"] for i in cycles}) == len(cycles)
            assert (row["status"] == "paused") is (row["status_details"] is not None)
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
        kinds = ("subscription", "checkout.session", "subscription_schedule")
        for row in (row for kind in kinds for row in self._rows(kind)):
            if row["id"] in known:
                assert known[row["id"]]["status"] == world.render(row)["status"]

    def _try(self, method: str, path: str, params: dict[str, str] | None = None) -> httpx.Response:
        """Send what may be refused for a reason; the simulator itself never fails."""
        response = self.shop.send(method, path, params)
        assert response.status_code in (200, 400, 402, 404), response.text
        return response

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
