"""Pausing a whole subscription, and resuming it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import DAY, Shop, at
from tests.simulator.test_prorations import DECLINES, GOOD, subscribe, waiting


def _pause(shop: Shop, subscription: dict[str, Any], **params: str) -> dict[str, Any]:
    return shop.post(f"/v1/subscriptions/{subscription['id']}/pause", params)


def _resume(shop: Shop, subscription: dict[str, Any], **params: str) -> dict[str, Any]:
    return shop.post(f"/v1/subscriptions/{subscription['id']}/resume", params)


def _half_used(shop: Shop) -> dict[str, Any]:
    """A subscription of 3,100 a month whose period is half over."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    return subscription


def test_a_pause_credits_unused_time(shop: Shop) -> None:
    """The status says why, the period is cut, the credit waits, and nothing renews."""
    subscription = _half_used(shop)
    before = len(shop.stripe.events)
    paused = _pause(shop, subscription)
    told = shop.types(before)
    shop.stripe.advance(months=3)

    assert ("paused", {"type": "pause_requested"}, shop.get(f"/v1/subscriptions/{paused['id']}")["status"]) == (
        paused["status"],
        paused["status_details"]["paused"]["subscription"],
        "paused",
    )
    assert at(2026, 1, 31) == paused["items"]["data"][0]["current_period_end"]
    assert [
        "invoiceitem.created",
        "customer.subscription.paused",
        "customer.subscription.updated",
    ] == [type for index, type in enumerate(told) if type not in told[:index]]
    assert ([-1_550], 1) == (waiting(shop), len(shop.invoices(subscription["id"])))


@pytest.mark.parametrize(("since", "credit"), [("now", -1_550), ("item_current_period_start", -3_100), ("none", None)])
def test_what_a_pause_bills(shop: Shop, since: str, credit: int | None) -> None:
    """Unused time counts from now, from the period's start or not at all; `invoice` settles it at once."""
    subscription = _half_used(shop)
    _pause(shop, subscription, **{"bill_for[unused_time_from][type]": since, "invoicing_behavior": "invoice"})

    totals = [row["total"] for row in shop.invoices(subscription["id"])]
    assert ([credit] if credit else []) + [3_100] == totals
    assert (credit or 0) == shop.get(f"/v1/customers/{subscription['customer']}")["balance"]


def test_resuming_begins_a_period_once_it_is_paid(shop: Shop) -> None:
    """By default no payment is tried: the invoice waits for one, the subscription stays paused until then."""
    subscription = _half_used(shop)
    _pause(shop, subscription)
    shop.stripe.advance(days=10)
    waits = _resume(shop, subscription)
    before = len(shop.stripe.events)
    shop.post(f"/v1/invoices/{waits['latest_invoice']}/pay")
    resumed = shop.subscription(subscription["id"])

    assert ("paused", shop.now + 23 * 3_600) == (waits["status"], waits["pending_update"]["expires_at"])
    assert ("active", None, None, shop.now) == (
        resumed["status"],
        resumed["status_details"],
        resumed["pending_update"],
        resumed["billing_cycle_anchor"],
    )
    assert 3_100 - 1_550 == shop.invoices(subscription["id"])[0]["amount_paid"]
    assert {"customer.subscription.resumed", "customer.subscription.updated"} <= set(shop.types(before))
    shop.stripe.advance(months=1, hours=1)
    assert 3_100 == shop.invoices(subscription["id"])[0]["amount_paid"]


def test_resuming_without_an_attempt_runs_out(shop: Shop) -> None:
    """After 23 hours the invoice is void and the subscription still paused; it can be resumed again."""
    subscription = _half_used(shop)
    _pause(shop, subscription)
    waits = _resume(shop, subscription)
    assert "already" in shop.refused("POST", f"/v1/subscriptions/{subscription['id']}/resume").message
    shop.stripe.advance(hours=23)

    now = shop.subscription(subscription["id"])
    assert ("paused", None) == (now["status"], now["pending_update"])
    assert "void" == shop.get(f"/v1/invoices/{waits['latest_invoice']}")["status"]
    assert "paused" == _resume(shop, subscription)["status"]


@pytest.mark.parametrize(("behavior", "status"), [("attempt", "past_due"), ("success", "paused")])
def test_resuming_with_a_card_that_fails(shop: Shop, behavior: str, status: str) -> None:
    """An attempt that fails makes it past due; where success is demanded it stays paused."""
    subscription = _half_used(shop)
    _pause(shop, subscription, **{"bill_for[unused_time_from][type]": "none"})
    shop.stripe.use_card(subscription["customer"], DECLINES)
    waits = _resume(shop, subscription, payment_behavior=f"resume_on_payment_{behavior}")
    if behavior == "attempt":
        assert 402 == shop.refused("POST", f"/v1/invoices/{waits['latest_invoice']}/pay").status

    assert status == shop.subscription(subscription["id"])["status"]
    shop.stripe.use_card(subscription["customer"], GOOD)
    shop.stripe.collect(subscription["customer"])
    assert "active" == shop.subscription(subscription["id"])["status"]


