"""Money after it was paid: refunds, credit notes, disputes, and the balance of a customer."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.testing import AsyncStripeSimulator, SimulatorError
from tests.simulator.shop import Shop

REFUND_ORDER = ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
"""Seen in a real log of 2025."""


def _paid(shop: Shop, amount: int = 2_000, **params: Any) -> dict[str, Any]:
    """A paid invoice, its payment intent beside it."""
    subscription = shop.buy(shop.price(amount), **params)
    invoice = shop.get(f"/v1/invoices/{subscription['latest_invoice']}", {"expand[0]": "payments"})
    return {**invoice, "pi": invoice["payments"]["data"][0]["payment"]["payment_intent"]}


def _charge(shop: Shop, invoice: dict[str, Any]) -> dict[str, Any]:
    return dict(shop.get("/v1/charges", {"payment_intent": invoice["pi"]})["data"][0])


def _open(shop: Shop, amount: int = 2_000) -> dict[str, Any]:
    """An open invoice of a subscription that could not be paid."""
    customer = shop.customer(payment_method="pm_card_chargeCustomerFail")
    method = shop.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["id"]
    params = {"customer": customer, "items[0][price]": shop.price(amount), "default_payment_method": method}
    subscription = shop.post("/v1/subscriptions", params)
    return shop.get(f"/v1/invoices/{subscription['latest_invoice']}")


def test_a_refund_is_told_in_the_order_of_real_logs(shop: Shop) -> None:
    """The refund, the charge, then the bank's reference twice; nothing happens to subscription and invoice."""
    invoice = _paid(shop)
    before = len(shop.stripe.events)

    refund = shop.post("/v1/refunds", {"payment_intent": invoice["pi"], "reason": "requested_by_customer"})

    assert REFUND_ORDER == shop.types(before)
    assert ("succeeded", 2_000, "requested_by_customer") == (refund["status"], refund["amount"], refund["reason"])
    charge = _charge(shop, invoice)
    assert (True, 2_000, True) == (charge["refunded"], charge["amount_refunded"], charge["paid"])
    assert "available" == refund["destination_details"]["card"]["reference_status"]
    assert {"amount_refunded": 0, "refunded": False} == shop.stripe.events[before + 1]["data"]["previous_attributes"]
    assert "paid" == shop.get(f"/v1/invoices/{invoice['id']}")["status"]
    assert "active" == shop.subscription(invoice["parent"]["subscription_details"]["subscription"])["status"]


def test_partial_refunds_add_up(shop: Shop) -> None:
    """A charge is refunded once its parts come to the whole, and no more can go back."""
    charge = _charge(shop, _paid(shop))["id"]
    first = shop.post("/v1/refunds", {"charge": charge, "amount": "1500", "metadata[why]": "late"})
    assert not shop.get(f"/v1/charges/{charge}")["refunded"]
    too_much = shop.refused("POST", "/v1/refunds", {"charge": charge, "amount": "501"})
    second = shop.post("/v1/refunds", {"charge": charge})

    assert ("amount", 500) == (too_much.param, second["amount"])
    whole = shop.get(f"/v1/charges/{charge}", {"expand[0]": "refunds"})
    assert (True, [500, 1_500]) == (whole["refunded"], [row["amount"] for row in whole["refunds"]["data"]])
    assert "charge_already_refunded" == shop.refused("POST", "/v1/refunds", {"charge": charge}).code
    assert [second["id"], first["id"]] == [row["id"] for row in shop.get("/v1/refunds", {"charge": charge})["data"]]
    changed = shop.post(f"/v1/refunds/{first['id']}", {"metadata[why]": ""})
    assert ({}, changed) == (changed["metadata"], shop.get(f"/v1/refunds/{first['id']}"))


def test_refunds_name_one_payment_that_went_through(shop: Shop) -> None:
    """Neither none nor both, and not a failed payment."""
    invoice = _open(shop)
    payments = shop.get("/v1/invoice_payments", {"invoice": invoice["id"]})["data"]
    intent = payments[0]["payment"]["payment_intent"]
    failed = shop.get("/v1/charges", {"payment_intent": intent})["data"][0]["id"]

    assert 400 == shop.refused("POST", "/v1/refunds").status
    assert 400 == shop.refused("POST", "/v1/refunds", {"charge": failed, "payment_intent": intent}).status
    assert "payment_intent" == shop.refused("POST", "/v1/refunds", {"payment_intent": intent}).param
    assert "charge" == shop.refused("POST", "/v1/refunds", {"charge": failed}).param
    assert not shop.get("/v1/refunds")["data"]


