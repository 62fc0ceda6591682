"""Prorations: what a change within a period credits and debits, to the second and to the cent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.invoices.proration import share
from tests.simulator.shop import DAY, Shop, at

GOOD, DECLINES, ASKS = "4242424242424242", "4000000000000341", "4000002760003184"
BILLED_NOW = [
    "invoice.created",
    "invoice.finalized",
    "payment_intent.created",
    "payment_intent.succeeded",
    "charge.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
    "customer.subscription.updated",
    "invoiceitem.created",
    "invoiceitem.created",
]


def subscribe(shop: Shop, *prices: str, card: str = GOOD, **params: str) -> dict[str, Any]:
    """A subscription that was made without Checkout, with one item per price."""
    customer = shop.customer()
    shop.stripe.use_card(customer, card)
    items = {f"items[{index}][price]": price for index, price in enumerate(prices)}
    return shop.post("/v1/subscriptions", {"customer": customer, **items, **params})


def item_of(subscription: dict[str, Any], index: int = 0) -> str:
    """The id of an item."""
    return str(subscription["items"]["data"][index]["id"])


def waiting(shop: Shop) -> list[int]:
    """The amounts of the pending invoice items, oldest first."""
    rows = shop.get("/v1/invoiceitems", {"pending": "true", "limit": "100"})["data"]
    return [row["amount"] for row in reversed(rows)]


def test_the_example_of_the_documentation() -> None:
    """100 a month from 1 May, 200 from the 15th on: 1 June bills 200 and half of a month's difference."""
    shop = Shop(StripeSimulator(now=datetime(2026, 5, 1, tzinfo=UTC)))
    small, large = shop.price(10_000), shop.price(20_000)
    subscription = subscribe(shop, small)
    shop.stripe.advance(days=14)
    before = len(shop.stripe.events)

    shop.post(
        f"/v1/subscriptions/{subscription['id']}",
        {"items[0][id]": item_of(subscription), "items[0][price]": large},
    )
    told = shop.types(before)
    items = waiting(shop)
    shop.stripe.advance(days=17, hours=1)

    # 17 of 31 days are left: 10,000 × 17/31 = 5,483.87 and 20,000 × 17/31 = 10,967.74
    assert [-5_484, 10_968] == items
    assert ["customer.subscription.updated", "invoiceitem.created", "invoiceitem.created"] == told
    renewal = shop.invoices(subscription["id"])[0]
    assert (20_000 + 5_484, "paid") == (renewal["total"], renewal["status"])
    assert [-5_484, 10_968, 20_000] == [line["amount"] for line in renewal["lines"]["data"]]
    assert [] == waiting(shop)


def test_a_credit_names_what_it_credits(shop: Shop) -> None:
    """The credit of unused time links to the line that billed it, and neither line can be discounted."""
    small, large = shop.price(1_000), shop.price(2_000)
    subscription = subscribe(shop, small)
    billed = shop.invoices(subscription["id"])[0]
    shop.stripe.advance(days=3)
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"items[0][id]": item_of(subscription), "items[0][price]": large})

    debit, credit = shop.get("/v1/invoiceitems", {"pending": "true"})["data"]

    linked = credit["proration_details"]["credited_items"]["invoice_line_item_details"]
    assert {"invoice": billed["id"], "invoice_line_items": [billed["lines"]["data"][0]["id"]]} == linked
    assert (small, large) == tuple(row["pricing"]["price_details"]["price"] for row in (credit, debit))
    assert {(True, False)} == {(row["proration"], row["discountable"]) for row in (credit, debit)}
    assert {(at(2026, 1, 18, 12), at(2026, 2, 15, 12))} == {
        (row["period"]["start"], row["period"]["end"]) for row in (credit, debit)
    }


