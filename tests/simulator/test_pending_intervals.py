"""What waits for an invoice of a subscription can be billed more often than the subscription itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import Shop
from tests.simulator.test_prorations import GOOD

_EVERY = "pending_invoice_item_interval"


def _yearly(shop: Shop, **params: str) -> str:
    customer = shop.customer()
    shop.stripe.use_card(customer, GOOD)
    price = shop.price(12_000, interval="year")
    return str(shop.post("/v1/subscriptions", {"customer": customer, "items[0][price]": price, **params})["id"])


def _monthly(count: int = 1) -> dict[str, str]:
    return {f"{_EVERY}[interval]": "month", f"{_EVERY}[interval_count]": str(count)}


def _more(shop: Shop, id: str, quantity: int) -> None:
    """Another quantity; its prorations wait."""
    item = shop.get(f"/v1/subscriptions/{id}")["items"]["data"][0]["id"]
    shop.post(f"/v1/subscription_items/{item}", {"quantity": str(quantity)})


def _billed(shop: Shop) -> list[tuple[str, str]]:
    """Reason and status of the invoices after the first, oldest first."""
    invoices = shop.get("/v1/invoices")["data"]
    return [(each["billing_reason"], each["status"]) for each in reversed(invoices)][1:]


def test_what_waits_is_billed_at_the_interval(shop: Shop) -> None:
    """A draft for an hour at the end of the month, then paid; a month in which nothing waits has none."""
    id = _yearly(shop, **_monthly())
    made = shop.get(f"/v1/subscriptions/{id}")
    assert made[_EVERY] == {"interval": "month", "interval_count": 1}
    due = made["next_pending_invoice_item_invoice"]
    shop.stripe.advance(days=10)
    _more(shop, id, 2)
    assert _billed(shop) == []
    shop.stripe.advance(days=21)
    assert _billed(shop) == [("automatic_pending_invoice_item_invoice", "draft")]
    shop.stripe.advance(hours=1)
    assert _billed(shop) == [("automatic_pending_invoice_item_invoice", "paid")]
    assert shop.get(f"/v1/subscriptions/{id}")["next_pending_invoice_item_invoice"] > due
    shop.stripe.advance(months=3)
    assert len(_billed(shop)) == 1


def test_the_renewal_bills_what_waits_where_both_come_together(shop: Shop) -> None:
    """At the end of the year there is one invoice, that of the renewal."""
    id = _yearly(shop, **_monthly())
    shop.stripe.advance(months=11, days=3)
    _more(shop, id, 2)
    shop.stripe.advance(days=40)
    assert _billed(shop) == [("subscription_cycle", "paid")]


@pytest.mark.parametrize("after", [None, ""])
def test_it_is_set_and_taken_away_later(shop: Shop, after: str | None) -> None:
    """By an update; without an interval what waits does so until the renewal."""
    id = _yearly(shop)
    path = f"/v1/subscriptions/{id}"
    shop.post(path, _monthly(2))
    if after is not None:
        assert shop.post(path, {_EVERY: after})["next_pending_invoice_item_invoice"] is None
    _more(shop, id, 3)
    shop.stripe.advance(months=2, hours=2)
    assert len(_billed(shop)) == (after is None)


def test_an_ended_subscription_is_billed_no_more(shop: Shop) -> None:
    """Whatever its interval was."""
    id = _yearly(shop, **_monthly())
    _more(shop, id, 2)
    shop.delete(f"/v1/subscriptions/{id}")
    shop.stripe.advance(months=2)
    assert _billed(shop) == []


_WRONG: list[dict[str, Any]] = [
    {f"{_EVERY}[interval]": "hour"},
    {f"{_EVERY}[interval_count]": "1"},
    {f"{_EVERY}[interval]": "month", f"{_EVERY}[interval_count]": "13"},
    {f"{_EVERY}[interval]": "month", f"{_EVERY}[interval_count]": "12"},
    {f"{_EVERY}[interval]": "year"},
    {**_monthly(), "payment_behavior": "pending_if_incomplete"},
]


@pytest.mark.parametrize("params", _WRONG)
def test_what_stripe_does_not_take_is_refused(shop: Shop, params: dict[str, str]) -> None:
    """No such interval, more than a year, no shorter than the plan's, and beside a change that waits to be paid."""
    id = _yearly(shop)
    shop.refused("POST", f"/v1/subscriptions/{id}", params)
    assert shop.get(f"/v1/subscriptions/{id}")[_EVERY] is None