def test_payments_lead_to_their_invoice(shop: Shop) -> None:
    """The payment of an intent names its invoice, and the other way round."""
    invoice, _ = _paid(shop), _paid(shop)
    params = {"payment[type]": "payment_intent", "payment[payment_intent]": invoice["pi"]}

    (found,) = shop.get("/v1/invoice_payments", {**params, "expand[0]": "data.invoice"})["data"]

    assert (invoice["id"], "paid", True) == (found["invoice"]["id"], found["status"], found["is_default"])
    assert [found["id"]] == [row["id"] for row in shop.get("/v1/invoice_payments", {"invoice": invoice["id"]})["data"]]
    assert found["id"] == shop.get(f"/v1/invoice_payments/{found['id']}")["id"]
    assert not shop.get("/v1/invoice_payments", {"status": "open"})["data"]
    for params in ({"invoice": "in_0"}, {"payment[type]": "payment_intent", "payment[payment_intent]": "pi_0"}):
        assert "resource_missing" == shop.refused("GET", "/v1/invoice_payments", params).code
    typed = shop.refused("GET", "/v1/invoice_payments", {"payment[type]": "payment_intent"})
    assert "payment[payment_intent]" == typed.param


def test_a_note_on_an_open_invoice_leaves_less_to_pay(shop: Shop) -> None:
    """Amount due, payment and intent go down together; voiding the note puts them back."""
    invoice = _open(shop)
    preview = shop.get("/v1/credit_notes/preview", {"invoice": invoice["id"], "amount": "500"})
    note = shop.post("/v1/credit_notes", {"invoice": invoice["id"], "amount": "500", "reason": "order_change"})

    assert (500, 0, "pre_payment") == (note["pre_payment_amount"], note["post_payment_amount"], note["type"])
    assert (500, "issued") == (preview["total"], preview["status"])
    after = shop.get(f"/v1/invoices/{invoice['id']}")
    assert (1_500, 1_500, 500) == (
        after["amount_due"],
        after["amount_remaining"],
        after["pre_payment_credit_notes_amount"],
    )
    (payment,) = shop.get("/v1/invoice_payments", {"invoice": invoice["id"]})["data"]
    intent = shop.get(f"/v1/payment_intents/{payment['payment']['payment_intent']}")
    assert (1_500, 1_500) == (payment["amount_requested"], intent["amount"])

    voided = shop.post(f"/v1/credit_notes/{note['id']}/void")

    assert ("void", shop.now) == (voided["status"], voided["voided_at"])
    assert 2_000 == shop.get(f"/v1/invoices/{invoice['id']}")["amount_due"]
    assert ["credit_note.created", "credit_note.voided"] == [t for t in shop.types() if t.startswith("credit_note.")]
    assert 400 == shop.refused("POST", f"/v1/credit_notes/{note['id']}/void").status


def test_a_note_for_everything_settles_an_open_invoice(shop: Shop) -> None:
    """Nothing is left to pay: the invoice is paid, its payment is cancelled, the subscription lives."""
    invoice = _open(shop)

    shop.post("/v1/credit_notes", {"invoice": invoice["id"], "amount": "2000"})

    after = shop.get(f"/v1/invoices/{invoice['id']}")
    assert ("paid", 0, 0) == (after["status"], after["amount_due"], after["amount_remaining"])
    assert "canceled" == shop.get("/v1/invoice_payments", {"invoice": invoice["id"]})["data"][0]["status"]
    assert "active" == shop.subscription(after["parent"]["subscription_details"]["subscription"])["status"]


