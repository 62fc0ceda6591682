"""Rate limits and locks: off unless asked for, counted on the simulator's clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import cycle
from typing import Any

import httpx
import pytest

from tests.simulator.held import Held
from tests.simulator.metering import meter, usage
from tests.simulator.shop import DAY, Shop

PATH = "/v1/customers"


def _later(shop: Shop, seconds: int) -> None:
    shop.stripe.state.world.run_due(shop.now + seconds)


def _limited(send: Callable[[], httpx.Response], most: int) -> None:
    """Exactly `most` calls pass before the first 429 with the code rate_limit."""
    assert {200} == {send().status_code for _ in range(most)}
    refused = send()
    assert (429, "rate_limit") == (refused.status_code, refused.json()["error"]["code"])


def test_without_asking_there_are_none(shop: Shop) -> None:
    """A simulator takes as many requests as come."""
    assert {200} == {shop.send("GET", PATH).status_code for _ in range(300)}


@pytest.mark.parametrize(("live", "most"), [(False, 25), (True, 100)])
def test_an_account_takes_so_many_a_second(shop: Shop, live: bool, most: int) -> None:
    """25 in a sandbox, 100 in live mode, over all endpoints; a second later again."""
    shop.stripe.settings.rate_limits, shop.stripe.settings.live_rates = True, live
    paths = ["/v1/customers", "/v1/products", "/v1/prices", "/v1/subscriptions", "/v1/invoices"]
    turns = cycle(paths)
    for _ in range(2):
        _limited(lambda: shop.send("GET", next(turns)), most)
        _later(shop, 1)


def test_an_endpoint_takes_25_a_second(shop: Shop) -> None:
    """In live mode too, where the account would take more; another endpoint still answers."""
    shop.stripe.settings.rate_limits = shop.stripe.settings.live_rates = True
    _limited(lambda: shop.send("GET", PATH), 25)

    assert 200 == shop.send("GET", "/v1/products").status_code
    assert 200 == shop.send("POST", PATH, {}).status_code


def test_searches_are_twenty_a_second(shop: Shop) -> None:
    """Fewer than of other requests."""
    shop.stripe.settings.rate_limits = True
    _limited(lambda: shop.send("GET", "/v1/customers/search", {"query": "email:'a'"}), 20)


def test_a_refused_request_does_nothing(shop: Shop) -> None:
    """It is turned away before anything is done."""
    shop.stripe.settings.rate_limits = True
    for _ in range(25):
        shop.send("GET", PATH)

    assert 429 == shop.send("POST", PATH, {}).status_code
    assert 0 == len(shop.stripe.state.world.table("customer"))


def test_quantities_change_200_times_an_hour(shop: Shop) -> None:
    """Of one subscription, by itself or by its item; of another one they are counted apart."""
    mine, other = (shop.buy()["items"]["data"][0] for _ in range(2))
    shop.stripe.settings.rate_limits = True

    def change(item: dict[str, Any], count: int) -> int:
        _later(shop, 1)
        if count % 2:
            params = {"quantity": str(count % 5 + 1), "proration_behavior": "none"}
            return shop.send("POST", f"/v1/subscription_items/{item['id']}", params).status_code
        change = {"items[0][id]": item["id"], "items[0][quantity]": str(count % 5 + 1), "proration_behavior": "none"}
        return shop.send("POST", f"/v1/subscriptions/{item['subscription']}", change).status_code

    assert {200} == {change(mine, count) for count in range(200)}
    assert 429 == change(mine, 200)
    assert 200 == change(other, 0)
    unrelated = {"metadata[a]": "1"}
    assert 200 == shop.send("POST", f"/v1/subscriptions/{mine['subscription']}", unrelated).status_code
    _later(shop, 3_600)
    assert 200 == change(mine, 201)


def test_invoices_of_a_subscription_are_counted(shop: Shop) -> None:
    """Ten new ones a minute and twenty a day, where each change is billed at once."""
    item = shop.buy()["items"]["data"][0]
    shop.stripe.settings.rate_limits = True
    bill = {"items[0][id]": item["id"], "proration_behavior": "always_invoice"}
    quantities = iter(range(2, 100))

    def change() -> int:
        _later(shop, 2)
        params = {**bill, "items[0][quantity]": str(next(quantities))}
        return shop.send("POST", f"/v1/subscriptions/{item['subscription']}", params).status_code

    assert [200] * 9 + [429] == [change() for _ in range(10)]
    _later(shop, 60)
    assert [200] * 10 + [429] == [change() for _ in range(11)]
    _later(shop, 3_600)
    assert 429 == change()
    _later(shop, DAY)
    assert 200 == change()


def test_meter_events_have_their_own_limit_in_live_mode(shop: Shop) -> None:
    """A thousand a second, beside what the account takes; in a sandbox they count like everything else."""
    meter(shop)
    shop.stripe.settings.rate_limits = shop.stripe.settings.live_rates = True
    customer = shop.customer()
    _later(shop, 1)

    def report() -> httpx.Response:
        return shop.send("POST", "/v1/billing/meter_events", usage(customer, 1))

    _limited(report, 1_000)
    assert 200 == shop.send("GET", PATH).status_code
    shop.stripe.settings.live_rates = False
    _later(shop, 1)
    _limited(report, 25)


def test_two_writers_on_one_customer_collide(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused with lock_timeout at once, its key is not used up; another customer's writer only waits."""
    customer, other = shop.customer(), shop.customer()
    shop.stripe.settings.rate_limits = True
    held = Held.put_up(monkeypatch)
    answers: list[httpx.Response] = []

    def write(id: str) -> None:
        answers.append(shop.send("POST", f"{PATH}/{id}", {"name": "A"}))

    threads = [threading.Thread(target=write, args=(id,)) for id in (customer, other)]
    threads[0].start()
    assert held.entered.wait(10)
    threads[1].start()
    second = shop.send("POST", f"{PATH}/{customer}", {"name": "B"}, key="k")
    held.leave.set()
    for thread in threads:
        thread.join(10)

    assert (429, "lock_timeout") == (second.status_code, second.json()["error"]["code"])
    assert [200, 200] == [answer.status_code for answer in answers]
    assert "B" == shop.post(f"{PATH}/{customer}", {"name": "B"}, key="k")["name"]
