"""Checkout: what paying, being declined and running out do, and in which order Stripe tells of it."""

from __future__ import annotations

import pytest

from kernia_billing.testing import CardDeclined, SimulatorError
from tests.simulator.shop import DAY, Shop, at

AFTER_PAYING = [
    "payment_method.attached",
    "charge.succeeded",
    "customer.updated",
    "customer.subscription.created",
    "payment_intent.succeeded",
    "payment_intent.created",
    "checkout.session.completed",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
]


def test_opening_makes_a_session_only(shop: Shop) -> None:
    """Before it is paid a session has a page, and neither subscription nor invoice; nothing is told."""
    customer, price = shop.customer(), shop.price()
    before = len(shop.stripe.events)

    session = shop.checkout(price, customer=customer, client_reference_id="org_1", **{"metadata[plan]": "pro"})

    assert ("open", "unpaid", "subscription") == (session["status"], session["payment_status"], session["mode"])
    assert session["url"].endswith(f"/c/pay/{session['id']}")
    assert (None, None, customer) == (session["subscription"], session["invoice"], session["customer"])
    assert shop.now + DAY == session["expires_at"]
    assert {"plan": "pro"} == session["metadata"]
    assert before == len(shop.stripe.events)
    assert not shop.get("/v1/subscriptions")["data"]


def test_paying_completes_everything_at_once(shop: Shop) -> None:
    """A paid session has an active subscription with a paid invoice over the period that begins now."""
    customer = shop.customer()
    price = shop.price(1_250)
    session = shop.checkout(
        price,
        customer=customer,
        **{"line_items[0][quantity]": "3", "subscription_data[metadata][org]": "org_1"},
    )
    shop.stripe.pay(session["id"])

    session = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "subscription.latest_invoice"})
    subscription, invoice = session["subscription"], session["subscription"]["latest_invoice"]
    item = subscription["items"]["data"][0]
    assert ("complete", "paid", None) == (session["status"], session["payment_status"], session["url"])
    assert ("active", {"org": "org_1"}, "flexible") == (
        subscription["status"],
        subscription["metadata"],
        subscription["billing_mode"]["type"],
    )
    assert (at(2026, 1, 15, 12), at(2026, 2, 15, 12)) == (item["current_period_start"], item["current_period_end"])
    assert (price, 3) == (item["price"]["id"], item["quantity"])
    assert "current_period_end" not in subscription
    assert ("paid", 3_750, 3_750, 0) == (
        invoice["status"],
        invoice["amount_due"],
        invoice["amount_paid"],
        invoice["amount_remaining"],
    )
    assert "subscription_create" == invoice["billing_reason"]
    assert subscription["id"] == invoice["parent"]["subscription_details"]["subscription"]
    assert price == invoice["lines"]["data"][0]["pricing"]["price_details"]["price"]


def test_events_come_in_the_order_seen_in_real_logs(shop: Shop) -> None:
    """Payment before its creation, the completed session before the invoice, the subscription before both."""
    session = shop.checkout(customer=shop.customer())
    before = len(shop.stripe.events)

    shop.stripe.pay(session["id"])

    assert AFTER_PAYING == shop.types(before)
    assert all(event["request"]["id"] is None for event in shop.stripe.events[before:])


def test_events_hold_the_object_as_it_was(shop: Shop) -> None:
    """Each event has the object at its own moment: a draft, then open, then paid."""
    shop.buy()
    states = {
        event["type"]: event["data"]["object"]["status"]
        for event in shop.stripe.events
        if event["type"].startswith("invoice.")
    }

    assert {
        "invoice.created": "draft",
        "invoice.finalized": "open",
        "invoice.paid": "paid",
        "invoice.payment_succeeded": "paid",
    } == states