def test_a_note_on_a_paid_invoice_gives_back(shop: Shop) -> None:
    """Part by refund, part as credit of the customer, part outside of Stripe; together the whole note."""
    invoice = _paid(shop)
    params = {
        "invoice": invoice["id"],
        "lines[0][type]": "invoice_line_item",
        "lines[0][invoice_line_item]": invoice["lines"]["data"][0]["id"],
        "lines[0][amount]": "900",
        "refund_amount": "500",
        "credit_amount": "300",
        "out_of_band_amount": "100",
    }
    before = len(shop.stripe.events)

    note = shop.post("/v1/credit_notes", {**params, "expand[0]": "customer_balance_transaction"})

    assert (900, 0, 900, "post_payment") == (
        note["total"],
        note["pre_payment_amount"],
        note["post_payment_amount"],
        note["type"],
    )
    assert [500] == [row["amount_refunded"] for row in note["refunds"]]
    assert (-300, "credit_note") == (
        note["customer_balance_transaction"]["amount"],
        note["customer_balance_transaction"]["type"],
    )
    assert [*REFUND_ORDER, "customer.updated", "credit_note.created", "invoice.updated"] == shop.types(before)
    assert 900 == shop.get(f"/v1/invoices/{invoice['id']}")["post_payment_credit_notes_amount"]
    assert -300 == shop.get(f"/v1/customers/{invoice['customer']}")["balance"]
    assert [note["id"]] == [row["id"] for row in shop.get("/v1/credit_notes", {"invoice": invoice["id"]})["data"]]
    assert 1 == len(shop.get(f"/v1/credit_notes/{note['id']}/lines")["data"])
    assert "sorry" == shop.post(f"/v1/credit_notes/{note['id']}", {"memo": "sorry"})["memo"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "amount"),
        ({"amount": "2001", "credit_amount": "2001"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "500"}, "refund_amount"),
        ({"amount": "500", "credit_amount": "400"}, "refund_amount"),
        ({"amount": "500", "lines[0][type]": "custom_line_item"}, "amount"),
        ({"lines[0][type]": "custom_line_item", "lines[0][unit_amount]": "5"}, "lines[0][description]"),
        ({"lines[0][type]": "invoice_line_item", "lines[0][amount]": "5"}, "lines[0][invoice_line_item]"),
        ({"amount": "5", "refunds[0][refund]": "re_none"}, "refunds[0][refund]"),
    ],
)
def test_bad_notes_are_refused(shop: Shop, params: dict[str, str], param: str) -> None:
    """A note that does not add up is refused, and no money moves."""
    invoice = _paid(shop)

    assert param == shop.refused("POST", "/v1/credit_notes", {"invoice": invoice["id"], **params}).param
    assert not shop.get("/v1/credit_notes")["data"]
    assert not shop.get("/v1/refunds")["data"]


def test_a_note_credits_the_share_of_discounts_and_taxes(shop: Shop) -> None:
    """Half of a line carries half of its discount and half of its tax; a refund made before may be linked."""
    coupon = shop.post("/v1/coupons", {"percent_off": "10", "duration": "forever"})["id"]
    rate = shop.post("/v1/tax_rates", {"display_name": "VAT", "percentage": "20", "inclusive": "false"})["id"]
    invoice = _paid(shop, 1_000, **{"discounts[0][coupon]": coupon, "subscription_data[default_tax_rates][0]": rate})
    refund = shop.post("/v1/refunds", {"payment_intent": invoice["pi"], "amount": "540"})

    note = shop.post(
        "/v1/credit_notes",
        {
            "invoice": invoice["id"],
            "lines[0][type]": "invoice_line_item",
            "lines[0][invoice_line_item]": invoice["lines"]["data"][0]["id"],
            "lines[0][amount]": "500",
            "refunds[0][refund]": refund["id"],
        },
    )

    assert (1_080, 540, 500, 50) == (invoice["total"], note["total"], note["subtotal"], note["discount_amount"])
    assert (90, 450) == (note["total_taxes"][0]["amount"], note["total_excluding_tax"])


def test_a_dispute_takes_the_money_and_leaves_the_subscription(shop: Shop) -> None:
    """The dispute is told of before the withdrawal; the charge is disputed and cannot be refunded."""
    invoice = _paid(shop)
    before = len(shop.stripe.events)

    id = shop.stripe.dispute(invoice["customer"])

    assert ["charge.dispute.created", "charge.dispute.funds_withdrawn"] == shop.types(before)
    dispute = shop.get(f"/v1/disputes/{id}", {"expand[0]": "charge"})
    assert ("needs_response", 2_000, True) == (dispute["status"], dispute["amount"], dispute["charge"]["disputed"])
    assert [-2_000] == [row["amount"] for row in dispute["balance_transactions"]]
    assert "charge_disputed" == shop.refused("POST", "/v1/refunds", {"payment_intent": invoice["pi"]}).code
    assert "active" == shop.subscription(invoice["parent"]["subscription_details"]["subscription"])["status"]
    assert [id] == [row["id"] for row in shop.get("/v1/disputes", {"payment_intent": invoice["pi"]})["data"]]


