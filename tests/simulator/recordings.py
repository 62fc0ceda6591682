"""Sequences of events that others recorded at Stripe, and what was done there to get them.

Where the simulator tells more than a recording has, because the type is younger than it, the endpoint had not asked for
it or the log was cut, the type stands here with a `+`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from kernia_billing.testing.simulator.world.purchase_orders import PurchaseOrder
from tests.simulator.shop import DAY, Shop

CLOCKS = "/v1/test_helpers/test_clocks"
FAILS_LATER = "4000000000000341"


@frozen
class Recording:
    """One sequence."""

    name: str
    told: tuple[str, ...]
    replay: Callable[[Shop], int]
    """Does the same on the simulator; answers how many events came before those of the sequence."""

    def __str__(self) -> str:
        return self.name

    @property
    def types(self) -> list[str]:
        """Everything that the simulator tells, in order."""
        return [type.removeprefix("+") for type in self.told]


def subscribe(shop: Shop) -> int:
    """A new customer brings a card, and a subscription is made without Checkout."""
    price, before = shop.price(), len(shop.stripe.events)
    card = {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2030"}
    method = shop.post("/v1/payment_methods", card)["id"]
    customer = shop.customer(payment_method=method, **{"invoice_settings[default_payment_method]": method})
    shop.post("/v1/subscriptions", {"customer": customer, "items[0][price]": price})
    return before


def check_out(shop: Shop, order: PurchaseOrder, **params: str) -> int:
    """Somebody who is no customer yet pays on the checkout page."""
    shop.stripe.settings.purchase_order = order
    session, before = shop.checkout(**params), len(shop.stripe.events)
    shop.stripe.pay(session["id"])
    return before


def _check_out_with_a_fee(shop: Shop) -> int:
    once = {"line_items[1][price]": shop.price(500, interval=None), "line_items[1][quantity]": "1"}
    return check_out(shop, "2026-04", **once)


def on_clock(shop: Shop, **customer: str) -> tuple[str, dict[str, str]]:
    """A test clock that begins now, and the order of a monthly subscription by a new customer on it."""
    clock = str(shop.post(CLOCKS, {"frozen_time": str(shop.now)})["id"])
    return clock, {"customer": shop.customer(test_clock=clock, **customer), "items[0][price]": shop.price()}


def advance(shop: Shop, clock: str, to: int) -> None:
    """Let the time of a test clock pass up to a second, and wait until it has."""
    shop.post(f"{CLOCKS}/{clock}/advance", {"frozen_time": str(to)})
    assert "ready" == shop.get(f"{CLOCKS}/{clock}")["status"]


def _try_without_a_card(shop: Shop) -> int:
    clock, order = on_clock(shop)
    before = len(shop.stripe.events)
    ending = {"trial_period_days": "14", "trial_settings[end_behavior][missing_payment_method]": "cancel"}
    shop.post("/v1/subscriptions", {**order, **ending})
    advance(shop, clock, shop.now + 14 * DAY)
    return before


def unpaid_renewal(shop: Shop) -> tuple[str, dict[str, Any]]:
    """A test clock, and a subscription on it whose first month is paid, while the card will fail for the next."""
    card = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}
    clock, order = on_clock(shop, **card)
    subscription = shop.post("/v1/subscriptions", order)
    shop.stripe.use_card(subscription["customer"], FAILS_LATER)
    return clock, subscription


def _fail_to_renew(shop: Shop) -> int:
    clock, subscription = unpaid_renewal(shop)
    before = len(shop.stripe.events)
    advance(shop, clock, subscription["items"]["data"][0]["current_period_end"] + 3_600)
    return before


def _change_to_monthly(shop: Shop) -> int:
    """Most of the year is still to come, so that nothing is to be paid, and the rest is left to the customer."""
    subscription, monthly = shop.buy(shop.price(29_000, interval="year")), shop.price(2_900)
    shop.stripe.advance(hours=17)
    before = len(shop.stripe.events)
    item = subscription["items"]["data"][0]["id"]
    change = {"items[0][id]": item, "items[0][price]": monthly, "proration_behavior": "always_invoice"}
    shop.post(f"/v1/subscriptions/{subscription['id']}", change)
    return before


def _cancel(shop: Shop) -> int:
    subscription = shop.buy()
    before = len(shop.stripe.events)
    shop.delete(f"/v1/subscriptions/{subscription['id']}")
    return before


def _refund(shop: Shop) -> int:
    shop.buy()
    charge = shop.get("/v1/charges")["data"][0]["id"]
    before = len(shop.stripe.events)
    shop.post("/v1/refunds", {"charge": charge})
    return before


RECORDINGS = (
    Recording(
        "a subscription without Checkout, 2025-04",
        (
            "payment_method.attached",
            "customer.created",
            "charge.succeeded",
            "customer.updated",
            "customer.subscription.created",
            "payment_intent.succeeded",
            "payment_intent.created",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "+invoice_payment.paid",
        ),
        subscribe,
    ),
    Recording(
        "a purchase by Checkout, 2026-04",
        (
            "+payment_method.attached",
            "customer.created",
            "+charge.succeeded",
            "customer.updated",
            "customer.subscription.created",
            "payment_intent.succeeded",
            "payment_intent.created",
            "checkout.session.completed",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "+invoice_payment.paid",
            "invoiceitem.created",
        ),
        _check_out_with_a_fee,
    ),
    Recording(
        "a purchase by Checkout, 2025-09",
        (
            "charge.succeeded",
            "payment_method.attached",
            "customer.created",
            "customer.updated",
            "checkout.session.completed",
            "customer.subscription.created",
            "payment_intent.created",
            "payment_intent.succeeded",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "invoice_payment.paid",
        ),
        lambda shop: check_out(shop, "2025-09"),
    ),
    Recording(
        "the end of a purchase by Checkout, 2023-11",
        (
            "+payment_method.attached",
            "+customer.created",
            "+charge.succeeded",
            "+customer.updated",
            "+customer.subscription.created",
            "+payment_intent.succeeded",
            "+payment_intent.created",
            "+invoice.created",
            "+invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "+invoice_payment.paid",
            "checkout.session.completed",
        ),
        lambda shop: check_out(shop, "2023-11"),
    ),
    Recording(
        "the end of a trial without a card, on a test clock, 2026-08",
        (
            "+customer.updated",
            "customer.subscription.created",
            "+invoice.created",
            "+invoice.finalized",
            "+invoice.paid",
            "+invoice.payment_succeeded",
            "+test_helpers.test_clock.advancing",
            "+invoice.upcoming",
            "customer.subscription.trial_will_end",
            "customer.subscription.deleted",
            "+test_helpers.test_clock.ready",
        ),
        _try_without_a_card,
    ),
    Recording(
        "a renewal that fails, on a test clock",
        (
            "+test_helpers.test_clock.advancing",
            "+invoice.upcoming",
            "invoice.created",
            "+customer.subscription.updated",
            "invoice.finalized",
            "+payment_intent.created",
            "charge.failed",
            "payment_intent.payment_failed",
            "invoice.payment_failed",
            "customer.subscription.updated",
            "+customer.updated",
            "+test_helpers.test_clock.ready",
        ),
        _fail_to_renew,
    ),
    Recording(
        "a price by the year changed to one by the month, 2022-05",
        (
            "customer.updated",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "customer.subscription.updated",
            "invoiceitem.created",
        ),
        _change_to_monthly,
    ),
    Recording("a cancellation at once, 2022-05", ("customer.subscription.deleted",), _cancel),
    Recording(
        "a refund, 2025-05",
        ("refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"),
        _refund,
    ),
)
