"""Usage on invoices: the past period at renewal, late usage in the draft hour, the last invoice of what was used."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing import Billing, Plan
from kernia_billing.testing import StripeSimulator
from tests.simulator.metering import DAY, HOUR, buy_metered, meter, usage, use
from tests.simulator.shop import Shop


def _lines(invoice: dict[str, Any]) -> list[tuple[int, int]]:
    """Quantity and amount of each line."""
    return [(line["quantity"], line["amount"]) for line in invoice["lines"]["data"]]


def test_a_renewal_bills_the_past_period(shop: Shop) -> None:
    """The first invoice is for nothing; at renewal what was counted is priced, over the period in which it was used."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(3, metered=True, meter="tokens"))
    begun = shop.now
    for amount in (5, 7):
        use(shop, customer, amount)
    shop.stripe.advance(months=1)
    draft, first = shop.invoices(bought)
    shop.stripe.advance(hours=2)
    paid = shop.invoices(bought)[0]

    assert [(0, 0)] == _lines(first)
    assert ("draft", [(12, 36)], 36) == (draft["status"], _lines(draft), draft["amount_due"])
    assert ("paid", 36) == (paid["status"], paid["amount_paid"])
    assert begun == paid["lines"]["data"][0]["period"]["start"]
    shop.stripe.advance(months=1)
    assert [(0, 0)] == _lines(shop.invoices(bought)[0])


def test_usage_of_the_draft_hour_is_still_billed(shop: Shop) -> None:
    """What was used in the past period and is told late, but counted before the invoice is final, is on it."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(3, metered=True, meter="tokens"))
    shop.stripe.advance(months=1)
    use(shop, customer, 10, timestamp=shop.now - 60)
    use(shop, customer, 100)
    shop.stripe.advance(hours=2)
    late = use(shop, customer, 1_000, timestamp=shop.now - 3 * HOUR)
    shop.stripe.advance(hours=2)

    assert [(10, 30)] == _lines(shop.invoices(bought)[0])
    assert late["timestamp"] < shop.now
    shop.stripe.advance(months=1)
    assert [(100, 300)] == _lines(shop.invoices(bought)[0])


def test_two_clocks_of_usage_do_not_mix(shop: Shop) -> None:
    """Every customer is billed for its own usage, however many subscriptions share a meter."""
    price = shop.price(1, metered=True, meter="tokens")
    people = [shop.customer() for _ in range(3)]
    bought = [buy_metered(shop, customer, price) for customer in people]
    for number, customer in enumerate(people):
        use(shop, customer, number * 10)
    shop.stripe.advance(months=1, hours=2)

    assert [0, 10, 20] == [shop.invoices(id)[0]["amount_paid"] for id in bought]


def test_less_than_nothing_is_nothing(shop: Shop) -> None:
    """Usage may be taken back by negative values; an invoice never bills less than zero."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(3, metered=True, meter="tokens"))
    use(shop, customer, -5)
    shop.stripe.advance(months=1, hours=2)

    assert [(0, 0)] == _lines(shop.invoices(bought)[0])


def test_usage_of_a_trial_is_free(shop: Shop) -> None:
    """What is used before the trial ends is never billed."""
    customer = shop.customer()
    price = shop.price(3, metered=True, meter="tokens")
    bought = buy_metered(shop, customer, price, **{"subscription_data[trial_period_days]": "7"})
    use(shop, customer, 50)
    shop.stripe.advance(days=7, hours=2)
    after_trial = shop.invoices(bought)[0]
    use(shop, customer, 2)
    shop.stripe.advance(months=1, hours=2)

    assert 0 == after_trial["total"]
    assert [(2, 6)] == _lines(shop.invoices(bought)[0])


def test_usage_before_an_item_is_not_billed_by_it(shop: Shop) -> None:
    """An item that is added in the middle of a period bills only what is used from then on."""
    customer = shop.customer()
    licensed, metered = shop.price(1_000), shop.price(3, metered=True, meter="tokens")
    bought = str(shop.buy(licensed, customer=customer)["id"])
    use(shop, customer, 100)
    shop.stripe.advance(days=10)
    shop.post(f"/v1/subscriptions/{bought}", {"items[0][price]": metered})
    use(shop, customer, 4)
    shop.stripe.advance(days=25)

    assert (4, 12) in _lines(shop.invoices(bought)[0])