def test_an_account_may_cancel_what_is_disputed(shop: Shop) -> None:
    """With the setting, the subscription ends because of the dispute."""
    shop.stripe.settings.after_dispute = "cancel"
    invoice = _paid(shop)

    shop.stripe.dispute(invoice["pi"])

    subscription = shop.subscription(invoice["parent"]["subscription_details"]["subscription"])
    assert ("canceled", "payment_disputed") == (subscription["status"], subscription["cancellation_details"]["reason"])
    assert "customer.subscription.deleted" == shop.types()[-1]


@pytest.mark.parametrize(
    ("text", "status", "types"),
    [
        ("winning_evidence", "won", ["charge.dispute.closed", "charge.dispute.funds_reinstated"]),
        ("losing_evidence", "lost", ["charge.dispute.closed"]),
        ("we are sure", "under_review", []),
    ],
)
def test_evidence_decides_in_test_mode(shop: Shop, text: str, status: str, types: list[str]) -> None:
    """Stripe's magic texts win or lose; any other waits for the bank."""
    id = shop.stripe.dispute(_paid(shop)["customer"])
    before = len(shop.stripe.events)

    dispute = shop.post(f"/v1/disputes/{id}", {"evidence[uncategorized_text]": text, "submit": "true"})

    assert (status, 1) == (dispute["status"], dispute["evidence_details"]["submission_count"])
    assert ["charge.dispute.updated", *types] == shop.types(before)
    assert 0 == sum(row["amount"] for row in dispute["balance_transactions"]) or status != "won"


def test_disputes_are_closed_once(shop: Shop) -> None:
    """Accepting one loses it; the bank's decision comes by an action."""
    accepted, decided = (shop.stripe.dispute(_paid(shop)["customer"]) for _ in range(2))

    assert "lost" == shop.post(f"/v1/disputes/{accepted}/close")["status"]
    shop.stripe.close_dispute(decided, won=True)

    assert "won" == shop.get(f"/v1/disputes/{decided}")["status"]
    assert 400 == shop.refused("POST", f"/v1/disputes/{accepted}/close").status
    with pytest.raises(SimulatorError, match="no open dispute"):
        shop.stripe.close_dispute(decided, won=False)


def test_a_card_that_disputes_by_itself(shop: Shop) -> None:
    """With Stripe's test card for disputes each payment is disputed right away."""
    invoice = _paid(shop, card="4000000000000259")

    assert "fraudulent" == shop.get("/v1/disputes", {"payment_intent": invoice["pi"]})["data"][0]["reason"]
    assert ["charge.dispute.created", "charge.dispute.funds_withdrawn"] == shop.types()[-2:]


def test_refunding_by_action(shop: Shop) -> None:
    """The newest payment of a customer, an amount of it, or one that is named."""
    invoice = _paid(shop)
    part = shop.stripe.refund(invoice["customer"], 700)
    rest = shop.stripe.refund(invoice["pi"])

    assert [700, 1_300] == [shop.get(f"/v1/refunds/{id}")["amount"] for id in (part, rest)]
    with pytest.raises(SimulatorError, match="no payment that could be refunded"):
        shop.stripe.refund(invoice["customer"])
    with pytest.raises(SimulatorError, match="cannot be refunded"):
        shop.stripe.refund(invoice["pi"])
    with pytest.raises(SimulatorError, match="cannot be disputed"):
        shop.stripe.dispute(invoice["pi"])


@pytest.mark.anyio
async def test_refunding_by_action_async() -> None:
    """The async simulator knows the same actions."""
    simulator = AsyncStripeSimulator()

    for act in (simulator.refund("cus_none"), simulator.dispute("cus_none"), simulator.give_coupon("cus_none", "c")):
        with pytest.raises(SimulatorError, match="no library"):
            await act
    with pytest.raises(SimulatorError, match="no open dispute"):
        await simulator.close_dispute("du_none", won=True)


