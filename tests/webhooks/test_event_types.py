"""Every type of event that Stripe can send is taken in, changes only what it names, and does so once."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from kernia_billing import Billing
from kernia_billing.domain.envelopes import read_envelope
from kernia_billing.domain.reading import id_of
from kernia_billing.domain.shapes import invoice_of, owner_of, subscription_of
from kernia_billing.operations.event_types import HANDLED, TREATMENTS
from kernia_billing_wsgi import BillingApp
from tests.harness.counts import count
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.catalogue import NEAREST, event_of, event_types, resource_name, signature_of
from tests.webhooks.shop import NEWS, PLANS, Rows, Shop, hurry, rows_of, without

PROCESSES = 8
OF_OBJECTS = {
    *("checkout.session", "subscription", "subscription_schedule", "invoice", "invoice_payment", "payment_intent"),
    *("charge", "refund", "dispute", "credit_note", "payment_method", "customer", "tax_id", "product", "price"),
    *("entitlements.active_entitlement_summary", "deleted_customer", "deleted_product", "deleted_price"),
    *("deleted_invoice", "deleted_tax_id"),
}


def test_the_package_lists_what_we_think_it_lists() -> None:
    """The list has the 275 types of version 16.1.0, every handled type among them, and a resource for each."""
    assert len(event_types()) == 275
    assert set(HANDLED) <= set(event_types())
    nearest = {type for type in event_types() if type.rpartition(".")[0] in NEAREST}
    assert len(nearest) == 10
    assert all(event_of(type)["data"]["object"] for type in event_types())


def named_by(subject: dict[str, Any]) -> set[str | None]:
    """The ids of the objects that an event about this one may bring up to date."""
    return {id_of(subject), subscription_of(subject), invoice_of(subject), owner_of(subject)}


def _changed_rows(before: Rows, after: Rows) -> Rows:
    """The rows that are new or other than before, by table."""
    known = {name: {repr(row) for row in rows} for name, rows in before.items()}
    return {name: [row for row in rows if repr(row) not in known[name]] for name, rows in after.items()}


def _belongs(shop: Shop, type: str, table: str, row: dict[str, Any]) -> None:
    """A changed row names the event, or the object of the event."""
    event = event_of(type)
    subject = event["data"]["object"]
    if table == "webhook_event":
        assert (row["event_id"], row["event_type"]) == (event["id"], type)
        assert row["object_id"] in {subject.get("id"), ""}
        assert row["status"] in ("processed", "ignored", "unmatched")
    elif table == "outbox":
        assert row["payload"]["data"]["id"] == event["id"]
    elif table == "stripe_object":
        assert row["stripe_id"] in named_by(subject)
    elif table == "stripe_customer":
        assert row["id"] == (subject["id"] if subject["object"] == "customer" else subject["customer"])
    else:
        raise AssertionError(f"{type} changed {table}: {row}")


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "of-a-customer"])
def test_each_type_gets_a_receipt_and_changes_only_rows_of_what_it_names(
    shop: Shop, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    """One event of each type, signed by the official package, whose customer is known or not; then all again."""
    shop.buy("bob", "team")
    if known:
        _know_the_fixtures_customer(shop)
    caplog.set_level(logging.WARNING)
    statuses: Counter[str] = Counter()
    after = shop.rows()
    for type in event_types():
        body = json.dumps(event_of(type)).encode()
        before = after
        receipt = shop.billing.webhooks.receive(
            body, signature_of(body, shop.stripe.webhook_secret, shop.stripe.clock.seconds())
        )
        assert receipt.event_id == event_of(type)["id"]
        after = shop.rows()
        for table, rows in _changed_rows(before, after).items():
            for row in rows:
                _belongs(shop, type, table, row)
        statuses[receipt.status] += 1
        assert (receipt.status == "ignored") == (type not in HANDLED), type
    assert sum(statuses.values()) == 275
    assert not [each.getMessage() for each in caplog.records]
    assert {resource_name(type) for type in HANDLED} <= OF_OBJECTS
    for type in event_types():
        assert shop.post(event_of(type)).status == "skipped"
    assert shop.rows() == after
    count(f"webhooks: event types, of a customer that is {'known' if known else 'unknown'}", 275)


def test_each_type_gets_2xx_over_http(shop: Shop) -> None:
    """One event of each type, signed by the official package and posted to the route, is received; then skipped."""
    client = Client(BillingApp(shop.billing, identify=lambda _: None))
    for repeated in (False, True):
        for type in event_types():
            body = json.dumps(event_of(type)).encode()
            header = signature_of(body, shop.stripe.webhook_secret, shop.stripe.clock.seconds())
            answer = client.post("/stripe/webhook", data=body, headers={"Stripe-Signature": header})
            told = {"received": True, "skipped": True} if repeated else {"received": True}
            assert (200, told) == (answer.status_code, answer.json), type
    count("webhooks: event types over HTTP", 275)


def _know_the_fixtures_customer(shop: Shop) -> None:
    """Let the customer that the fixtures name be ours."""
    theirs = event_of("customer.subscription.created")["data"]["object"]["customer"]
    customers = shop.stripe.state.world.table("customer").rows
    customers[theirs] = {**customers[shop.account.customer()], "id": theirs}
    shop.billing.customers.link("fixture", theirs)


@pytest.mark.parametrize("noun", ["customer.subscription", "customer", "invoice", "checkout", "product", "price"])
def test_an_event_about_an_object_of_ours_changes_that_object_alone(quiet_shop: Shop, noun: str) -> None:
    """The fixture of each handled type under the id of ann's object, which has changed at Stripe: bob's rows stay."""
    shop = quiet_shop
    ann, bob = shop.buy("ann", "pro"), shop.buy("bob", "team")
    shop.billing.catalog.sync()
    bobs = shop.billing.customers.get("bob")
    assert bobs is not None
    for number, type in enumerate(_types_of(noun)):
        ours = _change(shop, noun, str(ann.stripe_id), f"Change {number}")
        event = event_of(type)
        subject = event["data"]["object"]
        if noun == "invoice":
            subject["parent"] = {"type": "subscription_details", "subscription_details": {"subscription": ours}}
        else:
            subject["id"] = ours
        before = shop.rows()
        assert shop.post(event).status == "applied"
        changed = without(_changed_rows(before, shop.rows()), *NEWS)
        assert {table for table, rows in changed.items() if rows} == TOUCHED[noun]
        foreign = {bob.id, bob.stripe_id, bobs.stripe_id, "bob"}
        assert not [row for rows in changed.values() for row in rows if foreign & set(map(str, row.values()))]


def _types_of(noun: str) -> list[str]:
    """The handled types whose events are about an object of this kind, and bring it up to date."""
    return [each for each in HANDLED if each.rpartition(".")[0].startswith(noun) and _brings(noun, each)]


def _brings(noun: str, type: str) -> bool:
    kinds = {target.kind for target in TREATMENTS[type].targets if target.place != "customer"}
    wanted = {"customer.subscription": "subscription", "checkout": "checkout.session"}.get(noun, noun)
    return wanted in kinds and not type.startswith("invoice_payment")


def _change(shop: Shop, noun: str, subscription: str, name: str) -> str:
    """Change something of ann's at Stripe, of which she hears nothing yet; gives the id of what changed."""
    product = str(shop.account.get("/v1/prices/price_pro")["product"])
    if noun == "customer":
        shop.account.post(f"/v1/customers/{shop.customer()}", {"balance": f"{name.removeprefix('Change ')}01"})
        return shop.customer()
    if noun in ("customer.subscription", "invoice"):
        turned = not shop.account.subscription(subscription)["cancel_at_period_end"]
        shop.account.post(f"/v1/subscriptions/{subscription}", {"cancel_at_period_end": str(turned).lower()})
        return subscription
    if noun == "checkout":
        opened = shop.upgrade(f"ann {name}", "pro")
        shop.stripe.pay(opened)
        return str(opened.session_id)
    if noun == "product":
        shop.account.post(f"/v1/products/{product}", {"name": name})
        return product
    shop.account.post("/v1/prices/price_pro", {"nickname": name})
    return "price_pro"