def test_always_invoice_bills_the_difference_now(shop: Shop) -> None:
    """The subscription is told after its invoice, the invoice items last."""
    small, large = shop.price(1_000), shop.price(3_100)
    subscription = subscribe(shop, small)
    before = len(shop.stripe.events)

    changed = shop.post(
        f"/v1/subscriptions/{subscription['id']}",
        {
            "items[0][id]": item_of(subscription),
            "items[0][price]": large,
            "proration_behavior": "always_invoice",
        },
    )

    newest = shop.invoices(subscription["id"])[0]
    assert BILLED_NOW == shop.types(before)
    assert (newest["id"], 2_100, "paid", "subscription_update") == (
        changed["latest_invoice"],
        newest["total"],
        newest["status"],
        newest["billing_reason"],
    )
    assert [] == waiting(shop)


def test_without_prorations_nothing_waits(shop: Shop) -> None:
    """`none` leaves no invoice item; the next renewal bills the new quantity."""
    subscription = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"items[0][id]": item_of(subscription), "items[0][quantity]": "3", "proration_behavior": "none"})

    assert [] == waiting(shop)
    shop.stripe.advance(months=1, hours=1)
    assert 3_000 == shop.invoices(subscription["id"])[0]["total"]


def test_a_downgrade_is_credit_for_later(shop: Shop) -> None:
    """More credit than debit at once: the invoice is paid, and the rest is the customer's."""
    subscription = subscribe(shop, shop.price(5_000))
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(
        path,
        {
            "items[0][id]": item_of(subscription),
            "items[0][price]": shop.price(1_000),
            "proration_behavior": "always_invoice",
        },
    )

    newest = shop.invoices(subscription["id"])[0]
    assert (-4_000, 0, "paid") == (newest["total"], newest["amount_due"], newest["status"])
    assert -4_000 == shop.get(f"/v1/customers/{subscription['customer']}")["balance"]


def test_up_and_down_at_once_nets_zero(shop: Shop) -> None:
    """Credit and debit of the same thing over the same time cancel out, whatever the moment."""
    small, large = shop.price(999), shop.price(3_333)
    subscription = subscribe(shop, small)
    shop.stripe.advance(days=3, hours=5)
    path = f"/v1/subscriptions/{subscription['id']}"

    for price in (large, small):
        shop.post(path, {"items[0][id]": item_of(subscription), "items[0][price]": price})

    assert 4 == len(waiting(shop))
    assert 0 == sum(waiting(shop))


@given(
    amount=st.integers(0, 10_000_000),
    length=st.integers(1, 366 * DAY),
    first=st.integers(0, 366 * DAY),
    second=st.integers(0, 366 * DAY),
)
@settings(max_examples=200)
def test_splitting_time_loses_at_most_a_cent(amount: int, length: int, first: int, second: int) -> None:
    """The shares of two stretches make up the share of both, within the rounding of one line."""
    since, until = sorted((first % length, second % length))
    stretch = share(amount, (0, length), since) - share(amount, (0, length), until)

    assert 0 <= stretch <= amount
    assert abs(stretch - amount * (until - since) / length) <= 1
    assert amount == share(amount, (0, length), 0)
    assert 0 == share(amount, (0, length), length)
    assert -share(amount, (0, length), since) == share(-amount, (0, length), since)


@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 7)), min_size=1, max_size=4),
    price=st.integers(1, 99_999),
)
@settings(max_examples=15, deadline=None)
def test_quantities_cost_what_their_time_is_worth(steps: list[tuple[int, int]], price: int) -> None:
    """However quantities follow each other, the items that wait make up for the time that each of them had."""
    shop = Shop()
    subscription = subscribe(shop, shop.price(price))
    start, end = _period(subscription)
    owed, lines = 0.0, 0
    current, since = 1, start
    for days, quantity in steps:
        shop.stripe.advance(days=days)
        shop.post(
            f"/v1/subscriptions/{subscription['id']}",
            {"items[0][id]": item_of(subscription), "items[0][quantity]": str(quantity)},
        )
        owed += (quantity - current) * price * (end - shop.now) / (end - since if since == end else end - start)
        lines += 2
        current = quantity
    shop.http.close()

    assert abs(sum(waiting_of(shop)) - owed) <= lines / 2 + 0.01


