"""Changes that have to be paid, trials, collection by sent invoices, and retries."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import DAY, Shop, at
from tests.simulator.test_prorations import ASKS, DECLINES, GOOD, item_of, subscribe, waiting

LOST = "4000000000009987"


def _upgrade(shop: Shop, subscription: dict[str, Any], **params: str) -> dict[str, str]:
    return {
        "items[0][id]": item_of(subscription),
        "items[0][price]": shop.price(5_000),
        "proration_behavior": "always_invoice",
        **params,
    }


def _failing(shop: Shop, card: str = DECLINES) -> dict[str, Any]:
    subscription = subscribe(shop, shop.price(1_000))
    shop.stripe.use_card(subscription["customer"], card)
    return shop.subscription(subscription["id"])


def test_allow_incomplete_makes_the_change_and_is_past_due(shop: Shop) -> None:
    """The new price is there, the subscription past due, and the retry plan goes on with the invoice."""
    subscription = _failing(shop)
    changed = shop.post(f"/v1/subscriptions/{subscription['id']}", _upgrade(shop, subscription))

    newest = shop.invoices(subscription["id"])[0]
    assert ("past_due", 5_000) == (changed["status"], changed["items"]["data"][0]["price"]["unit_amount"])
    assert ("open", 4_000, shop.now + DAY) == (newest["status"], newest["amount_due"], newest["next_payment_attempt"])


def test_default_incomplete_waits_for_the_client(shop: Shop) -> None:
    """No payment is tried; the subscription is past due until the invoice is paid."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    changed = shop.post(path, _upgrade(shop, subscription, payment_behavior="default_incomplete"))
    newest = shop.invoices(subscription["id"])[0]

    assert ("past_due", "open", 0) == (changed["status"], newest["status"], newest["attempt_count"])
    shop.post(f"/v1/invoices/{newest['id']}/pay")
    assert "active" == shop.subscription(subscription["id"])["status"]


def test_error_if_incomplete_changes_nothing(shop: Shop) -> None:
    """402, and neither subscription nor event nor invoice item."""
    subscription = _failing(shop)
    path, change = f"/v1/subscriptions/{subscription['id']}", _upgrade(shop, subscription)
    before = len(shop.stripe.events)
    refusal = shop.refused("POST", path, {**change, "payment_behavior": "error_if_incomplete"})

    assert (402, "card_declined") == (refusal.status, refusal.code)
    assert (subscription, before, []) == (shop.get(path), len(shop.stripe.events), waiting(shop))


def test_pending_if_incomplete_is_applied_when_paid(shop: Shop) -> None:
    """Until then the subscription keeps what it sells, and says what waits."""
    subscription = _failing(shop, ASKS)
    path = f"/v1/subscriptions/{subscription['id']}"
    before = len(shop.stripe.events)
    pending = shop.post(path, _upgrade(shop, subscription, payment_behavior="pending_if_incomplete"))
    told = shop.types(before)
    shop.stripe.use_card(subscription["customer"], GOOD)
    middle = len(shop.stripe.events)
    shop.post(f"/v1/invoices/{pending['latest_invoice']}/pay")
    applied = shop.get(path)

    update = pending["pending_update"]
    assert ("active", 1_000) == (pending["status"], pending["items"]["data"][0]["price"]["unit_amount"])
    assert (shop.now + 23 * 3_600, 5_000) == (
        update["expires_at"],
        update["subscription_items"][0]["price"]["unit_amount"],
    )
    assert {"invoice.payment_action_required", "customer.subscription.updated"} <= set(told)
    assert (None, 5_000, item_of(subscription)) == (
        applied["pending_update"],
        applied["items"]["data"][0]["price"]["unit_amount"],
        item_of(applied),
    )
    assert ["customer.subscription.pending_update_applied", "customer.subscription.updated"] == [
        type for type in shop.types(middle) if ".subscription." in type
    ]


