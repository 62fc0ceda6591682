"""Test clocks: customers whose time moves by itself, by the API as at Stripe and by the driver of the simulator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.library import Library
from tests.simulator.shop import DAY, Shop, at

CLOCKS = "/v1/test_helpers/test_clocks"
START = at(2027, 3, 1)


def _clock(shop: Shop, frozen_time: int = START) -> str:
    return str(shop.post(CLOCKS, {"frozen_time": frozen_time, "name": "March"})["id"])


def _advance(shop: Shop, clock: str, to: int) -> dict[str, Any]:
    return shop.post(f"{CLOCKS}/{clock}/advance", {"frozen_time": to})


def _weekly(shop: Shop) -> dict[str, Any]:
    product = shop.stripe.add_product("Weekly")
    return {"product": product, "currency": "usd", "unit_amount": 100, "recurring[interval]": "week"}


def test_a_customer_lives_on_its_clock(shop: Shop) -> None:
    """What is made for such a customer carries the clock and its time; what others do does not."""
    clock = _clock(shop)
    customer = shop.customer(test_clock=clock)
    session = shop.checkout(customer=customer)
    shop.stripe.pay(session["id"])
    (subscription,) = shop.get("/v1/subscriptions", {"customer": customer})["data"]
    (invoice,) = shop.invoices(subscription["id"])

    for made in (shop.get(f"/v1/customers/{customer}"), session, subscription, invoice):
        assert made["created"] == START
        assert made.get("test_clock", clock) == clock
    assert shop.buy()["test_clock"] is None
    assert shop.now == at(2026, 1, 15, 12)


def test_advancing_renews_only_who_lives_on_the_clock(shop: Shop) -> None:
    """The answer says advancing, the next look says ready, and in between the period was renewed and paid."""
    clock = _clock(shop)
    mine, other = shop.buy(customer=shop.customer(test_clock=clock)), shop.buy()
    before = len(shop.stripe.events)

    advancing = _advance(shop, clock, START + 32 * DAY)

    assert ("advancing", START) == (advancing["status"], advancing["frozen_time"])
    assert START + 32 * DAY == advancing["status_details"]["advancing"]["target_frozen_time"]
    ready = shop.get(f"{CLOCKS}/{clock}")
    assert ("ready", START + 32 * DAY, {}) == (ready["status"], ready["frozen_time"], ready["status_details"])
    renewed = shop.subscription(mine["id"])["items"]["data"][0]
    assert (at(2027, 4, 1), at(2027, 5, 1)) == (renewed["current_period_start"], renewed["current_period_end"])
    assert ["paid", "paid"] == [row["status"] for row in shop.invoices(mine["id"])]
    assert 1 == len(shop.invoices(other["id"]))
    types = shop.types(before)
    assert ("test_helpers.test_clock.advancing", "test_helpers.test_clock.ready") == (types[0], types[-1])
    assert "invoice.paid" in types


def test_advancing_is_limited(shop: Shop) -> None:
    """Only forward, and by at most two intervals of the shortest subscription; two years without any."""
    clock = _clock(shop)
    assert "frozen_time" == shop.refused("POST", f"{CLOCKS}/{clock}/advance", {"frozen_time": START}).param
    assert 400 == shop.refused("POST", f"{CLOCKS}/{clock}/advance", {"frozen_time": at(2029, 3, 2)}).status
    shop.buy(customer=shop.customer(test_clock=clock))

    assert 400 == shop.refused("POST", f"{CLOCKS}/{clock}/advance", {"frozen_time": at(2027, 5, 2)}).status
    assert "advancing" == _advance(shop, clock, at(2027, 5, 1))["status"]


def test_an_unknown_clock(shop: Shop) -> None:
    """It cannot be looked at, advanced or given to a customer."""
    assert 404 == shop.refused("GET", f"{CLOCKS}/clock_0").status
    assert 404 == shop.refused("POST", f"{CLOCKS}/clock_0/advance", {"frozen_time": START}).status
    assert "test_clock" == shop.refused("POST", "/v1/customers", {"test_clock": "clock_0"}).param


def test_subscriptions_on_a_clock_are_listed_by_it(shop: Shop) -> None:
    """Or by their customer; a list of everything leaves them out."""
    clock = _clock(shop)
    mine, other = shop.buy(customer=shop.customer(test_clock=clock)), shop.buy()

    for params, listed in (({}, other), ({"test_clock": clock}, mine), ({"customer": mine["customer"]}, mine)):
        assert [listed["id"]] == [row["id"] for row in shop.get("/v1/subscriptions", params)["data"]]


def test_lists(shop: Shop) -> None:
    """Customers on a clock are listed only with the clock."""
    clock = _clock(shop)
    mine, other = shop.customer(test_clock=clock), shop.customer()

    assert [other] == [row["id"] for row in shop.get("/v1/customers")["data"]]
    assert [mine] == [row["id"] for row in shop.get("/v1/customers", {"test_clock": clock})["data"]]
    assert [clock] == [row["id"] for row in shop.get(CLOCKS)["data"]]


def test_deleting_a_clock_ends_what_lives_on_it(shop: Shop) -> None:
    """Its customers are deleted and their subscriptions canceled; nothing of theirs falls due any more."""
    clock = _clock(shop)
    subscription = shop.buy(customer=shop.customer(test_clock=clock))

    assert {"id": clock, "object": "test_helpers.test_clock", "deleted": True} == shop.delete(f"{CLOCKS}/{clock}")

    assert "canceled" == shop.subscription(subscription["id"])["status"]
    assert shop.get(f"/v1/customers/{subscription['customer']}")["deleted"]
    assert 404 == shop.refused("GET", f"{CLOCKS}/{clock}").status
    assert "test_helpers.test_clock.deleted" == shop.types()[-1]
    shop.stripe.advance(months=3)
    assert 1 == len(shop.invoices(subscription["id"]))


def test_a_clock_is_deleted_after_a_month(shop: Shop) -> None:
    """Stripe cleans up by itself, at `deletes_after`."""
    clock = _clock(shop)

    shop.stripe.advance(days=29)
    assert "ready" == shop.get(f"{CLOCKS}/{clock}")["status"]
    shop.stripe.advance(days=1)
    assert 404 == shop.refused("GET", f"{CLOCKS}/{clock}").status


def test_one_customer_is_advanced_by_the_driver(shop: Shop) -> None:
    """`advance(reference=…)` moves one customer, who gets a clock with all that was planned; others stand still."""
    mine, other = shop.buy(), shop.buy()
    now = shop.now

    shop.stripe.advance(months=1, hours=2, reference=mine["customer"])

    assert now == shop.now
    assert 2 == len(shop.invoices(mine["id"]))
    assert 1 == len(shop.invoices(other["id"]))
    clock = shop.get(f"{CLOCKS}/{shop.subscription(mine['id'])['test_clock']}")
    assert (at(2026, 2, 15, 14), "ready") == (clock["frozen_time"], clock["status"])
    shop.stripe.advance(months=1, hours=2, reference=mine["customer"])
    assert [3, 1] == [len(shop.invoices(row["id"])) for row in (mine, other)]


def test_everybody_is_advanced_in_order_of_time(shop: Shop) -> None:
    """Without a reference all clocks move by the same span, and what is due sooner happens sooner."""
    clock = _clock(shop)
    weekly = [shop.post("/v1/prices", _weekly(shop))["id"] for _ in range(2)]
    sooner = shop.buy(weekly[0])
    shop.stripe.advance(days=2)
    later = shop.buy(weekly[1], customer=shop.customer(test_clock=clock))
    before = len(shop.stripe.events)

    shop.stripe.advance(days=15)

    renewed = [e["data"]["object"]["id"] for e in shop.stripe.events[before:] if e["type"].endswith("on.updated")]
    assert [sooner["id"], later["id"], sooner["id"], later["id"]] == renewed
    assert START + 17 * DAY == shop.get(f"{CLOCKS}/{clock}")["frozen_time"]


def test_the_library_hears_of_every_step(shop: Shop) -> None:
    """Events of a clock that the driver advances are delivered as they come, not at the end."""
    subscription = shop.buy()
    library = Library(shop)
    shop.stripe.attach(library)
    seen: list[int] = []
    library.on_event = lambda _event: seen.append(len(shop.invoices(subscription["id"])))

    shop.stripe.advance(months=2, hours=2, reference=subscription["customer"])

    assert {1, 2, 3} == set(seen)
    assert "test_helpers.test_clock.ready" == library.types()[-1]


def test_clocks_of_two_threads_do_not_mix(shop: Shop) -> None:
    """A clock is chosen for the thread that serves its customer; afterwards the account's is current again."""
    clock = _clock(shop)
    world = shop.stripe.state.world
    with world.on_clock(clock):
        assert START == world.clock.seconds()
        with pytest.raises(ZeroDivisionError), world.on_clock(""):
            raise ZeroDivisionError
        assert clock == world.clock_name
    assert at(2026, 1, 15, 12) == world.clock.seconds()