def test_a_customer_is_made_when_none_was_given(shop: Shop) -> None:
    """Without a customer the page asks for an address and makes one; the given address wins."""
    session = shop.checkout(customer_email="new@example.com")

    shop.stripe.pay(session["id"])

    session = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "customer"})
    assert "new@example.com" == session["customer"]["email"] == session["customer_details"]["email"]
    assert ["payment_method.attached", "customer.created"] == shop.types()[-13:-11]


@pytest.mark.parametrize(
    ("card", "decline_code"), [("4000000000000002", "generic_decline"), ("4000000000009995", "insufficient_funds")]
)
def test_a_declined_card_leaves_the_session_open(shop: Shop, card: str, decline_code: str) -> None:
    """The attempt is on record as a failed payment, and another card completes the same session."""
    session = shop.checkout(customer=shop.customer())
    before = len(shop.stripe.events)

    with pytest.raises(CardDeclined) as declined:
        shop.stripe.pay(session["id"], card=card)

    assert ("card_declined", decline_code) == (declined.value.code, declined.value.decline_code)
    assert ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"] == sorted(
        shop.types(before), key=["payment_intent.created", "charge.failed", "payment_intent.payment_failed"].index
    )
    assert session == shop.get(f"/v1/checkout/sessions/{session['id']}")
    assert not shop.get("/v1/subscriptions")["data"]
    shop.stripe.pay(session["id"])
    assert 1 == shop.types().count("payment_intent.created")
    assert 1 == len(shop.get("/v1/subscriptions", {"status": "active"})["data"])


def test_decline_is_short_for_the_declined_card(shop: Shop) -> None:
    """`decline` always raises."""
    session = shop.checkout()

    with pytest.raises(CardDeclined):
        shop.stripe.decline(session["url"])


@pytest.mark.parametrize("passes", [True, False])
def test_three_d_secure_passes_or_fails(shop: Shop, passes: bool) -> None:
    """A card that asks for authentication works when the person passes it."""
    shop.stripe.settings.authenticate = passes
    session = shop.checkout()

    if passes:
        shop.stripe.pay(session["id"], card="4000 0025 0000 3155")
    else:
        with pytest.raises(CardDeclined, match="authenticate"):
            shop.stripe.pay(session["id"], card="4000 0025 0000 3155")

    assert ("complete" if passes else "open") == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]


@pytest.mark.parametrize("by", ["api", "person", "time"])
def test_sessions_run_out(shop: Shop, by: str) -> None:
    """By the API, by the person who leaves, or by time: the session is expired, told once, and cannot be paid."""
    session = shop.checkout()
    if by == "api":
        shop.post(f"/v1/checkout/sessions/{session['id']}/expire")
    elif by == "person":
        shop.stripe.expire(session["id"])
    else:
        shop.stripe.advance(hours=23)
        assert "open" == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]
        shop.stripe.advance(hours=1)

    expired = shop.get(f"/v1/checkout/sessions/{session['id']}")
    assert ("expired", None) == (expired["status"], expired["url"])
    assert 1 == shop.types().count("checkout.session.expired")
    with pytest.raises(SimulatorError, match="expired"):
        shop.stripe.pay(session["id"])
    with pytest.raises(SimulatorError, match="expired"):
        shop.stripe.expire(session["id"])
    assert "expired" in shop.refused("POST", f"/v1/checkout/sessions/{session['id']}/expire").message


def test_paid_sessions_never_expire(shop: Shop) -> None:
    """Complete is terminal: it is not paid twice and does not run out."""
    session = shop.checkout()
    shop.stripe.pay(session["id"])
    shop.stripe.advance(days=2)

    assert "complete" == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]
    assert "complete" in shop.refused("POST", f"/v1/checkout/sessions/{session['id']}/expire").message
    with pytest.raises(SimulatorError, match="complete"):
        shop.stripe.pay(session["id"])