def test_pending_if_incomplete_expires(shop: Shop) -> None:
    """After 23 hours the invoice is void and the change forgotten."""
    subscription = _failing(shop)
    path = f"/v1/subscriptions/{subscription['id']}"
    pending = shop.post(path, _upgrade(shop, subscription, payment_behavior="pending_if_incomplete"))
    before = len(shop.stripe.events)
    shop.stripe.advance(hours=23)

    assert "customer.subscription.pending_update_expired" == shop.types(before)[0]
    assert "void" == shop.get(f"/v1/invoices/{pending['latest_invoice']}")["status"]
    now = shop.get(path)
    assert (None, "active", 1_000) == (
        now["pending_update"],
        now["status"],
        now["items"]["data"][0]["price"]["unit_amount"],
    )
    assert "already" not in shop.refused("POST", f"/v1/invoices/{pending['latest_invoice']}/pay").message


def test_pending_if_incomplete_ends_with_the_subscription(shop: Shop) -> None:
    """Paying for the change afterwards makes nothing live again."""
    subscription = _failing(shop)
    path = f"/v1/subscriptions/{subscription['id']}"
    pending = shop.post(path, _upgrade(shop, subscription, payment_behavior="pending_if_incomplete"))
    shop.delete(path)
    shop.post(f"/v1/invoices/{pending['latest_invoice']}/pay", {"paid_out_of_band": "true"})
    shop.stripe.advance(days=2)

    now = shop.get(path)
    assert ("canceled", 1_000) == (now["status"], now["items"]["data"][0]["price"]["unit_amount"])


def test_pending_if_incomplete_is_applied_at_once_with_a_good_card(shop: Shop) -> None:
    """Nothing waits where the payment goes through; an added item keeps its id through the wait otherwise."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    changed = shop.post(path, _upgrade(shop, subscription, payment_behavior="pending_if_incomplete"))
    assert (None, 5_000) == (changed["pending_update"], changed["items"]["data"][0]["price"]["unit_amount"])

    shop.stripe.use_card(subscription["customer"], DECLINES)
    added = shop.post(
        "/v1/subscription_items",
        {
            "subscription": subscription["id"],
            "price": shop.price(700),
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    waiting_for = shop.get(path)["pending_update"]["subscription_items"]
    shop.stripe.use_card(subscription["customer"], GOOD)
    shop.stripe.collect(subscription["customer"])
    assert added["id"] in [row["id"] for row in waiting_for]
    assert added["id"] in [row["id"] for row in shop.get(path)["items"]["data"]]


def test_a_trial_can_end_now(shop: Shop) -> None:
    """`trial_end=now` begins the first paid period and bills it at once."""
    subscription = subscribe(shop, shop.price(1_000), trial_period_days="14")
    shop.stripe.advance(days=3)
    ended = shop.post(f"/v1/subscriptions/{subscription['id']}", {"trial_end": "now"})

    assert ("active", shop.now, shop.now) == (ended["status"], ended["trial_end"], ended["billing_cycle_anchor"])
    assert [1_000, 0] == [row["amount_paid"] for row in shop.invoices(subscription["id"])]


def test_a_trial_can_be_longer(shop: Shop) -> None:
    """A later end moves the period's end and the anchor; nothing is billed until then, and it is warned of again."""
    subscription = subscribe(shop, shop.price(1_000), trial_period_days="14")
    path = f"/v1/subscriptions/{subscription['id']}"
    longer = shop.post(path, {"trial_end": str(at(2026, 2, 20))})
    shop.stripe.advance(days=20)

    assert ("trialing", at(2026, 2, 20), at(2026, 2, 20)) == (
        longer["status"],
        longer["trial_end"],
        longer["items"]["data"][0]["current_period_end"],
    )
    assert "trialing" == shop.get(path)["status"]
    assert 0 == shop.types().count("customer.subscription.trial_will_end")
    shop.stripe.advance(days=16)
    assert ("active", 1) == (
        shop.get(path)["status"],
        shop.types().count("customer.subscription.trial_will_end"),
    )


