"""What is left when a customer is deleted: nothing that begins, finalises or charges by itself."""

from __future__ import annotations

from tests.simulator.shop import DAY, Shop
from tests.simulator.test_prorations import subscribe


def _draft(shop: Shop, customer: str, amount: int = 500, **params: str) -> str:
    """A draft of a customer with one item."""
    draft = str(shop.post("/v1/invoices", {"customer": customer, **params})["id"])
    item = {"customer": customer, "amount": str(amount), "currency": "usd", "invoice": draft}
    shop.post("/v1/invoiceitems", item)
    return draft


def test_subscriptions_end_at_once(shop: Shop) -> None:
    """The subscription is told of before the customer, whose id stays known."""
    subscription = subscribe(shop, shop.price(1_000))
    before = len(shop.stripe.events)
    shop.delete(f"/v1/customers/{subscription['customer']}")

    told = [type for type in shop.types(before) if type.startswith("customer.")]
    assert ["customer.subscription.deleted", "customer.deleted"] == told
    assert "canceled" == shop.subscription(subscription["id"])["status"]
    assert shop.get(f"/v1/customers/{subscription['customer']}")["deleted"]


def test_drafts_stay_drafts(shop: Shop) -> None:
    """They are neither finalised when their hour is over nor by a request."""
    customer = shop.customer()
    draft = _draft(shop, customer, auto_advance="true")
    shop.delete(f"/v1/customers/{customer}")
    shop.stripe.advance(hours=5)

    assert "draft" == shop.get(f"/v1/invoices/{draft}")["status"]
    for verb in ("/finalize", "/pay", ""):
        refusal = shop.refused("POST", f"/v1/invoices/{draft}{verb}", {} if verb else {"auto_advance": "true"})
        assert (400, "resource_missing", "customer") == (refusal.status, refusal.code, refusal.param)


def test_a_schedule_does_not_begin(shop: Shop) -> None:
    """One that waits for its first phase is canceled with its customer."""
    customer = shop.customer()
    params = {"customer": customer, "start_date": str(shop.now + DAY), "phases[0][items][0][price]": shop.price(1_000)}
    schedule = shop.post("/v1/subscription_schedules", params)
    before = len(shop.stripe.events)
    shop.delete(f"/v1/customers/{customer}")
    shop.stripe.advance(days=2)

    assert ["subscription_schedule.canceled", "customer.deleted"] == shop.types(before)
    assert "canceled" == shop.get(f"/v1/subscription_schedules/{schedule['id']}")["status"]


def test_an_open_invoice_can_be_voided(shop: Shop) -> None:
    """What it took of the balance goes to nobody; as credit it cannot be given back either."""
    customer = shop.customer(balance="-300")
    opened, other = _draft(shop, customer), _draft(shop, customer)
    for invoice in (opened, other):
        shop.post(f"/v1/invoices/{invoice}/finalize")
    shop.post(f"/v1/invoices/{other}/pay", {"paid_out_of_band": "true"})
    shop.delete(f"/v1/customers/{customer}")

    assert "void" == shop.post(f"/v1/invoices/{opened}/void")["status"]
    note = {"invoice": other, "amount": "100", "credit_amount": "100"}
    assert "resource_missing" == shop.refused("POST", "/v1/credit_notes", note).code