def test_a_trial_starts_free(shop: Shop) -> None:
    """A trial costs nothing today: the card is saved, a zero invoice is paid, the period is the trial."""
    customer = shop.customer()
    session = shop.checkout(customer=customer, **{"subscription_data[trial_period_days]": "14"})
    assert 0 == session["amount_total"]
    before = len(shop.stripe.events)

    shop.stripe.pay(session["id"])

    session = shop.get(f"/v1/checkout/sessions/{session['id']}", {"expand[0]": "subscription.latest_invoice.payments"})
    subscription, invoice = session["subscription"], session["subscription"]["latest_invoice"]
    assert ("no_payment_required", "trialing") == (session["payment_status"], subscription["status"])
    assert shop.now + 14 * DAY == subscription["trial_end"] == subscription["billing_cycle_anchor"]
    assert subscription["trial_end"] == subscription["items"]["data"][0]["current_period_end"]
    assert ("paid", 0, []) == (invoice["status"], invoice["amount_due"], invoice["payments"]["data"])
    assert [
        "payment_method.attached",
        "setup_intent.succeeded",
        "customer.updated",
        "customer.subscription.created",
        "checkout.session.completed",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ] == shop.types(before)


def test_a_free_trial_without_a_card(shop: Shop) -> None:
    """With `payment_method_collection=if_required` and nothing due, no card is asked for, not even a bad one."""
    subscription = shop.buy(
        card="4000000000000002",
        payment_method_collection="if_required",
        **{"subscription_data[trial_period_days]": "7"},
    )

    assert ("trialing", None) == (subscription["status"], subscription["default_payment_method"])


def test_metered_prices_are_billed_later(shop: Shop) -> None:
    """A metered line costs nothing at the start and has no quantity."""
    metered = shop.price(3, metered=True)
    subscription = shop.buy(shop.price(1_000), **{"line_items[1][price]": metered})

    items = subscription["items"]["data"]
    invoice = shop.get(f"/v1/invoices/{subscription['latest_invoice']}")
    assert [True, False] == ["quantity" in item for item in items]
    assert (1_000, 2) == (invoice["total"], len(invoice["lines"]["data"]))


def test_a_checkout_is_named_in_three_ways(shop: Shop) -> None:
    """By its id, its URL, or an answer that has a `session_id`; anything else is a mistake."""

    class Opened:
        session_id = shop.checkout()["id"]

    shop.stripe.pay(Opened())
    shop.stripe.pay(shop.checkout()["url"])
    shop.stripe.pay(shop.checkout()["id"])

    assert 3 == len(shop.get("/v1/subscriptions")["data"])
    for wrong in ("https://shop.example", "cs_test_none", object(), None):
        with pytest.raises(SimulatorError, match="not a checkout"):
            shop.stripe.pay(wrong)


def test_requests_are_named_in_their_events(shop: Shop) -> None:
    """An event that an API call caused names the request and its idempotency key."""
    shop.post("/v1/customers", {"email": "a@b.c"}, key="my key")

    request = shop.stripe.events[-1]["request"]
    assert ("my key", shop.stripe.requests[-1].request_id) == (request["idempotency_key"], request["id"])


def test_prices_of_a_configuration_exist(shop: Shop) -> None:
    """`ensure_price` makes up an amount quietly; `add_price` replaces it once, a real price never changes."""
    shop.stripe.ensure_price("price_pro")
    shop.stripe.ensure_price("price_pro_y", interval="year")
    shop.stripe.ensure_price("price_pro")

    assert not shop.stripe.events
    amounts = [shop.get(f"/v1/prices/{id}")["unit_amount"] for id in ("price_pro", "price_pro_y")]
    assert [1_000, 10_000] == amounts
    shop.stripe.add_price("price_pro", 4_900, "EUR")
    assert ("eur", 4_900) == tuple(shop.get("/v1/prices/price_pro")[name] for name in ("currency", "unit_amount"))
    with pytest.raises(SimulatorError, match="exists already"):
        shop.stripe.add_price("price_pro", 1)