def test_a_trial_can_begin_later(shop: Shop) -> None:
    """A subscription that was paid for goes on trial: its unused time is credited."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    changed = shop.post(f"/v1/subscriptions/{subscription['id']}", {"trial_end": str(at(2026, 3, 1))})

    assert ("trialing", shop.now, at(2026, 3, 1)) == (
        changed["status"],
        changed["trial_start"],
        changed["billing_cycle_anchor"],
    )
    assert -1_550 == shop.invoices(subscription["id"])[0]["total"]
    assert -1_550 == shop.get(f"/v1/customers/{subscription['customer']}")["balance"]


def test_changes_on_trial_are_free(shop: Shop) -> None:
    """Another price while nothing is paid leaves nothing to credit or debit."""
    subscription = subscribe(shop, shop.price(1_000), trial_period_days="14")
    path = f"/v1/subscriptions/{subscription['id']}"
    changed = shop.post(path, _upgrade(shop, subscription))

    assert (1, [], "trialing") == (len(shop.invoices(subscription["id"])), waiting(shop), changed["status"])
    shop.stripe.advance(days=14, hours=1)
    assert 5_000 == shop.invoices(subscription["id"])[0]["amount_paid"]


def test_sent_invoices_fall_due(shop: Shop) -> None:
    """The subscription is active at once; unpaid on the due date the invoice is overdue and it is past due."""
    shop.stripe.settings.will_be_due_days = 3
    customer = shop.customer()
    made = shop.post(
        "/v1/subscriptions",
        {
            "customer": customer,
            "items[0][price]": shop.price(1_000),
            "collection_method": "send_invoice",
            "days_until_due": "10",
        },
    )
    sent = shop.invoices(made["id"])[0]
    before = len(shop.stripe.events)
    shop.stripe.advance(days=10)

    assert ("active", "open", shop.now) == (made["status"], sent["status"], sent["due_date"])
    assert ["invoice.will_be_due", "invoice.overdue", "customer.subscription.updated"] == shop.types(before)[:3]
    assert "past_due" == shop.subscription(made["id"])["status"]
    paid = shop.post(f"/v1/invoices/{sent['id']}/pay", {"paid_out_of_band": "true"})
    assert ("paid", 1_000, "active") == (
        paid["status"],
        paid["amount_paid"],
        shop.subscription(made["id"])["status"],
    )


def test_sent_invoices_that_are_never_paid(shop: Shop) -> None:
    """Long after the due date the subscription ends as after the last retry, and no payment was ever tried."""
    made = shop.post(
        "/v1/subscriptions",
        {
            "customer": shop.customer(),
            "items[0][price]": shop.price(1_000, interval="year"),
            "collection_method": "send_invoice",
            "days_until_due": "5",
        },
    )
    shop.stripe.advance(days=35)

    assert "canceled" == shop.subscription(made["id"])["status"]
    assert not [type for type in shop.types() if type.startswith(("charge.", "payment_intent.payment"))]


def test_invoices_can_be_sent_from_now_on(shop: Shop) -> None:
    """The collection method changes with its days, and back without them."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    sent = shop.post(path, {"collection_method": "send_invoice", "days_until_due": "7"})
    shop.stripe.advance(months=1, hours=1)
    invoice = shop.invoices(subscription["id"])[0]
    charged = shop.post(path, {"collection_method": "charge_automatically"})

    assert (7, None) == (sent["days_until_due"], charged["days_until_due"])
    assert ("open", "send_invoice", shop.now + 7 * DAY, None) == (
        invoice["status"],
        invoice["collection_method"],
        invoice["due_date"],
        invoice["next_payment_attempt"],
    )
    assert "invoice.sent" in shop.types()
    assert "invoice.upcoming" not in shop.types()


def test_a_renewal_that_needs_authentication(shop: Shop) -> None:
    """`invoice.payment_action_required` stands beside the failure, and the subscription is past due."""
    subscription = _failing(shop, ASKS)
    shop.stripe.advance(months=1, hours=1)

    assert {"invoice.payment_failed", "invoice.payment_action_required"} <= set(shop.types())
    assert "past_due" == shop.subscription(subscription["id"])["status"]