def test_resuming_on_success_charges_at_once(shop: Shop) -> None:
    """A good card is charged within the request; without a card the request is refused."""
    subscription = _half_used(shop)
    _pause(shop, subscription)
    resumed = _resume(shop, subscription, payment_behavior="resume_on_payment_success")
    assert "active" == resumed["status"]

    bare = shop.post("/v1/subscriptions", {"customer": shop.customer(), "items[0][price]": shop.price(0)})
    _pause(shop, bare)
    path = f"/v1/subscriptions/{bare['id']}/resume"
    refusal = shop.refused("POST", path, {"payment_behavior": "resume_on_payment_success"})
    assert "resource_missing" == refusal.code
    assert "active" == _resume(shop, bare)["status"]


@pytest.mark.parametrize(
    ("behavior", "items", "status"),
    [("create_prorations", [775], "active"), ("none", [], "active"), ("always_invoice", [], "paused")],
)
def test_resuming_within_the_old_periods(shop: Shop, behavior: str, items: list[int], status: str) -> None:
    """An unchanged anchor debits the rest of the period: with the next invoice, at once, or not."""
    subscription = _half_used(shop)
    _pause(shop, subscription, **{"bill_for[unused_time_from][type]": "none"})
    shop.stripe.advance(days=7, hours=18)
    resumed = _resume(shop, subscription, **{"billing_cycle_anchor[type]": "unchanged", "proration_behavior": behavior})

    assert (status, items) == (resumed["status"], [amount for amount in waiting(shop) if status == "active"])
    assert subscription["billing_cycle_anchor"] == resumed["billing_cycle_anchor"]
    if status == "paused":
        assert 775 == shop.post(f"/v1/invoices/{resumed['latest_invoice']}/pay")["amount_paid"]


def test_voided_and_given_up_resumptions(shop: Shop) -> None:
    """A voided invoice leaves it paused, one that was marked uncollectible makes it active."""
    subscription = _half_used(shop)
    _pause(shop, subscription)
    path = f"/v1/invoices/{_resume(shop, subscription)['latest_invoice']}"
    shop.post(f"{path}/void")
    assert ("paused", None) == tuple(
        shop.subscription(subscription["id"])[name] for name in ("status", "pending_update")
    )
    path = f"/v1/invoices/{_resume(shop, subscription)['latest_invoice']}"
    shop.post(f"{path}/mark_uncollectible")

    assert "active" == shop.subscription(subscription["id"])["status"]


def test_who_cannot_be_paused(shop: Shop) -> None:
    """Classic mode, sent invoices, trials, schedules and what is paused already; resuming needs a pause."""
    classic = subscribe(shop, shop.price(1_000), **{"billing_mode[type]": "classic"})
    trial = subscribe(shop, shop.price(1_000), trial_period_days="5")
    sent = subscribe(shop, shop.price(1_000), collection_method="send_invoice", days_until_due="5")
    scheduled = subscribe(shop, shop.price(1_000))
    shop.post("/v1/subscription_schedules", {"from_subscription": scheduled["id"]})
    paused = subscribe(shop, shop.price(1_000))
    _pause(shop, paused)

    for row in (classic, trial, sent, scheduled, paused):
        assert 400 == shop.refused("POST", f"/v1/subscriptions/{row['id']}/pause").status
    assert 400 == shop.refused("POST", f"/v1/subscriptions/{scheduled['id']}/resume").status
    assert 400 == shop.refused("POST", "/v1/subscription_schedules", {"from_subscription": paused["id"]}).status
    path = f"/v1/subscriptions/{paused['id']}"
    assert "simulator_not_modelled" == shop.refused("POST", path, {"trial_end": str(shop.now + DAY)}).code
    assert 404 == shop.refused("POST", "/v1/subscriptions/sub_0/pause").status


def test_a_paused_trial_can_be_resumed(shop: Shop) -> None:
    """A trial that ran out without a card is resumed like any pause, once there is a card."""
    made = shop.post(
        "/v1/subscriptions",
        {
            "customer": shop.customer(),
            "items[0][price]": shop.price(1_000),
            "trial_period_days": "5",
            "trial_settings[end_behavior][missing_payment_method]": "pause",
        },
    )
    shop.stripe.advance(days=5)
    assert "paused" == shop.subscription(made["id"])["status"]
    shop.stripe.use_card(made["customer"], GOOD)
    resumed = _resume(shop, made, payment_behavior="resume_on_payment_success")

    assert ("active", 1_000) == (resumed["status"], shop.invoices(made["id"])[0]["amount_paid"])
