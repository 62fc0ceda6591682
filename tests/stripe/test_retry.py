"""When a request is sent again, after how long, and what is known at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from typing import Any

import httpx
import pytest
import stripe
from stripe import HTTPClient

from kernia_billing.errors import BillingError, Unavailable
from kernia_billing.stripe.retry import DEFAULT_POLICY, RetryPolicy, retry_after
from kernia_billing.stripe.wire import NoReply, Reply
from tests.stripe.network import KINDS, NOW, OK, Kind, Wired, error

STATUSES = [400, 401, 402, 403, 404, 409, 418, 422, 425, 429, 500, 501, 502, 503, 504, 529]
SHOULD = [None, "true", "false", "TRUE", "maybe", ""]
RETRY_AFTER = [None, "0", "3", "8", "86400", "-1", "1.5", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "999999999999"]
INTENDED = "a 429 is retried by us, and by the SDK only where the header says so"


def by_sdk(status: int, should: str | None, attempt: int) -> bool:
    """Whether the SDK tries again after `attempt` attempts."""
    headers = {} if should is None else {"stripe-should-retry": should}
    decided: bool = HTTPClient()._should_retry(("", status, headers), None, attempt - 1, 2)
    return decided


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("status", "should"), list(product(STATUSES, SHOULD)))
def test_what_is_retried_is_what_the_sdk_retries(kind: Kind, status: int, should: str | None) -> None:
    """Over statuses and `Stripe-Should-Retry` the number of attempts is the SDK's, 429 apart."""
    headers = {} if should is None else {"stripe-should-retry": should}
    wired = Wired(kind, error(status, headers=headers, code="some_code"))
    with pytest.raises(BillingError):
        wired.post()

    expected = by_sdk(status, should, 1) or (status == 429 and should not in ("true", "false"))
    assert len(wired.requests) == (3 if expected else 1), INTENDED


@pytest.mark.parametrize(("status", "text"), list(product([409, 429, 500, 503], RETRY_AFTER)))
def test_waiting_stays_within_its_bounds(status: int, text: str | None) -> None:
    """Whatever `Retry-After` says, one wait is 0.5 to 8 seconds, all are within 20, and 8 is honoured."""
    headers = {} if text is None else {"retry-after": text}
    wired = Wired("blocking", error(status, headers=headers))
    with pytest.raises(Unavailable) as caught:
        wired.get()

    assert all(0.5 <= each <= 8.0 for each in wired.time.slept)
    assert wired.time.elapsed <= 20
    assert wired.time.slept[:1] == [{"3": 3.0, "8": 8.0, "86400": 8.0}.get(text or "", 0.5)]
    assert caught.value.retry_after == {"3": 3, "8": 8, "86400": 3600}.get(text or "", 1)


