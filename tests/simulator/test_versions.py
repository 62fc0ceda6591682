"""The same account in every version of the API: newer fields gone, older ones back, the rest untouched.

The oracle is the official package of the testing extra (16.1.0): what it knows is the newest version. An older shape
must displease it at the fields that moved since, and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from copy import deepcopy
from typing import Any

import httpx
import pytest

from kernia_billing.testing import SimulatorError
from kernia_billing.testing.oracle import object_oracle
from kernia_billing.testing.simulator.versions import CURRENT_VERSION, VERSIONS
from kernia_billing.testing.simulator.world.events import shown
from tests.simulator.shop import Shop
from tests.simulator.story import tell

OLDEST, BASIL, CLOVER = "2024-04-10", "2025-03-31.basil", "2025-09-30.clover"
DAHLIA, DAHLIA_JULY = "2026-03-25.dahlia", "2026-07-29.dahlia"

_PORTAL = "features.subscription_pause"
_PORTAL_TRIALS = "features.subscription_update.trial_update_behavior"
_SUBMISSION, _NETWORK = "evidence_details.submission_method", "payment_method_details.card.network"
MOVED: dict[str, dict[str, set[str]]] = {
    CURRENT_VERSION: {},
    DAHLIA_JULY: {
        "billing_portal.configuration": {_PORTAL},
        "dispute": {_SUBMISSION},
        "subscription_schedule": {"pause_schedules"},
    },
    DAHLIA: {
        "billing_portal.configuration": {_PORTAL},
        "dispute": {_SUBMISSION, _NETWORK},
        "subscription": {"billing_schedules"},
        "subscription_schedule": {"pause_schedules"},
    },
    CLOVER: {
        "billing_portal.configuration": {_PORTAL},
        "checkout.session": {"ui_mode"},
        "dispute": {_SUBMISSION, _NETWORK},
        "invoice": {"lines.data.subtotal"},
        "invoiceitem": {"quantity_decimal"},
        "subscription": {"billing_schedules"},
        "subscription_schedule": {"pause_schedules"},
    },
    BASIL: {
        "billing_portal.configuration": {_PORTAL, _PORTAL_TRIALS},
        "checkout.session": {"ui_mode"},
        "credit_note": {"post_payment_amount", "pre_payment_amount"},
        "discount": {"coupon", "source"},
        "dispute": {_SUBMISSION, _NETWORK, "balance_transactions.balance_type"},
        "invoice": {"lines.data.subtotal"},
        "invoiceitem": {"quantity_decimal"},
        "promotion_code": {"coupon", "promotion"},
        "subscription": {"billing_mode", "billing_schedules"},
        "subscription_schedule": {"billing_mode", "pause_schedules"},
    },
    OLDEST: {
        "billing_portal.configuration": {
            _PORTAL,
            _PORTAL_TRIALS,
            "features.subscription_update.schedule_at_period_end",
        },
        "charge": {"invoice"},
        "checkout.session": {"shipping_details", "ui_mode"},
        "credit_note": {
            "lines.data.pretax_credit_amounts",
            "lines.data.tax_amounts",
            "post_payment_amount",
            "pre_payment_amount",
            "pretax_credit_amounts",
            "refund",
            "refunds",
            "tax_amounts",
        },
        "discount": {"coupon", "source"},
        "dispute": {
            _SUBMISSION,
            _NETWORK,
            "balance_transactions.balance_type",
            "enhanced_eligibility_types",
            "evidence.enhanced_evidence",
            "evidence_details.enhanced_eligibility",
            "payment_method_details.card.case_type",
        },
        "invoice": {
            "amount_overpaid",
            "application_fee_amount",
            "charge",
            "discount",
            "lines.data.amount_excluding_tax",
            "lines.data.invoice_item",
            "lines.data.plan",
            "lines.data.price",
            "lines.data.proration",
            "lines.data.proration_details",
            "lines.data.subscription_item",
            "lines.data.subtotal",
            "lines.data.tax_amounts",
            "lines.data.tax_rates",
            "lines.data.type",
            "lines.data.unit_amount_excluding_tax",
            "paid",
            "paid_out_of_band",
            "payment_intent",
            "quote",
            "subscription",
            "subscription_details",
            "tax",
            "total_tax_amounts",
            "transfer_data",
        },
        "invoiceitem": {
            "plan",
            "price",
            "quantity_decimal",
            "subscription",
            "subscription_item",
            "unit_amount",
            "unit_amount_decimal",
        },
        "payment_intent": {"invoice"},
        "price": {"recurring.aggregate_usage"},
        "promotion_code": {"coupon", "promotion"},
        "subscription": {
            "billing_mode",
            "billing_schedules",
            "current_period_end",
            "current_period_start",
            "discount",
            "invoice_settings",
            "items.data.current_period_end",
            "items.data.current_period_start",
            "items.data.plan.aggregate_usage",
            "items.data.price.recurring.aggregate_usage",
        },
        "subscription_item": {
            "current_period_end",
            "current_period_start",
            "plan.aggregate_usage",
            "price.recurring.aggregate_usage",
        },
        "subscription_schedule": {"billing_mode", "pause_schedules", "phases.coupon"},
    },
}
"""Where the oracle complains about which kind of object in which version: unknown there by now, or required since."""


@pytest.fixture(scope="module")
def told() -> Shop:
    """An account after a long story; not to be changed."""
    return tell(Shop())


def _complaints(value: dict[str, Any]) -> set[str]:
    oracle = object_oracle()
    assert oracle is not None
    return {re.sub(r"\[\d+\]", "", each).partition(": ")[0] for each in oracle.check(value)}


def test_the_table_is_of_every_version() -> None:
    """Nothing that the simulator speaks is left out here."""
    assert [*MOVED] == [*VERSIONS]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_differ_at_the_moved_fields_only(told: Shop, version: str) -> None:
    """Of every object of the story, the oracle complains about what the table says, and the store stays as it was."""
    world = told.stripe.state.world
    before = deepcopy({kind: table.rows for kind, table in world.tables.items()})
    found: dict[str, set[str]] = defaultdict(set)
    for kind, table in world.tables.items():
        for row in table.rows.values():
            found[kind] |= _complaints(world.render(row, version))

    assert MOVED[version] == {kind: places for kind, places in found.items() if places}
    assert before == {kind: table.rows for kind, table in world.tables.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_events_differ_at_the_moved_fields_only(told: Shop, version: str) -> None:
    """So of the objects in events, which are as they were then; and `api_version` says which shape it is."""
    world = told.stripe.state.world
    before = deepcopy(world.events.log)
    for event in world.events.log:
        rendered = shown(world, event, version)
        about = rendered["data"]["object"]
        assert version == rendered["api_version"]
        assert _complaints(about) <= MOVED[version].get(about["object"], set())

    assert before == world.events.log
    assert len(before) > 80


def test_a_subscription_before_basil(told: Shop) -> None:
    """The period stands at the top and no longer on the items; nothing of the billing mode."""
    world = told.stripe.state.world
    for row in world.table("subscription"):
        old, new = world.render(row, OLDEST), world.render(row)
        (item,) = new["items"]["data"]
        period = item["current_period_start"], item["current_period_end"]
        assert period == (old["current_period_start"], old["current_period_end"])
        assert "current_period_end" not in old["items"]["data"][0]


def test_an_invoice_before_basil(told: Shop) -> None:
    """Subscription, payment, tax, price, kind and proration stand where they stood."""
    world = told.stripe.state.world
    reasons: set[str] = set()
    for row in world.table("invoice"):
        old = world.render(row, OLDEST)
        reasons.add(old["billing_reason"])
        assert (row["_subscription"], row["status"] == "paid") == (old["subscription"], old["paid"])
        intents = {p["payment"]["payment_intent"] for p in world.table("invoice_payment") if p["invoice"] == old["id"]}
        assert old["payment_intent"] in (intents or {None})
        if old["payment_intent"] is not None:
            assert world.find(old["payment_intent"])["latest_charge"] == old["charge"]
            assert old["id"] == world.render(world.find(old["charge"]), OLDEST)["invoice"]
        for new, line in zip(row["lines"]["data"], old["lines"]["data"], strict=True):
            assert new["pricing"]["price_details"]["price"] == line["price"]["id"] == line["plan"]["id"]
            assert (line["type"] == "invoiceitem") == ("invoice_item" in line)
            assert line["proration"] == (line["type"] == "invoiceitem")
    assert {"subscription_create", "subscription_update", "subscription_cycle"} <= reasons


def test_coupons_before_clover(told: Shop) -> None:
    """A discount holds its coupon whole, and so does a promotion code."""
    world = told.stripe.state.world
    (coupon,), (discount,), (code,) = (world.table(kind) for kind in ("coupon", "discount", "promotion_code"))
    for version, whole in ((CLOVER, False), (BASIL, True)):
        shapes = world.render(discount, version), world.render(code, version)
        assert [whole, whole] == ["coupon" in shape for shape in shapes]
        assert all(shape["coupon"]["percent_off"] == 25.0 for shape in shapes if whole)
        assert all(shape["coupon"]["id"] == coupon["id"] for shape in shapes if whole)
    reduced = next(row for row in world.table("subscription") if row["discounts"])
    assert discount["id"] == world.render(reduced, OLDEST)["discount"]["id"]


def test_the_page_of_a_checkout_had_another_name(told: Shop) -> None:
    """`hosted_page` is `hosted` before dahlia."""
    world = told.stripe.state.world
    session = next(iter(world.table("checkout.session")))

    assert ["hosted_page", "hosted"] == [world.render(session, v)["ui_mode"] for v in (DAHLIA, CLOVER)]


def test_what_changed_is_told_in_the_version(told: Shop) -> None:
    """A renewal changes the period: on the items today, at the top before basil."""
    world = told.stripe.state.world
    renewals = [
        event
        for event in world.events.log
        if event["type"] == "customer.subscription.updated" and "items" in event["data"]["previous_attributes"]
    ]
    assert renewals
    moved = [shown(world, event, OLDEST)["data"]["previous_attributes"] for event in renewals]

    assert any("current_period_end" in previous for previous in moved)
    assert all("current_period_end" not in json.dumps(previous.get("items", {})) for previous in moved if previous)


def test_an_event_stays_as_it_was(shop: Shop) -> None:
    """In an older version too an event shows the moment it was emitted: the charge of that try, not of a later one."""
    shop.stripe.event_version = OLDEST
    customer = shop.customer()
    shop.buy(customer=customer)
    shop.stripe.use_card(customer, "4000000000000002")
    shop.stripe.advance(months=1, days=10)

    failures = [e["data"]["object"] for e in shop.stripe.events if e["type"] == "invoice.payment_failed"]
    charges = [failure["charge"] for failure in failures]
    assert len(charges) > 2
    assert len(set(charges)) == len(charges)
    assert {OLDEST} == {event["api_version"] for event in shop.stripe.events}


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_have_the_version_of_the_request(shop: Shop, version: str) -> None:
    """Reads, lists and writes alike; the header of the answer says it."""
    subscription = shop.buy()["id"]
    headers = {"Stripe-Version": version}

    one = shop.http.get(f"/v1/subscriptions/{subscription}", headers=headers)
    page = shop.http.get("/v1/subscriptions", headers=headers)
    data = {"metadata[a]": "1"}
    written = shop.http.post(f"/v1/subscriptions/{subscription}", data=data, headers=headers)

    assert version == one.headers["stripe-version"]
    for shape in (one.json(), page.json()["data"][0], written.json()):
        assert ("current_period_end" in shape) is (version == OLDEST)
        assert ("billing_mode" in shape) is (version not in (OLDEST, BASIL))


def test_expansions_follow_the_version(shop: Shop) -> None:
    """Before basil an invoice's payment intent can be expanded and its payments cannot; today it is the reverse."""
    shop.buy()

    def invoices(version: str, path: str) -> httpx.Response:
        headers = {"Stripe-Version": version}
        return shop.http.get("/v1/invoices", params={"expand[0]": f"data.{path}"}, headers=headers)

    old = invoices(OLDEST, "payment_intent").json()["data"][0]
    new = invoices(CURRENT_VERSION, "payments.data.payment.payment_intent").json()["data"][0]
    assert old["payment_intent"]["id"] == new["payments"]["data"][0]["payment"]["payment_intent"]["id"]
    assert old["id"] == old["payment_intent"]["invoice"]
    assert "invoice" not in new["payments"]["data"][0]["payment"]["payment_intent"]
    for version, path in ((CURRENT_VERSION, "payment_intent"), (OLDEST, "payments")):
        assert "property_forbidden" == invoices(version, path).json()["error"]["code"]


def test_without_a_version_the_accounts_holds(shop: Shop) -> None:
    """A request that names no version gets the account's; one that names an unknown version is refused."""
    subscription = shop.buy()["id"]
    del shop.http.headers["Stripe-Version"]
    assert "current_period_end" not in shop.subscription(subscription)
    shop.stripe.event_version = OLDEST

    assert "current_period_end" in shop.subscription(subscription)
    assert 400 == shop.http.get("/v1/customers", headers={"Stripe-Version": "2012-09-24"}).status_code
    with pytest.raises(SimulatorError, match="2012-09-24"):
        shop.stripe.event_version = "2012-09-24"
