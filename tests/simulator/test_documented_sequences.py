"""Sequences that Stripe's documentation describes and nobody recorded: this is the order in which they come by default.

Those of renewals, trials, proration, schedules, refunds and disputes stand with the tests of what they do.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import Shop
from tests.simulator.test_prorations import DECLINES, GOOD, item_of

ASKS = "4000002760003184"
BANK = "000123456789"
SUMMARY = "entitlements.active_entitlement_summary.updated"
UPDATED, DELETED = "customer.subscription.updated", "customer.subscription.deleted"
TRIED = ["charge.failed", "payment_intent.payment_failed"]
PAID = ["payment_intent.succeeded", "charge.succeeded", "invoice.paid", "invoice.payment_succeeded"]


def _entitling(shop: Shop) -> str:
    """A price whose product has a feature."""
    feature = shop.post("/v1/entitlements/features", {"name": "Sign on", "lookup_key": "sso"})["id"]
    price = shop.price()
    product = shop.get(f"/v1/prices/{price}")["product"]
    shop.post(f"/v1/products/{product}/features", {"entitlement_feature": feature})
    return price


def _failing(shop: Shop, card: str = DECLINES) -> dict[str, Any]:
    """A subscription that was paid with a good card, which another has replaced since."""
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], card)
    return subscription


def _path(subscription: dict[str, Any]) -> str:
    return f"/v1/subscriptions/{subscription['id']}"


def test_a_trial_that_pauses(shop: Shop) -> None:
    """Without a payment method the subscription says that it is paused, twice; no invoice; its features are gone."""
    ending = {"subscription_data[trial_settings][end_behavior][missing_payment_method]": "pause"}
    trial = {"payment_method_collection": "if_required", "subscription_data[trial_period_days]": "14", **ending}
    shop.buy(_entitling(shop), **trial)
    shop.stripe.advance(days=12)
    before = len(shop.stripe.events)

    shop.stripe.advance(days=2)

    assert [UPDATED, "customer.subscription.paused", SUMMARY] == shop.types(before)


def test_a_renewal_that_needs_the_person(shop: Shop) -> None:
    """The intent asks for action, and the invoice does beside its failure."""
    _failing(shop, ASKS)
    shop.stripe.advance(months=1)
    before = len(shop.stripe.events)

    shop.stripe.advance(hours=1)

    assert [
        "invoice.finalized",
        "payment_intent.created",
        *TRIED,
        "payment_intent.requires_action",
        "invoice.payment_failed",
        "invoice.payment_action_required",
        UPDATED,
        "customer.updated",
    ] == shop.types(before)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("cancel", [DELETED]),
        ("unpaid", [UPDATED]),
        ("pause", [UPDATED, "customer.subscription.paused"]),
        ("past_due", []),
    ],
)
def test_the_last_retry(shop: Shop, setting: Any, told: list[str]) -> None:
    """The invoice says that there is no next attempt, then the subscription becomes what the account has set."""
    shop.stripe.settings.after_last_retry = setting
    _failing(shop)
    shop.stripe.advance(months=1, days=13, hours=1)
    before = len(shop.stripe.events)

    shop.stripe.advance(days=1)

    assert [*TRIED, "invoice.payment_failed", *told] == shop.types(before)
    failure = shop.stripe.events[before + 2]["data"]["object"]
    assert (9, None) == (failure["attempt_count"], failure["next_payment_attempt"])


def test_a_change_that_waits_for_its_payment(shop: Shop) -> None:
    """First the subscription says what waits, then the invoice that it needs the person; paid, it is applied."""
    subscription, dear = _failing(shop, ASKS), shop.price(5_000)
    before = len(shop.stripe.events)
    change = {"items[0][id]": item_of(subscription), "items[0][price]": dear, "proration_behavior": "always_invoice"}
    waits = shop.post(_path(subscription), {**change, "payment_behavior": "pending_if_incomplete"})
    asked = shop.types(before)
    shop.stripe.use_card(subscription["customer"], GOOD)
    middle = len(shop.stripe.events)
    shop.post(f"/v1/invoices/{waits['latest_invoice']}/pay")

    assert [
        UPDATED,
        "customer.updated",
        "invoice.created",
        "invoice.finalized",
        "payment_intent.created",
        *TRIED,
        "payment_intent.requires_action",
        "invoice.payment_failed",
        "invoice.payment_action_required",
        "invoiceitem.created",
        "invoiceitem.created",
    ] == asked
    assert shop.stripe.events[before]["data"]["object"]["pending_update"] is not None
    assert [
        *PAID,
        "invoice_payment.paid",
        "customer.subscription.pending_update_applied",
        UPDATED,
        "customer.updated",
    ] == shop.types(middle)


def test_a_change_that_is_never_paid(shop: Shop) -> None:
    """After 23 hours the change is given up first, then its invoice."""
    subscription, dear = _failing(shop, ASKS), shop.price(5_000)
    change = {"items[0][id]": item_of(subscription), "items[0][price]": dear, "proration_behavior": "always_invoice"}
    shop.post(_path(subscription), {**change, "payment_behavior": "pending_if_incomplete"})
    before = len(shop.stripe.events)

    shop.stripe.advance(hours=23)

    assert [
        "customer.subscription.pending_update_expired",
        "payment_intent.canceled",
        "invoice.voided",
    ] == shop.types(before)


def test_a_cancellation_asked_for_and_taken_back(shop: Shop) -> None:
    """Each is an update that tells what it changed; at the end the subscription is deleted, then its features."""
    subscription = shop.buy(_entitling(shop))
    before = len(shop.stripe.events)
    for wish in ("true", "false", "true"):
        shop.post(_path(subscription), {"cancel_at_period_end": wish})
    changes = [event["data"]["previous_attributes"] for event in shop.stripe.events[before:]]
    middle = len(shop.stripe.events)
    shop.stripe.advance(months=1)

    assert [UPDATED] * 3 == shop.types(before)[:3]
    end = subscription["items"]["data"][0]["current_period_end"]
    assert [(False, None), (True, end), (False, None)] == [
        (change["cancel_at_period_end"], change["cancel_at"]) for change in changes
    ]
    assert [DELETED, SUMMARY] == shop.types(middle)


def test_a_pause_and_its_end(shop: Shop) -> None:
    """That it is paused, what changed, and the features; the way back is told alike, after its invoice."""
    subscription = shop.buy(_entitling(shop))
    shop.stripe.advance(days=10)
    before = len(shop.stripe.events)
    shop.post(f"{_path(subscription)}/pause", {"bill_for[unused_time_from][type]": "none"})
    paused = shop.types(before)
    middle = len(shop.stripe.events)
    waits = shop.post(f"{_path(subscription)}/resume")
    waiting = shop.types(middle)
    last = len(shop.stripe.events)
    shop.post(f"/v1/invoices/{waits['latest_invoice']}/pay")

    assert ["customer.subscription.paused", UPDATED, SUMMARY] == paused
    assert {"items", "status", "status_details"} == set(shop.stripe.events[before + 1]["data"]["previous_attributes"])
    assert ["invoice.created", "invoice.finalized", "payment_intent.created", UPDATED] == waiting
    assert [
        *PAID,
        "invoice_payment.paid",
        "customer.subscription.resumed",
        UPDATED,
        SUMMARY,
    ] == shop.types(last)


def test_paused_collection_is_told_as_an_update(shop: Shop) -> None:
    """Both when it begins and when it is taken back, and not in any other way."""
    subscription = shop.buy()
    before = len(shop.stripe.events)
    for behavior in ({"pause_collection[behavior]": "void"}, {"pause_collection": ""}):
        shop.post(_path(subscription), behavior)

    assert [UPDATED, UPDATED] == shop.types(before)
    assert {"pause_collection"} == {
        name for event in shop.stripe.events[before:] for name in event["data"]["previous_attributes"]
    }


@pytest.mark.parametrize(
    ("succeeds", "told"),
    [
        (True, [*PAID, "invoice_payment.paid", "checkout.session.async_payment_succeeded"]),
        (
            False,
            [*TRIED, "invoice.payment_failed", UPDATED, "customer.updated", "checkout.session.async_payment_failed"],
        ),
    ],
)
def test_a_purchase_by_bank_debit(shop: Shop, succeeds: bool, told: list[str]) -> None:
    """The session is complete and unpaid, the subscription active already; later the money comes, or does not."""
    session = shop.checkout(**{"allowed_payment_method_types[0]": "us_bank_account"})
    shop.stripe.pay(session["id"], card=BANK)
    (bought,) = shop.get("/v1/subscriptions")["data"]
    completed = [event for event in shop.stripe.events if event["type"] == "checkout.session.completed"]
    shop.stripe.advance(days=1)
    before = len(shop.stripe.events)

    shop.stripe.settle(session["id"], succeeds=succeeds)

    assert ["unpaid"] == [event["data"]["object"]["payment_status"] for event in completed]
    assert "active" == bought["status"]
    assert told == shop.types(before)


def test_a_session_that_runs_out(shop: Shop) -> None:
    """It is told once, and nothing else is, for there was never a subscription."""
    shop.checkout()
    before = len(shop.stripe.events)

    shop.stripe.advance(days=2)

    assert ["checkout.session.expired"] == shop.types(before)
