"""Idempotency keys, as Stripe documents them."""

from __future__ import annotations

import threading

import httpx
import pytest

from kernia_billing.testing import Fault
from tests.simulator.held import Held
from tests.simulator.shop import Shop
from tests.simulator.story import DESTINATION

PATH = "/v1/customers"


def test_the_first_answer_is_given_again(shop: Shop) -> None:
    """The same key and parameters do the work once; the bodies are the same bytes."""
    first = shop.send("POST", PATH, {"email": "a@b.c"}, key="k")
    again = shop.send("POST", PATH, {"email": "a@b.c"}, key="k")

    assert first.content == again.content
    assert 1 == len(shop.get(PATH)["data"])
    assert 1 == shop.types().count("customer.created")
    assert first.headers["request-id"] == again.headers["original-request"] != again.headers["request-id"]
    assert "k" == again.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("path", "params"), [(PATH, {"email": "x@y.z"}), (PATH, {}), ("/v1/products", {"name": "a@b.c"})]
)
def test_other_parameters_are_an_error(shop: Shop, path: str, params: dict[str, str]) -> None:
    """A key belongs to one request: other parameters or another path are 400 idempotency_error."""
    shop.send("POST", PATH, {"email": "a@b.c"}, key="k")

    response = shop.send("POST", path, params, key="k")

    assert (400, "idempotency_error") == (response.status_code, response.json()["error"]["type"])
    assert 1 == len(shop.get(PATH)["data"])


def test_order_of_parameters_does_not_matter(shop: Shop) -> None:
    """The same parameters in another order are the same request."""
    first = shop.send("POST", PATH, {"email": "a@b.c", "name": "A"}, key="k")

    assert first.json() == shop.send("POST", PATH, {"name": "A", "email": "a@b.c"}, key="k").json()


def test_malformed_requests_leave_no_trace(shop: Shop) -> None:
    """Parameters that fail validation do not use up the key."""
    assert 400 == shop.send("POST", PATH, {"balance_of": "1"}, key="k").status_code
    assert 200 == shop.send("POST", PATH, {"email": "a@b.c"}, key="k").status_code


def test_refusals_after_validation_are_kept(shop: Shop) -> None:
    """A request that was carried out and refused answers so again, even when it would pass by now."""
    params = shop.checkout_params("price_later")
    refused = shop.send("POST", "/v1/checkout/sessions", params, key="k")
    shop.stripe.add_price("price_later", 100)

    assert 400 == refused.status_code
    assert refused.content == shop.send("POST", "/v1/checkout/sessions", params, key="k").content


def test_keys_are_forgotten_after_a_day(shop: Shop) -> None:
    """After 24 hours of the simulator's clock the key does its work anew."""
    shop.send("POST", PATH, {"email": "a@b.c"}, key="k")
    shop.stripe.advance(hours=23)
    assert 1 == len(shop.get(PATH)["data"])

    shop.send("POST", PATH, {"email": "a@b.c"}, key="k")
    shop.stripe.advance(hours=1)
    shop.send("POST", PATH, {"email": "a@b.c"}, key="k")

    assert 2 == len(shop.get(PATH)["data"])


def test_a_kept_500_is_replayed(shop: Shop) -> None:
    """Stripe keeps a 500 under its key: the client meets it again until it takes another key."""
    shop.stripe.faults.append(Fault("status", 500, method="POST", sticky=True))

    statuses = [shop.send("POST", PATH, {}, key=key).status_code for key in ("k", "k", "l")]

    assert [500, 500, 200] == statuses
    assert 1 == len(shop.get(PATH)["data"])


def test_a_running_key_is_in_use(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request with a key is carried out, another with that key is 409 idempotency_key_in_use."""
    held = Held.put_up(monkeypatch)
    first: list[httpx.Response] = []
    running = threading.Thread(target=lambda: first.append(shop.send("POST", PATH, {}, key="k")))
    running.start()
    assert held.entered.wait(10)
    second = shop.send("POST", PATH, {}, key="k")
    held.leave.set()
    running.join(10)

    assert (409, "idempotency_key_in_use") == (second.status_code, second.json()["error"]["code"])
    assert first[0].content == shop.send("POST", PATH, {}, key="k").content


def test_reads_and_deletions_need_no_key(shop: Shop) -> None:
    """A key on a GET or DELETE is ignored."""
    customer = shop.customer()
    headers = {"Idempotency-Key": "k"}

    before = shop.http.get(f"{PATH}/{customer}", headers=headers).json()
    shop.http.delete(f"{PATH}/{customer}", headers=headers)

    assert before != shop.http.get(f"{PATH}/{customer}", headers=headers).json()


def test_a_rate_limit_leaves_no_trace(shop: Shop) -> None:
    """A request that was turned away before its work began does not use up its key."""
    shop.stripe.settings.rate_limits = True
    statuses = [shop.send("POST", PATH, {}, key="k").status_code for _ in range(25)]
    assert {200} == set(statuses)
    assert 429 == shop.send("POST", PATH, {}, key="l").status_code
    shop.stripe.state.world.run_due(shop.now + 2)

    assert 200 == shop.send("POST", PATH, {}, key="l").status_code
    assert 2 == len(shop.get(PATH)["data"])


@pytest.mark.parametrize("apply", [False, True])
def test_a_500_lasts_as_long_as_its_key(shop: Shop, apply: bool) -> None:
    """Applied or not, a kept 500 is replayed for a day; then the key does its work, once more if it had been done."""
    shop.stripe.faults.append(Fault("status", 500, method="POST", sticky=True, apply=apply))
    seen: list[int] = []
    for _ in range(4):
        seen.append(shop.send("POST", PATH, {}, key="k").status_code)
        shop.stripe.advance(hours=7)
    assert [500, 500, 500, 500] == seen
    assert int(apply) == len(shop.get(PATH)["data"])

    assert 200 == shop.send("POST", PATH, {}, key="k").status_code
    assert 1 + int(apply) == len(shop.get(PATH)["data"])


def test_the_v2_api_keeps_keys_of_deletions(shop: Shop) -> None:
    """A deletion of the v2 API is done once under its key and answered twice."""
    made = shop.http.post("/v2/core/event_destinations", json=DESTINATION, headers={"Idempotency-Key": "a"}).json()
    path = f"/v2/core/event_destinations/{made['id']}"

    answers = [shop.http.delete(path, headers={"Idempotency-Key": "b"}) for _ in range(2)]

    assert [200, 200] == [answer.status_code for answer in answers]
    assert 404 == shop.http.delete(path, headers={"Idempotency-Key": "c"}).status_code