def waiting_of(shop: Shop) -> list[int]:
    """The pending amounts, without a request."""
    rows = shop.stripe.state.world.table("invoiceitem")
    return [row["amount"] for row in rows if row["invoice"] is None]


def _period(subscription: dict[str, Any]) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def test_a_previewed_amount_can_be_repeated(shop: Shop) -> None:
    """With its `proration_date` the change costs an hour later what the preview said."""
    large = shop.price(7_777)
    subscription = subscribe(shop, shop.price(1_000))
    shop.stripe.advance(days=2)
    moment, change = shop.now, {"items[0][id]": item_of(subscription), "items[0][price]": large}
    details = {
        f"subscription_details[{name.split('[', 1)[0]}][{name.split('[', 1)[1]}": value
        for name, value in change.items()
    }
    preview = shop.post(
        "/v1/invoices/create_preview",
        {
            "subscription": subscription["id"],
            **details,
            "subscription_details[proration_behavior]": "always_invoice",
            "subscription_details[proration_date]": str(moment),
        },
    )
    shop.stripe.advance(hours=1)
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {**change, "proration_behavior": "always_invoice", "proration_date": str(moment)})

    billed = shop.invoices(subscription["id"])[0]
    assert (preview["total"], moment) == (
        billed["total"],
        preview["parent"]["subscription_details"]["subscription_proration_date"],
    )


def test_a_discount_counts_in_prorations(shop: Shop) -> None:
    """Half off is half off of credit and debit, so that a downgrade gives back no more than was paid."""
    shop.post("/v1/coupons", {"id": "half", "percent_off": "50", "duration": "forever"})
    subscription = subscribe(shop, shop.price(1_000), **{"discounts[0][coupon]": "half"})
    path = f"/v1/subscriptions/{subscription['id']}"
    shop.post(path, {"items[0][id]": item_of(subscription), "items[0][price]": shop.price(400)})

    assert [-500, 200] == waiting(shop)


def test_another_interval_begins_a_new_period(shop: Shop) -> None:
    """From monthly to yearly: the anchor moves, the year is billed at once, and unused time is credited."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    path = f"/v1/subscriptions/{subscription['id']}"

    changed = shop.post(
        path, {"items[0][id]": item_of(subscription), "items[0][price]": shop.price(30_000, interval="year")}
    )

    newest = shop.invoices(subscription["id"])[0]
    assert (shop.now, (at(2026, 1, 31), at(2027, 1, 31))) == (changed["billing_cycle_anchor"], _period(changed))
    assert [-1_550, 30_000] == [line["amount"] for line in newest["lines"]["data"]]
    assert (28_450, "paid") == (newest["amount_paid"], newest["status"])


def test_another_interval_without_prorations(shop: Shop) -> None:
    """`none` gives no credit, and bills the new interval at once all the same."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=10)
    shop.post(
        f"/v1/subscriptions/{subscription['id']}",
        {
            "items[0][id]": item_of(subscription),
            "items[0][price]": shop.price(30_000, interval="year"),
            "proration_behavior": "none",
        },
    )

    assert [30_000, 3_100] == [row["total"] for row in shop.invoices(subscription["id"])]


def test_from_free_to_paid_is_billed_at_once(shop: Shop) -> None:
    """The period begins anew, whatever the proration behaviour."""
    subscription = subscribe(shop, shop.price(0))
    shop.stripe.advance(days=10)
    changed = shop.post(
        f"/v1/subscriptions/{subscription['id']}",
        {"items[0][id]": item_of(subscription), "items[0][price]": shop.price(900)},
    )

    assert (shop.now, 900) == (changed["billing_cycle_anchor"], shop.invoices(subscription["id"])[0]["amount_paid"])


