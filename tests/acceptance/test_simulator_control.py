"""The control API of a served simulator, several clients at once, and starting again."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from attrs import asdict

from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.server import SimulatorServer
from kernia_billing.testing.simulator.world.errors import ApiError
from tests.acceptance.simulators import Simulator, at_hand, running


@pytest.fixture
def served() -> Generator[tuple[StripeSimulator, Simulator]]:
    """A simulator of this process, and how it is reached."""
    made = StripeSimulator()
    with at_hand(made) as simulator:
        yield made, simulator


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("advance", {"months": "1"}, "months: must be a whole number"),
        ("advance", {"months": True}, "months: must be a whole number"),
        ("advance", {"weeks": 1}, "weeks: unknown; there are months, days, hours, customer"),
        ("advance", {"days": -1}, "the clock never goes back"),
        ("advance", {"days": 10**12}, "100 years at a time at most"),
        ("advance", {"days": 1, "customer": "org_1"}, "customer: no such customer org_1"),
        ("pay", {}, "checkout: is needed"),
        ("pay", {"checkout": "cs_test_unknown"}, "not a checkout of this simulator"),
        ("prices", {"id": "price_1", "amount": 1, "interval": "decade"}, "interval: must be one of month, year"),
        ("faults", {"kind": "nonsense"}, "kind: must be one of ok, refuse_connect"),
        ("faults", {"status": 500}, "kind: is needed"),
        ("mishaps", {"kind": "drop", "where": "anywhere"}, "where: must be left out"),
        ("settings", {"retry_days": [1, "3"]}, "retry_days: must be a whole number"),
        ("settings", {"checkout": "x"}, "checkout: unknown"),
        ("settings", {"authenticate": False, "event_version": "2019-01-01"}, "no API version 2019-01-01"),
        ("delivery", {"order": "backwards"}, "order: must be one of in order"),
        ("close_dispute", {"dispute": "du_1", "won": True}, "du_1"),
        ("portal", {"session": "bps_1", "action": "cancel", "feedback": 1}, "feedback: must be a text"),
    ],
)
def test_a_slip_is_named_and_changes_nothing(
    served: tuple[StripeSimulator, Simulator], verb: str, given: dict[str, Any], message: str
) -> None:
    """Whatever is wrong with a request is said in words, and all is as it was."""
    made, simulator = served
    before = simulator.summary(), asdict(made.settings)

    answer = simulator.control(verb, 400, **given)

    assert message in answer["error"]["message"]
    assert before == (simulator.summary(), asdict(made.settings))


def test_what_is_not_an_object_is_refused(served: tuple[StripeSimulator, Simulator]) -> None:
    """A list, half an object, bytes and another method are told apart from verbs."""
    url = f"{served[1].url}/_simulator"
    for content in (b"[]", b"{", b"\xff"):
        response = httpx.post(f"{url}/advance", content=content, headers={"content-type": "application/json"})
        assert (400, True) == (response.status_code, "message" in response.json()["error"])
    assert 405 == httpx.put(f"{url}/advance", json={}).status_code
    assert 404 == httpx.get(f"{url}/nothing").status_code


def test_settings_are_read_and_assigned(served: tuple[StripeSimulator, Simulator]) -> None:
    """What the account has set in its Dashboard, and the API version of the account."""
    made, simulator = served

    told = simulator.control("settings", after_last_retry="unpaid", upcoming_days=None, retry_days=[2, 4])

    assert ("unpaid", None, (2, 4)) == (
        made.settings.after_last_retry,
        made.settings.upcoming_days,
        made.settings.retry_days,
    )
    assert told == httpx.get(f"{simulator.url}/_simulator/settings").json()
    assert "2026-10-28.endive" == told["event_version"]
    assert {"order": "shuffled", "retries": "sandbox"} == simulator.control(
        "delivery", order="shuffled", retries="sandbox", seed=7
    )


def test_people_and_banks(served: tuple[StripeSimulator, Simulator]) -> None:
    """Pay with a declined card and a good one, count usage, dispute and win: all without a page."""
    _made, simulator = served
    simulator.control("prices", id="price_pro", amount=1_000)
    simulator.control("prices", id="price_tokens", amount=3, metered=True)
    with simulator.client() as client:
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": "price_pro", "quantity": 1}, {"price": "price_tokens"}],
                "success_url": "https://shop.example/ok",
            }
        )
        declined = simulator.control("pay", 402, checkout=session.url, card="4000000000009995")
        simulator.control("pay", checkout=session.id)
        customer = client.v1.checkout.sessions.retrieve(session.id).customer
        client.v1.billing.meter_events.create(
            {"event_name": "tokens", "payload": {"stripe_customer_id": customer, "value": "25"}}
        )
        simulator.control("advance", hours=1)
        dispute = simulator.control("dispute", of=customer)["id"]
        simulator.control("close_dispute", dispute=dispute, won=True)

        assert "insufficient_funds" == declined["error"]["decline_code"]
        assert {"value": 25} == simulator.control("usage", customer=customer, meter="tokens")
        assert "won" == client.v1.disputes.retrieve(dispute).status
        asked = httpx.get(f"{simulator.url}/_simulator/requests").json()["data"]
        assert ("POST", "/v1/checkout/sessions", 200) == tuple(asked[0][name] for name in ("method", "path", "status"))
        assert "sk_test_" not in str(asked)


def test_a_body_that_drips(served: tuple[StripeSimulator, Simulator]) -> None:
    """The client sees headers and a beginning, then waits in vain; the work is done."""
    made, simulator = served
    simulator.control("faults", kind="drip_after", method="POST", path="/v1/customers")

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{simulator.url}/v1/customers",
            data={"email": "jane@example.com"},
            headers={"authorization": f"Bearer {made.api_key}"},
            timeout=0.3,
        )

    assert 1 == simulator.summary()["objects"]["customer"]


def test_many_clients_at_once(served: tuple[StripeSimulator, Simulator]) -> None:
    """Eight connections: every customer is made once, and one idempotency key makes one customer for all."""
    made, simulator = served
    keys = [f"key_{number % 10}" for number in range(40)]

    def create(key: str) -> str:
        headers = {"authorization": f"Bearer {made.api_key}", "idempotency-key": key}
        while True:
            response = httpx.post(f"{simulator.url}/v1/customers", data={"description": key}, headers=headers)
            if response.status_code != 409:  # the same key is being used at this very moment
                return str(response.raise_for_status().json()["id"])

    with ThreadPoolExecutor(8) as pool:
        made_ids = dict(zip(keys, pool.map(create, keys), strict=True))

    assert 10 == len(set(made_ids.values())) == simulator.summary()["objects"]["customer"]
    assert 10 == simulator.summary()["events"]


def test_starting_again_on_the_same_port() -> None:
    """With the same key an application goes on; what was in the account is gone."""
    with running("--api-key", "sk_test_kept") as simulator, simulator.client() as client:
        customer = client.v1.customers.create({"email": "jane@example.com"})
        port = simulator.url.rpartition(":")[2]

    with running("--api-key", "sk_test_kept", "--port", port) as again:
        headers = {"authorization": "Bearer sk_test_kept"}
        assert again.url == simulator.url
        assert 404 == httpx.get(f"{again.url}/v1/customers/{customer.id}", headers=headers).status_code
        assert 200 == httpx.get(f"{again.url}/v1/customers", headers=headers).status_code


def test_a_server_that_cannot_listen_changes_nothing(served: tuple[StripeSimulator, Simulator]) -> None:
    """The port is taken: the simulator has no endpoint more than before, and delivers as before."""
    _made, simulator = served
    other = StripeSimulator()

    with pytest.raises(OSError, match="in use"):
        SimulatorServer(other, port=int(simulator.url.rpartition(":")[2]), webhook_urls=["http://127.0.0.1:9/"])

    assert 0 == len(other.state.world.table("webhook_endpoint"))
    assert other.state.delivers
    with pytest.raises(ApiError, match="16"):
        SimulatorServer(other, webhook_urls=["http://127.0.0.1:9/"] * 17)


def test_closing_ends_the_thread_that_serves() -> None:
    """One that is closed without being stopped leaves no thread that asks a closed socket for ever."""
    with SimulatorServer(StripeSimulator()) as server:
        server.serve_in_background()
        assert 200 == httpx.get(f"{server.url}/_simulator/").status_code

    assert "simulator-http" not in [thread.name for thread in threading.enumerate()]
