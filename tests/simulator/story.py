"""A long story of one account, in which objects of every kind come up."""

from __future__ import annotations

from typing import Any

from tests.simulator.shop import Shop

METER = {
    "display_name": "Calls",
    "event_name": "calls",
    "default_aggregation[formula]": "sum",
    "value_settings[event_payload_key]": "value",
}
DESTINATION = {
    "name": "All",
    "type": "webhook_endpoint",
    "event_payload": "thin",
    "enabled_events": ["v1.invoice.paid"],
    "webhook_endpoint": {"url": "https://shop.example/thin"},
}


def tell(shop: Shop) -> Shop:
    """Two customers: one pays with a discount, uses a meter, changes, fails and is forgiven; one tries out."""
    shop.post("/v1/billing/meters", METER)
    shop.post("/v1/billing_portal/configurations", {"features[invoice_history][enabled]": "true"})
    shop.post("/v1/webhook_endpoints", {"url": "https://shop.example/hook", "enabled_events[0]": "*"})
    shop.post("/v1/tax_rates", {"display_name": "VAT", "inclusive": "false", "percentage": "19"})
    customer = shop.customer(name="Jane")
    _pay_with_a_discount(shop, customer)
    metered: dict[str, Any] = {"line_items[0][quantity]": None}
    shop.buy(shop.price(7, metered=True), customer=customer, **metered)
    shop.post("/v1/billing_portal/sessions", {"customer": customer, "return_url": "https://shop.example"})
    shop.checkout()
    trial = {"subscription_data[trial_period_days]": "5", "subscription_data[metadata][team]": "a"}
    shop.buy(shop.price(12_000, interval="year"), **trial)
    shop.stripe.advance(months=1, hours=2)
    shop.stripe.use_card(customer, "4000000000000002")
    shop.stripe.advance(months=2)
    shop.stripe.use_card(customer, "4242424242424242")
    _give_back_and_plan(shop)
    return shop


def _pay_with_a_discount(shop: Shop, customer: str) -> None:
    coupon = shop.post("/v1/coupons", {"percent_off": "25", "duration": "forever"})["id"]
    shop.post("/v1/promotion_codes", {"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "SPRING"})
    subscription = shop.buy(customer=customer)["id"]
    shop.post(f"/v1/subscriptions/{subscription}", {"discounts[0][coupon]": coupon})
    item = shop.subscription(subscription)["items"]["data"][0]["id"]
    change = {"items[0][id]": item, "items[0][quantity]": "3", "proration_behavior": "always_invoice"}
    shop.post(f"/v1/subscriptions/{subscription}", change)


def _give_back_and_plan(shop: Shop) -> None:
    """A refund, a credit note, a disputed payment, and a schedule for what comes."""
    customer = shop.customer()
    subscription = shop.buy(customer=customer)["id"]
    (invoice,) = shop.invoices(subscription)
    line = {"lines[0][type]": "invoice_line_item", "lines[0][invoice_line_item]": invoice["lines"]["data"][0]["id"]}
    shop.post("/v1/credit_notes", {"invoice": invoice["id"], **line, "lines[0][amount]": "300", "credit_amount": "300"})
    paid = shop.get("/v1/invoice_payments", {"invoice": invoice["id"]})["data"][0]["payment"]["payment_intent"]
    shop.post("/v1/refunds", {"payment_intent": paid, "amount": "100"})
    shop.post("/v1/subscription_schedules", {"from_subscription": subscription})
    shop.buy(card="4000000000000259")