@pytest.mark.parametrize("card", [ASKS])
def test_hard_declines_wait_for_another_card(shop: Shop, card: str) -> None:
    """Retries are counted but not charged until there is a new payment method."""
    subscription = _failing(shop, card)
    shop.stripe.advance(months=1, hours=1)
    charges = len([type for type in shop.types() if type == "charge.failed"])
    shop.stripe.advance(days=3)
    tried = shop.invoices(subscription["id"])[0]
    shop.stripe.use_card(subscription["customer"], GOOD)
    shop.stripe.advance(days=2)

    assert charges == len([type for type in shop.types() if type == "charge.failed"])
    assert ("open", 3) == (tried["status"], tried["attempt_count"])
    assert "active" == shop.subscription(subscription["id"])["status"]


def test_paused_after_the_last_retry(shop: Shop) -> None:
    """The account may let subscriptions pause where others cancel; those that cannot pause are cancelled."""
    shop.stripe.settings.after_last_retry = "pause"
    subscription = _failing(shop)
    classic = subscribe(shop, shop.price(1_000), **{"billing_mode[type]": "classic"})
    shop.stripe.use_card(classic["customer"], DECLINES)
    shop.stripe.advance(months=1, days=15)

    paused = shop.subscription(subscription["id"])
    assert ("paused", "final_payment_failure") == (
        paused["status"],
        paused["status_details"]["paused"]["subscription"]["type"],
    )
    assert "canceled" == shop.subscription(classic["id"])["status"]


def test_paused_after_the_first_failure(shop: Shop) -> None:
    """The account may let subscriptions pause as soon as a renewal fails."""
    shop.stripe.settings.after_first_failure = "pause"
    subscription = _failing(shop)
    shop.stripe.advance(months=1, hours=1)

    paused = shop.subscription(subscription["id"])
    assert ("paused", "first_payment_failure") == (
        paused["status"],
        paused["status_details"]["paused"]["subscription"]["type"],
    )


@pytest.mark.parametrize(
    ("behavior", "events", "status"),
    [
        ("keep_as_draft", [], "draft"),
        (
            "mark_uncollectible",
            ["invoice.finalized", "payment_intent.created", "invoice.marked_uncollectible"],
            "uncollectible",
        ),
        ("void", ["invoice.finalized", "payment_intent.created", "payment_intent.canceled", "invoice.voided"], "void"),
    ],
)
def test_collection_can_pause(shop: Shop, behavior: str, events: list[str], status: str) -> None:
    """Invoices go on being made and are not collected; the subscription stays active; at `resumes_at` it is over."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    before = len(shop.stripe.events)
    paused = shop.post(
        path, {"pause_collection[behavior]": behavior, "pause_collection[resumes_at]": str(at(2026, 3, 1))}
    )
    shop.stripe.advance(months=1, hours=1)

    assert {"behavior": behavior, "resumes_at": at(2026, 3, 1)} == paused["pause_collection"]
    told = ["customer.subscription.updated", "invoice.created", "customer.subscription.updated", *events]
    assert told == shop.types(before)
    assert ("active", status) == (shop.get(path)["status"], shop.invoices(subscription["id"])[0]["status"])
    shop.stripe.advance(months=1, hours=1)
    assert (None, "paid") == (shop.get(path)["pause_collection"], shop.invoices(subscription["id"])[0]["status"])


def test_paused_collection_is_taken_back(shop: Shop) -> None:
    """The empty string resumes at once, and a pause that is set anew outlives the end of the former one."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"pause_collection[behavior]": "void", "pause_collection[resumes_at]": str(shop.now + DAY)})
    assert None is shop.post(path, {"pause_collection": ""})["pause_collection"]
    shop.post(path, {"pause_collection[behavior]": "void"})
    shop.stripe.advance(days=2)

    assert {"behavior": "void", "resumes_at": None} == shop.get(path)["pause_collection"]


def test_the_payment_method_is_kept_if_wanted(shop: Shop) -> None:
    """`save_default_payment_method=on_subscription` keeps what the first invoice was paid with."""
    made = subscribe(shop, shop.price(1_000), **{"payment_settings[save_default_payment_method]": "on_subscription"})

    customer = shop.get(f"/v1/customers/{made['customer']}")
    assert customer["invoice_settings"]["default_payment_method"] == made["default_payment_method"]
