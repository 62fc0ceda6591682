"""What was recorded at Stripe happens on the simulator: the same types in the same order, the states on the way."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any, get_args

import pytest

from kernia_billing import Billing, Plan
from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.oracle import object_oracle
from kernia_billing.testing.simulator.versions import VERSIONS
from kernia_billing.testing.simulator.world.events import shown
from kernia_billing.testing.simulator.world.purchase_orders import PurchaseOrder
from tests.simulator.recordings import RECORDINGS, Recording, advance, check_out, subscribe, unpaid_renewal
from tests.simulator.shop import Shop
from tests.simulator.test_versions import MOVED, OLDEST

SIMPLE, FEE, _, _, TRIAL, RENEWAL, YEAR, CANCELLATION, REFUND = RECORDINGS
_ITEM = {"invoice": {"lines.data.invoice_item"}}
ABSENT: dict[Recording, dict[str, set[str]]] = {
    **{each: _ITEM for each in RECORDINGS if "invoice.created" in each.types},
    FEE: {"invoiceitem": {"subscription_item"}},
    YEAR: {},
}
"""Moved fields that no object of a recording has in the oldest version: nothing is billed there by invoice items, or
nothing of a subscription item."""
CLOCK_BEFORE_ACACIA = {"test_helpers.test_clock": {"status_details"}}


def _of(shop: Shop, before: int, prefix: str) -> list[dict[str, Any]]:
    """The objects of the events whose type begins so."""
    return [event["data"]["object"] for event in shop.stripe.events[before:] if event["type"].startswith(prefix)]


def _complaints(value: dict[str, Any]) -> set[str]:
    oracle = object_oracle()
    assert oracle is not None
    return {re.sub(r"\[\d+\]", "", each).partition(": ")[0] for each in oracle.check(value)}


def _moved(recording: Recording, version: str) -> dict[str, set[str]]:
    """Where the oracle must complain about the objects of a recording, by kind."""
    table = {**MOVED[version], **(CLOCK_BEFORE_ACACIA if version == OLDEST else {})}
    absent = ABSENT.get(recording, {}) if version == OLDEST else {}
    return {kind: places - absent.get(kind, set()) for kind, places in table.items()}


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_it_is_told_as_it_was_recorded(shop: Shop, recording: Recording) -> None:
    """Type for type; what the recording lacks stands at a known place."""
    before = recording.replay(shop)

    assert recording.types == shop.types(before)


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_what_is_told_passes_the_oracle(shop: Shop, recording: Recording) -> None:
    """Every event of a recording, and every object that the account then has, is one of Stripe's newest version."""
    before = recording.replay(shop)
    oracle, world = object_oracle(), shop.stripe.state.world
    assert oracle is not None

    assert [] == [error for event in shop.stripe.events[before:] for error in oracle.check_event(event)]
    assert set() == {
        error
        for table in world.tables.values()
        for row in table.rows.values()
        for error in _complaints(world.render(row))
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
def test_older_versions_differ_at_the_moved_fields(shop: Shop, recording: Recording, version: str) -> None:
    """Told in an older version, the oracle of the newest complains about every field that moved since, and no other."""
    before = recording.replay(shop)
    world, found = shop.stripe.state.world, defaultdict[str, set[str]](set)
    for event in world.events.log[before:]:
        told = shown(world, event, version)["data"]["object"]
        found[told["object"]] |= _complaints(told)

    moved = _moved(recording, version)
    assert {kind: moved.get(kind, set()) for kind in found} == found


@pytest.mark.parametrize("order", ["2026-04", "2023-11"])
def test_checkout_tells_the_rest_as_without_it(shop: Shop, order: PurchaseOrder) -> None:
    """But for the session, a purchase on the page is told as a subscription made without it was recorded."""
    told = shop.types(check_out(shop, order))

    assert SIMPLE.types == [type for type in told if type != "checkout.session.completed"]


@pytest.mark.parametrize("order", get_args(PurchaseOrder))
def test_each_order_tells_the_same(shop: Shop, order: PurchaseOrder) -> None:
    """The order changes nothing of what is told: the subscription is active at once, the invoice is seen on its way."""
    before = check_out(shop, order)
    invoices = {
        event["type"]: event["data"]["object"]["status"]
        for event in shop.stripe.events[before:]
        if event["type"].startswith("invoice.")
    }

    assert Counter([*SIMPLE.types, "checkout.session.completed"]) == Counter(shop.types(before))
    assert ["active"] == [each["status"] for each in _of(shop, before, "customer.subscription.")]
    assert ["complete"] == [each["status"] for each in _of(shop, before, "checkout.session.")]
    assert ("draft", "open", "paid") == tuple(
        invoices[f"invoice.{what}"] for what in ("created", "finalized", "payment_succeeded")
    )


@pytest.mark.parametrize("order", get_args(PurchaseOrder))
def test_the_library_learns_the_same_from_each_order(order: PurchaseOrder) -> None:
    """Delivered as it was told, a purchase leads to an active subscription."""
    simulator = StripeSimulator()
    simulator.settings.purchase_order = order
    plans = [Plan("team", price_id="price_team")]
    with Billing(stripe_client=simulator, database="sqlite://", plans=plans) as billing:
        simulator.subscribe("org_1", "team")

        bought = billing.subscriptions.get("org_1")
        assert bought is not None
        assert ("active", "team") == (bought.status, bought.plan)


def test_any_order_can_be_had_again(shop: Shop) -> None:
    """Shuffled purchases differ from one to the next, and a seed repeats them."""

    def purchases() -> list[list[str]]:
        shop.stripe.delivery.seed(3)
        return [shop.types(check_out(shop, "shuffled")) for _ in range(5)]

    first = purchases()
    assert len({tuple(each) for each in first}) == len(first)
    assert first == purchases()


def test_a_customer_is_told_with_the_card_that_it_brings(shop: Shop) -> None:
    """The card is attached first; the new customer has it as the default."""
    before = subscribe(shop)
    (method,), (customer, _) = _of(shop, before, "payment_method."), _of(shop, before, "customer.")[:2]

    assert (method["id"], customer["id"]) == (
        customer["invoice_settings"]["default_payment_method"],
        method["customer"],
    )


def test_what_is_sold_once_is_an_invoice_item(shop: Shop) -> None:
    """It is told, can be read, and belongs to the first invoice, whose line names it."""
    (item,) = _of(shop, FEE.replay(shop), "invoiceitem.")
    invoice = shop.get(f"/v1/invoices/{item['invoice']}")
    named = [line["parent"]["invoice_item_details"] for line in invoice["lines"]["data"]]

    assert item == shop.get(f"/v1/invoiceitems/{item['id']}")
    assert (500, [item["id"]]) == (item["amount"], [each["invoice_item"] for each in named if each])
    assert [] == shop.get("/v1/invoiceitems", {"pending": "true"})["data"]


def test_a_renewal_is_unpaid_and_active_for_an_hour(shop: Shop) -> None:
    """The draft says when it is tried; until that second the subscription is active, then it is past due."""
    clock, subscription = unpaid_renewal(shop)
    before = len(shop.stripe.events)
    end = subscription["items"]["data"][0]["current_period_end"]
    seen: list[tuple[str, str, int]] = []
    for passed in (0, 3_599, 3_600):
        advance(shop, clock, end + passed)
        invoice = shop.invoices(subscription["id"])[0]
        seen.append((shop.subscription(subscription["id"])["status"], invoice["status"], invoice["attempt_count"]))

    assert [("active", "draft", 0), ("active", "draft", 0), ("past_due", "open", 1)] == seen
    (draft,), (failed,) = (_of(shop, before, f"invoice.{what}") for what in ("created", "payment_failed"))
    assert (end, end + 3_600, "draft") == (draft["created"], draft["next_payment_attempt"], draft["status"])
    assert (1, "open") == (failed["attempt_count"], failed["status"])
    assert ["active", "past_due"] == [each["status"] for each in _of(shop, before, "customer.subscription.")]


@pytest.mark.parametrize(
    ("recording", "states"),
    [(TRIAL, ["trialing", "trialing", "canceled"]), (YEAR, ["active"]), (CANCELLATION, ["canceled"]), (REFUND, [])],
    ids=str,
)
def test_the_states_on_the_way(shop: Shop, recording: Recording, states: list[str]) -> None:
    """Each event has the subscription as it was then; a refund leaves it alone."""
    before = recording.replay(shop)

    assert states == [each["status"] for each in _of(shop, before, "customer.subscription.")]


def test_a_change_that_costs_nothing_is_paid_at_once(shop: Shop) -> None:
    """The rest of the year goes to the customer's balance: the invoice is negative, and no payment is made for it."""
    before = YEAR.replay(shop)
    (customer,), (paid,) = _of(shop, before, "customer.updated"), _of(shop, before, "invoice.paid")

    assert (paid["total"], 0) == (customer["balance"], paid["amount_due"])
    assert paid["total"] < 0


def test_the_failed_renewal_is_told_of_the_month_to_come(shop: Shop) -> None:
    """The first update of a failing renewal has the new period already: nobody may take it for a payment."""
    before = RENEWAL.replay(shop)
    renewed, failed = _of(shop, before, "customer.subscription.")

    assert renewed["items"]["data"][0]["current_period_end"] == failed["items"]["data"][0]["current_period_end"]
    assert {"status": "active"} == [
        event["data"]["previous_attributes"] for event in shop.stripe.events if event["type"].endswith("tion.updated")
    ][-1]