def test_what_was_used_is_billed_after_the_end(shop: Shop) -> None:
    """A subscription that ends with its period bills its last usage on one more invoice, and nothing after that."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(3, metered=True, meter="tokens"))
    use(shop, customer, 20)
    shop.post(f"/v1/subscriptions/{bought}", {"cancel_at_period_end": "true"})
    shop.stripe.advance(months=1)
    assert "canceled" == shop.subscription(bought)["status"]
    draft = shop.invoices(bought)[0]
    shop.stripe.advance(months=2)
    use(shop, customer, 20)
    shop.stripe.advance(months=2)

    assert ("draft", [(20, 60)]) == (draft["status"], _lines(draft))
    assert [("paid", 60), ("paid", 0)] == [(row["status"], row["amount_paid"]) for row in shop.invoices(bought)]


def test_ending_at_once_bills_usage_when_asked(shop: Shop) -> None:
    """`invoice_now` bills what was counted so far; without it what was used is never billed."""
    price = shop.price(3, metered=True, meter="tokens")
    paying, leaving = shop.customer(), shop.customer()
    first, second = buy_metered(shop, paying, price), buy_metered(shop, leaving, price)
    for customer in (paying, leaving):
        use(shop, customer, 7)
    shop.stripe.advance(days=3)
    shop.delete(f"/v1/subscriptions/{first}", {"invoice_now": "true"})
    shop.delete(f"/v1/subscriptions/{second}")
    shop.stripe.advance(months=2)

    assert [("paid", 21), ("paid", 0)] == [(row["status"], row["amount_paid"]) for row in shop.invoices(first)]
    assert [("paid", 0)] == [(row["status"], row["amount_paid"]) for row in shop.invoices(second)]


def test_a_preview_shows_usage_so_far(shop: Shop) -> None:
    """The invoice to come has what was counted by now, and looking at it changes nothing."""
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(3, metered=True, meter="tokens"))
    use(shop, customer, 7)
    shop.stripe.advance(days=3)
    previews = [shop.post("/v1/invoices/create_preview", {"subscription": bought}) for _ in range(2)]

    assert [[(7, 21)], [(7, 21)]] == [_lines(preview) for preview in previews]


def test_a_new_price_bills_usage_from_then_on(shop: Shop) -> None:
    """An item that changes its metered price in a period forgets what was used before: so does Stripe."""
    customer = shop.customer()
    old, new = shop.price(1, metered=True, meter="tokens"), shop.price(2, metered=True, meter="tokens")
    bought = buy_metered(shop, customer, old)
    use(shop, customer, 100)
    shop.stripe.advance(days=10)
    item = shop.subscription(bought)["items"]["data"][0]["id"]
    shop.post(f"/v1/subscriptions/{bought}", {"items[0][id]": item, "items[0][price]": new})
    use(shop, customer, 5)
    shop.stripe.advance(days=25)

    assert (5, 10) == _lines(shop.invoices(bought)[0])[-1]


def test_nothing_used_makes_no_last_invoice(shop: Shop) -> None:
    """A subscription that ends without usage leaves no further invoice."""
    bought = buy_metered(shop, shop.customer(), shop.price(3, metered=True, meter="tokens"))
    shop.post(f"/v1/subscriptions/{bought}", {"cancel_at_period_end": "true"})
    shop.stripe.advance(months=2)

    assert 1 == len(shop.invoices(bought))


def test_tiered_usage_on_an_invoice(shop: Shop) -> None:
    """Tiers price the usage of the whole period at once."""
    params = {
        "currency": "usd",
        "product": shop.stripe.add_product("Tokens"),
        "billing_scheme": "tiered",
        "tiers_mode": "graduated",
        "tiers[0][up_to]": "100",
        "tiers[0][unit_amount]": "0",
        "tiers[1][up_to]": "inf",
        "tiers[1][unit_amount_decimal]": "0.5",
        "recurring[interval]": "month",
        "recurring[usage_type]": "metered",
        "recurring[meter]": meter(shop),
    }
    customer = shop.customer()
    bought = buy_metered(shop, customer, str(shop.post("/v1/prices", params)["id"]))
    for _ in range(3):
        use(shop, customer, 61)
    shop.stripe.advance(months=1, hours=2)

    assert [(183, 42)] == _lines(shop.invoices(bought)[0])


@settings(max_examples=10, deadline=None)
@given(told=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 500)), max_size=10))
def test_every_unit_is_billed_once(told: list[tuple[int, int]]) -> None:
    """Over months of renewals each unit that was counted in time is on exactly one invoice."""
    shop = Shop()
    customer = shop.customer()
    bought = buy_metered(shop, customer, shop.price(2, metered=True, meter="tokens"))
    passed = 0
    for day, amount in sorted(told):
        shop.stripe.advance(days=day - passed)
        passed = day
        use(shop, customer, amount)
    shop.stripe.advance(days=120 - passed)

    billed = sum(line[0] for invoice in shop.invoices(bought) for line in _lines(invoice))
    assert sum(amount for _, amount in told) == billed
    assert 2 * billed == sum(invoice["amount_paid"] for invoice in shop.invoices(bought))
    assert not shop.stripe.violations
    shop.http.close()


def test_a_failing_card_leaves_usage_open(shop: Shop) -> None:
    """The invoice for usage is collected as any other: a refused card makes the subscription past due."""
    customer = shop.customer()
    price = shop.price(3, metered=True, meter="tokens")
    bought = buy_metered(shop, customer, price, card="4000000000000341")
    use(shop, customer, 100)
    shop.stripe.advance(months=1, hours=2)

    assert ("past_due", "open") == (shop.subscription(bought)["status"], shop.invoices(bought)[0]["status"])


def test_a_configured_metered_price_has_a_meter() -> None:
    """A plan with a metered price gets price and meter made up, and what its customers use is counted and billed."""
    simulator = StripeSimulator()
    plans = [Plan("usage", price_id="price_usage", metered=True)]
    with Billing(stripe_client=simulator, database="sqlite://", plans=plans) as billing:
        assert not simulator.events
        simulator.pay(billing.subscriptions.upgrade("user_1", "usage", success_url="/ok", cancel_url="/no"))
        world = simulator.state.world
        (customer,) = world.table("customer").rows
        simulator.advance(hours=1)
        with httpx.Client(
            transport=simulator.transport,
            base_url="https://api.stripe.com",
            headers={"Authorization": f"Bearer {simulator.api_key}", "Idempotency-Key": "one"},
        ) as http:
            http.post("/v1/billing/meter_events", data=usage(customer, 3, event="usage")).raise_for_status()
        simulator.advance(hours=1)

        assert 3 == simulator.usage("user_1", "usage")
        simulator.advance(months=1, hours=2)
        assert [3_000, 0] == [invoice["amount_paid"] for invoice in world.table("invoice")]


def test_usage_goes_with_its_customer_to_another_clock(shop: Shop) -> None:
    """Usage that waits to be counted is counted on the customer's clock, also when it gets one of its own."""
    customer, other = shop.customer(), shop.customer()
    price = shop.price(2, metered=True, meter="tokens")
    bought = buy_metered(shop, customer, price)
    for person, amount in ((customer, 5), (other, 50)):
        use(shop, person, amount)
    shop.stripe.advance(days=20, reference=customer)
    assert (5, 0) == (shop.stripe.usage(customer, "tokens"), shop.stripe.usage(other, "tokens"))
    now = shop.get(f"/v1/test_helpers/test_clocks/{shop.get(f'/v1/customers/{customer}')['test_clock']}")["frozen_time"]
    use(shop, customer, 2, timestamp=now)
    shop.stripe.advance(days=20, reference=customer)

    assert 14 == shop.invoices(bought)[0]["amount_paid"]
    assert 0 == shop.stripe.usage(other, "tokens")
    shop.stripe.advance(hours=1)
    assert 50 == shop.stripe.usage(other, "tokens")


@pytest.mark.parametrize("name", [None, "requests"])
def test_the_meter_of_a_price_added_in_python(shop: Shop, name: str | None) -> None:
    """`add_price(metered=True)` makes the meter of that name, by default of the price's own."""
    shop.stripe.add_price("price_tokens", 3, metered=True, meter=name)
    price = shop.get("/v1/prices/price_tokens")
    found = shop.get(f"/v1/billing/meters/{price['recurring']['meter']}")

    assert (name or "tokens") == found["event_name"]
    customer = shop.customer()
    shop.post("/v1/billing/meter_events", usage(customer, 4, event=name or "tokens", timestamp=shop.now - DAY))
    shop.stripe.advance(hours=1)
    assert 4 == shop.stripe.usage(customer, name or "tokens")