def test_a_new_anchor(shop: Shop) -> None:
    """`billing_cycle_anchor[type]=now` credits the rest of the period and begins one; `unchanged` does neither."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    path = f"/v1/subscriptions/{subscription['id']}"
    kept = shop.post(path, {"billing_cycle_anchor[type]": "unchanged"})
    moved = shop.post(path, {"billing_cycle_anchor[type]": "now"})

    assert (subscription["billing_cycle_anchor"], shop.now) == (
        kept["billing_cycle_anchor"],
        moved["billing_cycle_anchor"],
    )
    assert [1_550, 3_100] == [row["total"] for row in shop.invoices(subscription["id"])]


def test_items_have_endpoints_of_their_own(shop: Shop) -> None:
    """An item is added, changed and removed with prorations, and the last one stays."""
    subscription = subscribe(shop, shop.price(1_000))
    extra = shop.post("/v1/subscription_items", {"subscription": subscription["id"], "price": shop.price(500)})
    path = f"/v1/subscription_items/{extra['id']}"
    doubled = shop.post(path, {"quantity": "2", "metadata[a]": "1"})
    shop.delete(path, {"proration_behavior": "none"})

    assert ("subscription_item", 2, {"a": "1"}) == (extra["object"], doubled["quantity"], doubled["metadata"])
    assert [500, -500, 1_000] == waiting(shop)
    assert 1 == len(shop.get("/v1/subscription_items", {"subscription": subscription["id"]})["data"])
    assert 404 == shop.refused("GET", path).status
    last = f"/v1/subscription_items/{item_of(subscription)}"
    assert "at least one" in shop.refused("DELETE", last).message
    assert "price" == shop.refused("POST", "/v1/subscription_items", {"subscription": subscription["id"]}).param


def test_intervals_can_be_mixed(shop: Shop) -> None:
    """In flexible mode each item has a period of its own, and renews when it is over."""
    monthly, yearly = shop.price(1_000), shop.price(9_000, interval="year")
    subscription = subscribe(shop, monthly, yearly)
    ends = [row["current_period_end"] for row in subscription["items"]["data"]]
    shop.stripe.advance(months=1, hours=1)
    renewed = shop.subscription(subscription["id"])

    assert [at(2026, 2, 15, 12), at(2027, 1, 15, 12)] == ends
    assert [at(2026, 3, 15, 12), ends[1]] == [row["current_period_end"] for row in renewed["items"]["data"]]
    assert [1_000, 10_000] == [row["total"] for row in shop.invoices(subscription["id"])]
    shop.stripe.advance(months=11)
    assert 10_000 == shop.invoices(subscription["id"])[0]["total"]
    path = f"/v1/subscriptions/{subscription['id']}"
    refusal = shop.refused("POST", path, {"cancel_at_period_end": "true"})
    assert "simulator_not_modelled" == refusal.code
    assert at(2028, 1, 15, 12) == shop.post(path, {"cancel_at": "max_period_end"})["cancel_at"]
    assert at(2027, 2, 15, 12) == shop.post(path, {"cancel_at": "min_period_end"})["cancel_at"]


def test_classic_mode_has_one_interval(shop: Shop) -> None:
    """Mixed intervals need flexible mode, to which a subscription can be migrated once."""
    yearly = shop.price(9_000, interval="year")
    subscription = subscribe(shop, shop.price(1_000), **{"billing_mode[type]": "classic"})
    path = f"/v1/subscriptions/{subscription['id']}"
    refusal = shop.refused("POST", path, {"items[0][price]": yearly})
    migrated = shop.post(f"{path}/migrate", {"billing_mode[type]": "flexible"})

    assert ("items", {"flexible": None, "type": "classic"}) == (refusal.param, subscription["billing_mode"])
    assert ("flexible", shop.now) == (migrated["billing_mode"]["type"], migrated["billing_mode"]["updated_at"])
    assert 2 == len(shop.post(path, {"items[0][price]": yearly})["items"]["data"])
    assert 400 == shop.refused("POST", f"{path}/migrate", {"billing_mode[type]": "flexible"}).status


def test_a_first_period_up_to_an_anchor(shop: Shop) -> None:
    """A future anchor shortens the first period, which costs its share, or nothing without prorations."""
    anchor = at(2026, 1, 31)
    paid = subscribe(shop, shop.price(3_100), billing_cycle_anchor=str(anchor))
    free = subscribe(shop, shop.price(3_100), billing_cycle_anchor=str(anchor), proration_behavior="none")

    # 15.5 of the 31 days from 31 December to 31 January
    assert [1_550, 0] == [shop.invoices(row["id"])[0]["total"] for row in (paid, free)]
    assert (shop.now, anchor) == _period(paid)
    shop.stripe.advance(days=16)
    assert (anchor, at(2026, 2, 28)) == _period(shop.subscription(paid["id"]))
    assert 3_100 == shop.invoices(paid["id"])[0]["total"]


def test_an_end_within_a_later_period_shortens_it(shop: Shop) -> None:
    """`cancel_at` in the middle of a later period bills that period up to there only."""
    subscription = subscribe(shop, shop.price(2_800))
    shop.post(f"/v1/subscriptions/{subscription['id']}", {"cancel_at": str(at(2026, 3, 1, 12))})
    shop.stripe.advance(months=1, hours=1)

    assert 1_400 == shop.invoices(subscription["id"])[0]["total"]
    shop.stripe.advance(days=14)
    assert "canceled" == shop.subscription(subscription["id"])["status"]


def test_cancelling_with_credit_and_a_last_invoice(shop: Shop) -> None:
    """`prorate` credits the unused time, `invoice_now` settles it; neither drops prorations that wait."""
    subscription = subscribe(shop, shop.price(3_100))
    shop.stripe.advance(days=15, hours=12)
    before = len(shop.stripe.events)
    shop.delete(f"/v1/subscriptions/{subscription['id']}", {"prorate": "true", "invoice_now": "true"})

    last = shop.invoices(subscription["id"])[0]
    assert (-1_550, "paid") == (last["total"], last["status"])
    assert ["invoiceitem.created", "invoice.created", "customer.subscription.deleted"] == shop.types(before)[:3]
    other = subscribe(shop, shop.price(1_000))
    path = f"/v1/subscriptions/{other['id']}"
    shop.post(path, {"items[0][id]": item_of(other), "items[0][quantity]": "2"})
    shop.delete(path)
    assert [] == waiting(shop)
    assert "invoiceitem.deleted" in shop.types()


def test_added_one_time_prices_wait_for_the_next_invoice(shop: Shop) -> None:
    """`add_invoice_items` is on the first invoice of a new subscription, and on the next one of another."""
    once, price = shop.price(300, interval=None), shop.price(1_000)
    subscription = subscribe(shop, price, **{"add_invoice_items[0][price]": once})
    shop.post(f"/v1/subscriptions/{subscription['id']}", {"add_invoice_items[0][price]": once})

    assert (1_300, [300]) == (shop.invoices(subscription["id"])[0]["total"], waiting(shop))
    shop.stripe.advance(months=1)
    assert 1_300 == shop.invoices(subscription["id"])[0]["total"]


@pytest.mark.parametrize("date", [at(2026, 1, 15, 11), at(2026, 3, 1)])
def test_prorations_count_within_the_period(shop: Shop, date: int) -> None:
    """A `proration_date` outside of the current period is refused."""
    subscription = subscribe(shop, shop.price(1_000))
    params = {"items[0][id]": item_of(subscription), "items[0][quantity]": "2", "proration_date": str(date)}

    assert "proration_date" == shop.refused("POST", f"/v1/subscriptions/{subscription['id']}", params).param
