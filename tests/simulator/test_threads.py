"""Many threads on one simulator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.simulator.shop import Shop


def test_nothing_is_lost_between_threads(shop: Shop) -> None:
    """Every request of every thread is carried out once, logged once and told once."""
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(shop.customer, name=f"n{number}") for number in range(160)]
        ids = [future.result() for future in made]

    assert 160 == len(set(ids)) == len(shop.stripe.requests) == len(shop.stripe.events)
    assert {"requests": 160, "objects": 320, "violations": 0} == dict(shop.stripe.oracle_counts)


def test_one_key_is_one_customer(shop: Shop) -> None:
    """Of many threads with one key, each gets the one customer or is told that the key is in use."""
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(shop.send, "POST", "/v1/customers", {"name": "J"}, key="k") for _ in range(80)]
        answers = [future.result() for future in sent]

    assert {200} <= {answer.status_code for answer in answers} <= {200, 409}
    assert 1 == len({answer.content for answer in answers if answer.status_code == 200})
    assert 1 == len(shop.get("/v1/customers")["data"])


def test_one_session_is_paid_once(shop: Shop) -> None:
    """Of many people who press pay on one page, one pays."""
    session = shop.checkout(customer=shop.customer())

    def pay(_: int) -> bool:
        return shop.stripe.hosted("POST", f"/c/pay/{session['id']}", {"card": "4242424242424242"})[0] in (303, 400)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(pay, range(16)))
    assert 1 == len(shop.get("/v1/subscriptions")["data"])
    assert 1 == shop.types().count("checkout.session.completed")