TOUCHED = {
    "customer.subscription": {"audit", "customer", "subscription"},
    "customer": {"stripe_customer"},
    "invoice": {"audit", "customer", "subscription"},
    "checkout": {
        "audit",
        "checkout_session",
        "customer",
        "customer_change",
        "subscription",
        "entitlement",
        "entitlement_change",
    },
    "product": {"product"},
    "price": {"price"},
}
"""The tables that the news of an object changes, beside those that note every event."""


def _posting(url: str, bodies: list[bytes], turn: int) -> Callable[[RemoteStripe], Counter[str]]:
    def work(stripe: RemoteStripe) -> Counter[str]:
        from kernia_billing.testing.simulator.webhooks.signing import signature

        told: Counter[str] = Counter()
        with Billing(database=url, stripe_client=stripe, plans=PLANS, default_plan="free", on_event=_forget) as billing:
            hurry(billing)
            stripe.ready()
            # Each begins elsewhere, so that they meet at different events; the first quarter they race for in step.
            first, rest = bodies[: len(bodies) // 4], bodies[len(bodies) // 4 :]
            for body in [*first, *rest[turn * 7 :], *rest[: turn * 7]]:
                header = signature(body, stripe.webhook_secret, stripe.clock.micros // 1_000_000)
                told[billing.webhooks.receive(body, header).status] += 1
        return told

    return work


def _reads(type: str) -> int:
    """How many objects are asked of Stripe for an event: those that it names, but for pages that we did not open."""
    if type not in HANDLED or type.startswith("checkout."):
        return 0
    row = read_envelope(event_of(type), 0).row
    # Payments that nothing of ours was bought with are not asked for.
    named = {"object": row.object_id, "customer": row.customer, **row.payload, "payment_intent": ""}
    return sum(bool(named.get(target.place)) for target in TREATMENTS[type].targets)


def _forget(_event: object) -> None:
    pass


@pytest.mark.parametrize(
    ("engine", "every"),
    [
        pytest.param("sqlite", 1, marks=pytest.mark.sqlite),
        pytest.param("postgresql", 9, marks=pytest.mark.postgresql),
        pytest.param("mariadb", 9, marks=pytest.mark.mariadb),
    ],
)
def test_the_same_event_from_eight_processes_has_one_effect(
    make_database: Callable[[str], str], engine: str, every: int
) -> None:
    """Eight processes deliver the same events: one row, one round of work and one note for hooks each."""
    url = make_database(engine)
    shop = Shop(url)
    shop.billing.jobs.run()
    shop.close()
    types = [type for number, type in enumerate(event_types()) if number % every == 0 or type in HANDLED]
    bodies = [json.dumps(event_of(type, number=1)).encode() for type in types]
    asked = len(shop.stripe.requests)
    told = together(shop.stripe, [_posting(url, bodies, turn) for turn in range(PROCESSES)])
    rows = rows_of(url)
    answers = sum(told, Counter[str]())
    assert sum(answers.values()) == PROCESSES * len(types)
    assert sum(answers.values()) - answers["skipped"] == len(types)
    assert sorted(row["event_type"] for row in rows["webhook_event"]) == sorted(types)
    assert {row["attempts"] for row in rows["webhook_event"]} == {1}
    notes = Counter(row["payload"]["data"]["id"] for row in rows["outbox"])
    assert set(notes.values()) == {1}
    assert len(notes) == len(types)
    assert len(shop.stripe.requests) - asked == sum(_reads(type) for type in types)
    count("webhooks: events delivered by 8 processes at once", PROCESSES * len(types))
    assert not without(rows, *NEWS)["subscription"]
