"""Faults on calls: each does what it says, to the calls that it names, and heals by an idempotent retry."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.api.faults import Kind
from tests.simulator.shop import Shop

PATH = "/v1/customers"


@pytest.mark.parametrize(
    ("kind", "error", "done"),
    [
        ("refuse_connect", httpx.ConnectError, False),
        ("timeout_before", httpx.ReadTimeout, False),
        ("timeout_after", httpx.ReadTimeout, True),
        ("reset_before", httpx.ReadError, False),
        ("reset_after", httpx.ReadError, True),
        ("drip_before", httpx.ReadTimeout, False),
        ("drip_after", httpx.ReadTimeout, True),
    ],
)
def test_lost_answers(shop: Shop, kind: Kind, error: type[Exception], done: bool) -> None:
    """Before: nothing happened. After: the work is done. Either way a retry under the key makes one customer."""
    shop.stripe.faults.append(Fault(kind, method="POST", path=PATH))

    with pytest.raises(error):
        shop.send("POST", PATH, {"email": "a@b.c"}, key="k")
    assert int(done) == len(shop.get(PATH)["data"])
    assert (200 if kind.startswith("drip") else None) == shop.stripe.requests[0].status

    shop.send("POST", PATH, {"email": "a@b.c"}, key="k")
    assert 1 == len(shop.get(PATH)["data"])


@pytest.mark.parametrize(("kind", "done"), [("torn_before", False), ("torn_after", True)])
def test_torn_answers(shop: Shop, kind: Kind, done: bool) -> None:
    """A 200 whose body ends in the middle is no JSON; the retry under the key gets it whole."""
    shop.stripe.faults.append(Fault(kind, method="POST", path=PATH))

    response = shop.send("POST", PATH, {"email": "a@b.c"}, key="k")

    assert 200 == response.status_code
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert int(done) == len(shop.get(PATH)["data"])
    assert "a@b.c" == shop.post(PATH, {"email": "a@b.c"}, key="k")["email"]
    assert 1 == len(shop.get(PATH)["data"])


def test_a_body_drips_for_an_async_client_too(shop: Shop) -> None:
    """The bytes come one by one, and then the client's patience ends."""
    shop.stripe.faults.append(Fault("drip_after"))

    async def story() -> bytes:
        headers = dict(shop.http.headers)
        got = b""
        async with (
            httpx.AsyncClient(transport=shop.stripe.async_transport, headers=headers) as http,
            http.stream("GET", "https://api.stripe.com/v1/customers") as response,
        ):
            try:
                async for chunk in response.aiter_raw():
                    got += chunk
            except httpx.ReadTimeout:
                return got
        raise AssertionError("the body came to an end")

    assert asyncio.run(story()).startswith(b"{")


def test_a_redirect_leads_elsewhere(shop: Shop) -> None:
    """302 to another host with the same path, nothing done."""
    shop.stripe.faults.append(Fault("redirect", location="https://evil.example"))

    response = shop.send("POST", PATH, {}, key="k")

    assert (302, f"https://evil.example{PATH}") == (response.status_code, response.headers["location"])
    assert not shop.get(PATH)["data"]


def test_a_call_that_is_spared(shop: Shop) -> None:
    """`ok` before a rule that lasts spares the calls that it matches."""
    shop.stripe.faults.extend([Fault("ok", method="GET", times=1), Fault("status", 500, times=None)])

    assert [200, 500, 500] == [shop.send(method, PATH).status_code for method in ("GET", "GET", "POST")]


@pytest.mark.parametrize(
    ("fault", "status", "code", "type"),
    [
        (Fault("status", 400), 400, None, "invalid_request_error"),
        (Fault("status", 401), 401, None, "invalid_request_error"),
        (Fault("status", 402), 402, "card_declined", "card_error"),
        (Fault("status", 404), 404, "resource_missing", "invalid_request_error"),
        (Fault("status", 409, code="conflict"), 409, "conflict", "invalid_request_error"),
        (Fault("status", 500), 500, None, "api_error"),
        (Fault("status", 429), 429, "rate_limit", "invalid_request_error"),
        (Fault("status", 429, code="lock_timeout"), 429, "lock_timeout", "invalid_request_error"),
        (Fault("status", 409), 409, "idempotency_key_in_use", "idempotency_error"),
        (Fault("status", 503), 503, None, "api_error"),
    ],
)
def test_statuses(shop: Shop, fault: Fault, status: int, code: str | None, type: str) -> None:
    """Stripe answers so, does nothing, and forgets it: the retry passes."""
    shop.stripe.faults.append(fault)

    response = shop.send("POST", PATH, {}, key="k")

    error = response.json()["error"]
    assert (status, code, type) == (response.status_code, error.get("code"), error["type"])
    assert ("generic_decline" if status == 402 else None) == error.get("decline_code")
    assert response.headers["request-id"].startswith("req_")
    assert not shop.get(PATH)["data"]
    assert 200 == shop.send("POST", PATH, {}, key="k").status_code


def test_an_unknown_outcome(shop: Shop) -> None:
    """With `apply` the work is done and the answer is a 500 all the same, now and under the key ever after."""
    shop.stripe.faults.append(Fault("status", 500, apply=True))

    assert [500, 500] == [shop.send("POST", PATH, {}, key="k").status_code for _ in range(2)]
    assert 1 == len(shop.get(PATH)["data"])


def test_a_proxys_page(shop: Shop) -> None:
    """A 502 in HTML, nothing done."""
    shop.stripe.faults.append(Fault("html_502"))

    response = shop.send("POST", PATH, {}, key="k")

    assert (502, "text/html") == (response.status_code, response.headers["content-type"])
    assert not shop.get(PATH)["data"]


def test_headers_of_advice(shop: Shop) -> None:
    """Retry-After and Stripe-Should-Retry come along when a rule has them."""
    shop.stripe.faults.append(Fault("status", 429, retry_after=3, should_retry=False))

    headers = shop.send("GET", PATH).headers

    assert ("3", "false") == (headers["retry-after"], headers["stripe-should-retry"])


def test_rules_choose_their_calls(shop: Shop) -> None:
    """By method, by path with a star, the nth call, so many times, or for ever."""
    shop.stripe.faults.append(Fault("status", 500, method="GET", path="/v1/cust*", skip=1, times=2))
    shop.stripe.faults.append(Fault("status", 503, path="/v1/account", times=None))

    customers = [shop.send("GET", PATH).status_code for _ in range(5)]
    account = [shop.send("GET", "/v1/account").status_code for _ in range(3)]

    assert [200, 500, 500, 200, 200] == customers
    assert [503, 503, 503] == account
    assert 200 == shop.send("GET", "/v1/products").status_code


def test_the_log_holds_requests_without_the_key(shop: Shop) -> None:
    """Method, path, parameters, headers and status of each; the secret key is in none of them."""
    shop.post(PATH, {"email": "a@b.c", "metadata[a]": "1"}, key="k")

    record = shop.stripe.requests[-1]
    assert ("POST", PATH, 200) == (record.method, record.path, record.status)
    assert {"email": "a@b.c", "metadata": {"a": "1"}} == record.params
    assert "k" == record.headers["idempotency-key"]
    assert shop.stripe.api_key not in repr((shop.stripe.requests, shop.stripe, shop.stripe.state))
    assert shop.stripe.webhook_secret not in repr((shop.stripe, shop.stripe.state))