@pytest.mark.parametrize("jitter", [0.0, 0.25, 0.999])
def test_delays_are_those_of_the_sdk(jitter: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubling from 0.5 to 5 seconds, spread over the upper half, never below 0.5."""

    def uniform(_low: float, _high: float) -> float:
        return jitter

    monkeypatch.setattr("stripe._http_client.random.uniform", uniform)
    policy = RetryPolicy(retries=8)
    failed = Reply(status=500, headers={}, json=None)

    mine = [policy.delay(failed, attempt, jitter=jitter, now=0) for attempt in range(1, 9)]

    assert mine == pytest.approx([HTTPClient()._sleep_time_seconds(attempt) for attempt in range(1, 9)])


@pytest.mark.parametrize("kind", KINDS)
def test_every_attempt_sends_the_same_bytes_under_the_same_key(kind: Kind) -> None:
    """A retry repeats the request, so that Stripe can recognise it."""
    wired = Wired(kind, error(500), httpx.ReadTimeout("late"), OK)

    assert wired.post(params={"email": "a@b.c", "metadata": {"k": "v"}}, key="op_7") == {
        "id": "cus_1",
        "object": "customer",
    }
    assert len(wired.requests) == 3
    assert len({(each.content, str(each.url), each.headers["idempotency-key"]) for each in wired.requests}) == 1
    assert wired.requests[0].headers["idempotency-key"] == "op_7"


def test_the_budget_ends_the_attempts() -> None:
    """When the time of a request is over, or would be while waiting, the failure is reported at once."""
    wired = Wired("blocking", error(503), policy=RetryPolicy(retries=10), each_takes=6.0)
    with pytest.raises(Unavailable):
        wired.get()

    assert wired.time.slept == [0.5, 0.5]
    assert len(wired.requests) == 3
    assert wired.time.elapsed == 19.0


def test_the_timeouts_of_an_attempt_end_with_the_budget() -> None:
    """Each attempt gets connect 5, read 20 and pool 5 seconds, less where the budget leaves less."""
    wired = Wired("blocking", error(503, headers={"retry-after": "8"}))
    with pytest.raises(Unavailable):
        wired.get()

    timeouts = [request.extensions["timeout"] for request in wired.requests]

    assert timeouts == [
        {"connect": 5.0, "read": 20.0, "write": 20.0, "pool": 5.0},
        {"connect": 5.0, "read": 12.0, "write": 12.0, "pool": 5.0},
        {"connect": 4.0, "read": 4.0, "write": 4.0, "pool": 4.0},
    ]


TORN = httpx.Response(200, content=b'{"id": "cus_')
HTML = httpx.Response(200, headers={"content-type": "text/html"}, content=b"<html>")
IN_USE = error(409, "idempotency_error", code="idempotency_key_in_use")
BUSY = error(429, code="lock_timeout")
REFUSED = httpx.ConnectError("refused")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answers", "unknown"),
    [
        ([REFUSED], False),
        ([httpx.ConnectTimeout("late")], False),
        ([httpx.PoolTimeout("full")], False),
        ([httpx.ProxyError("no")], False),
        ([httpx.ReadTimeout("late")], True),
        ([httpx.WriteError("cut")], True),
        ([httpx.WriteTimeout("late")], True),
        ([httpx.ReadError("reset")], True),
        ([httpx.RemoteProtocolError("cut")], True),
        ([TimeoutError()], True),
        ([error(500)], True),
        ([error(500, headers={"stripe-should-retry": "false"})], True),
        ([error(502)], True),
        ([TORN], True),
        ([HTML], True),
        ([IN_USE], True),
        ([BUSY], False),
        ([error(429, code="rate_limit")], False),
        ([httpx.ReadTimeout("late"), REFUSED], True),
        ([httpx.ReadTimeout("late"), BUSY], True),
        ([error(500), BUSY], True),
        ([REFUSED, REFUSED, error(503)], True),
        ([httpx.Response(302, headers={"location": "https://evil.example/"})], False),
        ([httpx.ReadTimeout("late"), httpx.Response(302)], True),
        ([httpx.Response(200, headers={"content-encoding": "gzip"}, content=b"")], True),
    ],
)
def test_whether_the_outcome_is_known(kind: Kind, answers: list[Any], unknown: bool) -> None:
    """A POST that Stripe may have got and not judged has an unknown outcome; a GET never has."""
    for method, expected in (("POST", unknown), ("DELETE", unknown), ("GET", False)):
        wired = Wired(kind, *answers)
        with pytest.raises(Unavailable) as caught:
            wired.run(wired.stripe.request(method, "/v1/customers", idempotency_key="op_1"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - each in turn

        assert caught.value.outcome_unknown == expected


@pytest.mark.parametrize("status", [400, 401, 402, 404])
def test_a_verdict_settles_an_unknown_outcome(status: int) -> None:
    """After a timeout a retry under the same key that Stripe refuses tells that nothing was done."""
    wired = Wired("blocking", httpx.ReadTimeout("late"), error(status))
    with pytest.raises(BillingError) as caught:
        wired.post()

    assert not isinstance(caught.value, Unavailable)


def test_a_torn_answer_is_asked_for_again() -> None:
    """The key makes it safe, even where `Stripe-Should-Retry: false` came with a success."""
    torn = httpx.Response(200, headers={"stripe-should-retry": "false"}, content=b'{"id"')
    wired = Wired("blocking", torn, OK)

    assert wired.post()["id"] == "cus_1"


def test_retry_after_as_a_date() -> None:
    """A date counts from now, rounded up; one in the past, one without a zone and nonsense count for nothing."""
    now = NOW * 1_000_000
    at = datetime.fromtimestamp(NOW, UTC)

    def asked(text: str) -> int | None:
        return retry_after(Reply(status=503, headers={"retry-after": text}, json=None), now)

    assert asked(format_datetime(at + timedelta(seconds=7), usegmt=True)) == 7
    assert asked(format_datetime(at - timedelta(hours=7), usegmt=True)) == 0
    assert asked("Sun, 06 Nov 2094 08:49:37 -0000") is None
    assert asked("1e3") is None
    assert asked("\uff11") is None
    assert asked("Sun, 99 Nov 2094 08:49:37 GMT") is None


def test_a_policy_has_bounds() -> None:
    """Negative patience is refused, and a failure that cannot change is not repeated."""
    with pytest.raises(ValueError, match="retries"):
        RetryPolicy(retries=-1)
    assert DEFAULT_POLICY.delay(NoReply(sent=True, again=False), 1, jitter=0.5, now=0) is None
    assert RetryPolicy(retries=0).delay(NoReply(sent=False), 1, jitter=0.5, now=0) is None


def test_the_sdk_version_of_this_comparison() -> None:
    """The rules above were read off this version of the SDK; a newer one wants a new look."""
    assert stripe.VERSION.split(".")[0] == "16"