def test_the_balance_is_settled_when_an_invoice_is_final(shop: Shop) -> None:
    """Credit is used by the next invoice, what is left stays; the entry names the invoice."""
    customer = shop.customer()
    entry = shop.post(f"/v1/customers/{customer}/balance_transactions", {"amount": "-2500", "currency": "usd"})
    assert ("adjustment", -2_500) == (entry["type"], entry["ending_balance"])

    subscription = shop.buy(shop.price(2_000), customer=customer)
    shop.stripe.advance(months=1, hours=2)

    second, first = shop.invoices(subscription["id"])
    assert (0, 2_000, -2_500, -500) == (
        first["amount_due"],
        first["total"],
        first["starting_balance"],
        first["ending_balance"],
    )
    assert (1_500, "paid", 0) == (second["amount_due"], second["status"], second["ending_balance"])
    rows = shop.get(f"/v1/customers/{customer}/balance_transactions")["data"]
    assert [(500, second["id"]), (2_000, first["id"]), (-2_500, None)] == [
        (row["amount"], row["invoice"]) for row in rows
    ]
    assert 0 == shop.get(f"/v1/customers/{customer}")["balance"]


def test_what_a_customer_owes_is_charged_too(shop: Shop) -> None:
    """A positive balance makes the next invoice dearer, and is gone then; setting it writes an entry."""
    customer = shop.customer()
    shop.post(f"/v1/customers/{customer}", {"balance": "300"})

    subscription = shop.buy(shop.price(2_000), customer=customer)

    assert 2_300 == shop.invoices(subscription["id"])[0]["amount_paid"]
    assert 0 == shop.get(f"/v1/customers/{customer}")["balance"]
    newest = shop.get(f"/v1/customers/{customer}/balance_transactions")["data"][0]["id"]
    path = f"/v1/customers/{customer}/balance_transactions/{newest}"
    assert {"a": "b"} == shop.post(path, {"metadata[a]": "b"})["metadata"] == shop.get(path)["metadata"]
    assert "initial" == shop.get(f"/v1/customers/{shop.customer(balance='-5')}/balance_transactions")["data"][0]["type"]


def test_a_balance_keeps_to_the_customers_currency(shop: Shop) -> None:
    """An entry in another currency is refused, and so is one of another customer."""
    customer = shop.customer()
    path = f"/v1/customers/{customer}/balance_transactions"
    entry = shop.post(path, {"amount": "-5", "currency": "usd"})["id"]

    assert "currency" == shop.refused("POST", path, {"amount": "-5", "currency": "eur"}).param
    assert 400 == shop.refused("GET", f"/v1/customers/{shop.customer()}/balance_transactions/{entry}").status


def test_a_voided_invoice_gives_the_balance_back(shop: Shop) -> None:
    """What it took from the balance returns with an entry of its own."""
    invoice = _open(shop)
    customer = invoice["customer"]
    shop.post(f"/v1/customers/{customer}", {"balance": "-300"})
    method = shop.get(f"/v1/customers/{customer}/payment_methods")["data"][0]["id"]
    price = shop.price(2_000)
    shop.post("/v1/subscriptions", {"customer": customer, "items[0][price]": price, "default_payment_method": method})
    assert 0 == shop.get(f"/v1/customers/{customer}")["balance"]

    shop.stripe.advance(days=2)  # incomplete subscriptions end, their invoices are voided

    assert -300 == shop.get(f"/v1/customers/{customer}")["balance"]
    rows = shop.get(f"/v1/customers/{customer}/balance_transactions")["data"]
    assert "unapplied_from_invoice" == rows[0]["type"]


def test_a_negative_invoice_leaves_credit(shop: Shop) -> None:
    """What an invoice owes the customer becomes credit that the next one uses."""
    subscription = shop.buy(shop.price(1_000))
    customer = subscription["customer"]
    shop.post("/v1/invoiceitems", {"customer": customer, "amount": "-1700", "currency": "usd"})

    shop.stripe.advance(months=1, hours=2)
    credit = shop.get(f"/v1/customers/{customer}")["balance"]
    shop.stripe.advance(months=1)

    third, second, _ = shop.invoices(subscription["id"])
    assert (-700, 0, "paid", -700) == (second["total"], second["amount_due"], second["status"], credit)
    assert (1_000, 300) == (third["total"], third["amount_due"])
