"""Refunds, disputes and credit notes reach hooks with all that one needs to act on them."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.domain.answers import Event
from kernia_billing.domain.references import Reference
from tests.webhooks.canned import canned
from tests.webhooks.shop import Shop, envelope


def _heard(shop: Shop, *types: str) -> list[Event]:
    heard: list[Event] = []
    shop.billing.on(*types)(heard.append)
    return heard


def _invoice(shop: Shop) -> dict[str, Any]:
    (invoice,) = shop.rows()["invoice"]
    return invoice


def test_a_refund_names_its_invoice_and_its_reference(each_shop: Shop) -> None:
    """Stripe's charge and refund name neither since 2025-03-31; our invoices do."""
    shop = each_shop
    shop.buy()
    customer, invoice = shop.customer(), _invoice(shop)
    heard = _heard(shop, "charge.refunded", "refund.created")
    shop.stripe.refund("ann", 300)
    told = {each.type: each for each in heard}
    assert set(told) == {"charge.refunded", "refund.created"}
    for each in heard:
        assert each.reference == Reference("ann", "user")
        assert each.data["invoice"] == invoice["id"]
        assert each.data["payment_intent"] == invoice["payment_intent_id"]
        assert each.data["customer"] == customer
        assert str(each.data["charge"]).startswith("ch_")
        assert (each.data["currency"], each.data["status"]) == ("usd", "succeeded")
    assert told["charge.refunded"].data["amount_refunded"] == 300
    assert told["charge.refunded"].data["amount"] == invoice["total"]
    assert told["charge.refunded"].data["refunded"] is False
    assert told["refund.created"].data["amount"] == 300
    assert all(type(value) is not float for each in heard for value in each.data.values())


def test_a_dispute_names_what_is_disputed_and_until_when_to_answer(shop: Shop) -> None:
    """Amount, reason, status and the ids of charge, payment and invoice; and again when it is closed."""
    shop.buy()
    invoice = _invoice(shop)
    heard = _heard(shop, "charge.dispute.created", "charge.dispute.closed")
    dispute = shop.stripe.dispute("ann", reason="product_not_received")
    shop.stripe.close_dispute(dispute, won=False)
    created, closed = heard
    assert created.reference == closed.reference == Reference("ann", "user")
    expected: dict[str, Any] = {
        "dispute": dispute,
        "invoice": invoice["id"],
        "payment_intent": invoice["payment_intent_id"],
    }
    expected |= {"amount": invoice["total"], "currency": "usd", "reason": "product_not_received"}
    assert {name: created.data[name] for name in expected} == expected
    assert isinstance(created.data["evidence_due_by"], int)
    assert (created.data["status"], closed.data["status"]) == ("needs_response", "lost")


def test_a_credit_note_brings_its_invoice_up_to_date(shop: Shop) -> None:
    """It names its invoice, which is fetched."""
    shop.buy()
    invoice = _invoice(shop)
    heard = _heard(shop, "credit_note.created")
    note: dict[str, Any] = {
        "object": "credit_note",
        "id": "cn_1",
        "invoice": {"id": invoice["id"]},
        "customer": shop.customer(),
    }
    note |= {"amount": 500, "currency": "usd", "reason": "duplicate", "status": "issued", "refund": "re_1"}
    asked = len(shop.called("GET", f"/v1/invoices/{invoice['id']}"))
    assert shop.post(envelope("credit_note.created", note, "evt_1")).status == "applied"
    (told,) = heard
    assert told.reference == Reference("ann", "user")
    assert {name: told.data[name] for name in ("credit_note", "invoice", "amount", "reason", "refunds")} == {
        "credit_note": "cn_1",
        "invoice": invoice["id"],
        "amount": 500,
        "reason": "duplicate",
        "refunds": ["re_1"],
    }
    assert len(shop.called("GET", f"/v1/invoices/{invoice['id']}")) == asked + 1


@pytest.mark.parametrize(
    "kind", ["charge.refunded", "charge.dispute.created", "refund.updated", "payment_intent.succeeded"]
)
def test_money_of_a_stranger_is_recorded_and_told_without_a_reference(quiet_shop: Shop, kind: str) -> None:
    """A payment that belongs to no invoice of ours asks nothing of Stripe and is handed over as it is."""
    heard = _heard(quiet_shop, kind)
    noun = {"charge.dispute": "dispute"}.get(kind.rpartition(".")[0], kind.partition(".")[0])
    subject = {"object": noun, "id": "x_1", "payment_intent": "pi_x", "amount": 5, "currency": "eur", "status": "s"}
    assert quiet_shop.post(envelope(kind, subject, "evt_1")).status == "applied"
    (told,) = heard
    assert (told.reference, told.data["invoice"], told.data["amount"]) == (None, None, 5)
    assert not quiet_shop.stripe.requests


def test_an_old_charge_names_its_invoice_itself(quiet_shop: Shop) -> None:
    """Of an endpoint of before 2025-03-31: the invoice of the payload counts, and is brought up to date."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    heard = _heard(shop, "charge.refunded")
    charge = {
        "object": "charge",
        "id": "ch_1",
        "invoice": "in_1",
        "payment_intent": {"id": "pi_1"},
        "customer": customer,
    }
    with canned(shop) as stripe:
        stripe.objects["/v1/invoices/in_1"] = {"id": "in_1", "customer": customer, "currency": "usd", "status": "paid"}
        assert shop.post(envelope("charge.refunded", charge, "evt_1")).status == "applied"
    assert [each.data["invoice"] for each in heard] == ["in_1"]
    assert [row["id"] for row in shop.rows()["invoice"]] == ["in_1"]
