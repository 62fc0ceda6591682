"""Whatever is bought, discounted, given back and disputed, the books agree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernia_billing.testing import SimulatorError
from kernia_billing.testing.simulator.world.world import World
from tests.simulator.shop import Shop

COUPONS: list[dict[str, str]] = [
    {"percent_off": "30", "duration": "forever"},
    {"percent_off": "100", "duration": "once"},
    {"amount_off": "700", "currency": "usd", "duration": "repeating", "duration_in_months": "2"},
]


class Books(RuleBasedStateMachine):
    """Random lives of one customer's money."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop()
        self.customer = self.shop.customer()
        self.price = self.shop.price(1_000)
        self.coupons = [str(self.shop.post("/v1/coupons", coupon)["id"]) for coupon in COUPONS]
        rate = {"display_name": "VAT", "percentage": "19", "inclusive": "false"}
        self.rate = str(self.shop.post("/v1/tax_rates", rate)["id"])

    @property
    def world(self) -> World:
        """The books."""
        return self.shop.stripe.state.world

    @rule(coupon=st.sampled_from([None, 0, 1, 2]), taxed=st.booleans(), quantity=st.integers(1, 3))
    def buy(self, coupon: int | None, taxed: bool, quantity: int) -> None:
        """Subscribe, with a coupon or without."""
        params: dict[str, Any] = {"customer": self.customer, "line_items[0][quantity]": str(quantity)}
        if coupon is not None:
            params["discounts[0][coupon]"] = self.coupons[coupon]
        if taxed:
            params["subscription_data[default_tax_rates][0]"] = self.rate
        self.shop.stripe.pay(self.shop.checkout(self.price, **params)["id"])

    @rule(coupon=st.integers(0, 2))
    def give_coupon(self, coupon: int) -> None:
        """Give the customer a coupon."""
        self.shop.stripe.give_coupon(self.customer, self.coupons[coupon])

    @rule(amount=st.sampled_from([None, 1, 250]))
    def refund(self, amount: int | None) -> None:
        """Give the newest payment back."""
        self._try(lambda: self.shop.stripe.refund(self.customer, amount))

    @rule(won=st.booleans())
    def dispute(self, won: bool) -> None:
        """Dispute the newest payment, to the end."""
        self._try(lambda: self.shop.stripe.close_dispute(self.shop.stripe.dispute(self.customer), won=won))

    @rule(amount=st.integers(1, 1_500), data=st.data())
    def credit(self, amount: int, data: st.DataObject) -> None:
        """Credit an invoice, as far as it goes."""
        ids = sorted(row["id"] for row in self.world.table("invoice") if row["status"] == "paid")
        if ids:
            invoice = data.draw(st.sampled_from(ids))
            params = {"invoice": invoice, "amount": str(amount), "credit_amount": str(amount)}
            self.shop.send("POST", "/v1/credit_notes", params)

    @rule(amount=st.sampled_from([-2_000, -300, -1, 1, 500]))
    def adjust(self, amount: int) -> None:
        """Move the balance by hand."""
        params = {"amount": str(amount), "currency": "usd"}
        self.shop.post(f"/v1/customers/{self.customer}/balance_transactions", params)

    @rule(card=st.sampled_from(["4242424242424242", "4000000000000341"]))
    def change_card(self, card: str) -> None:
        """Pay with another card from now on."""
        self.shop.stripe.use_card(self.customer, card)

    @rule(days=st.sampled_from([1, 31]))
    def wait(self, days: int) -> None:
        """Let time pass."""
        self.shop.stripe.advance(days=days)

    @invariant()
    def invoices_add_up(self) -> None:
        """What is due is the total with the balance and less the credit notes; nothing is left negative."""
        for row in self.world.table("invoice"):
            lines = row["lines"]["data"]
            taken = sum(part["amount"] for part in row["total_discount_amounts"])
            taxes = sum(tax["amount"] for tax in row["total_taxes"] if tax["tax_behavior"] == "exclusive")
            assert sum(line["amount"] for line in lines) - taken + taxes == row["total"]
            before = row["pre_payment_credit_notes_amount"]
            assert max(0, row["total"] + row["starting_balance"]) - before == row["amount_due"]
            assert 0 <= row["amount_due"] - row["amount_paid"] == row["amount_remaining"]
            assert row["post_payment_credit_notes_amount"] + before <= max(0, row["total"])

    @invariant()
    def money_goes_back_once(self) -> None:
        """A charge knows its refunds, and they are no more than it."""
        for row in self.world.table("charge"):
            back = [refund["amount"] for refund in self.world.table("refund") if refund["charge"] == row["id"]]
            assert sum(back) == row["amount_refunded"] <= row["amount"]
            assert (row["amount_refunded"] == row["amount"]) == row["refunded"] or not row["paid"]

    @invariant()
    def the_balance_is_its_entries(self) -> None:
        """The entries of a balance add up to it."""
        entries = self.world.table("customer_balance_transaction")
        balance = self.world.table("customer").get(self.customer)["balance"]
        assert sum(row["amount"] for row in entries) == balance

    @invariant()
    def coupons_count_their_discounts(self) -> None:
        """Each redemption made one discount, and an ended one is on nothing."""
        rows = list(self.world.table("discount"))
        for coupon in self.coupons:
            made = sum(row["source"]["coupon"] == coupon for row in rows)
            assert self.world.table("coupon").get(coupon)["times_redeemed"] == made
        ended = {row["id"] for row in rows if row["_ended"]}
        for row in self.world.table("subscription"):
            assert not ended & set(row["discounts"])
        assert self.world.table("customer").get(self.customer)["discount"] not in ended

    def teardown(self) -> None:
        """Close the client."""
        self.shop.http.close()

    def _try(self, act: Callable[[], object]) -> None:
        with suppress(SimulatorError):  # there is nothing to give back
            act()


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
