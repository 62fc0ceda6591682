"""Calls from pages on other origins: answered only where the configuration says so, and only to trusted ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.support import COOKIE, ORIGIN, Recorder, outcome, send

OTHER = "https://app.trusted.example"
STRANGE = (
    "https://evil.example",
    "null",
    "https://app.trusted.example.evil.example",
    "http://app.trusted.example",
    "*",
)
BODY = {"feature": "projects"}


def preflight(service: Recorder, path: str, origin: str, method: str = "POST") -> Any:
    """What a browser asks before it sends JSON elsewhere."""
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type,idempotency-key",
    }
    return send(service, "OPTIONS", path, headers=headers, identity=None)


def shared(response: Any) -> dict[str, str]:
    """The headers of a response that are about other origins."""
    named = response.headers.items()
    return {name: value for name, value in named if name.startswith("access-control") or name == "vary"}


def test_it_is_off() -> None:
    """Nothing is said to anybody, and a browser that asks learns nothing."""
    service = Recorder()
    asked = preflight(service, "/billing/check", OTHER)

    assert outcome(asked) == (405, "METHOD_NOT_ALLOWED")
    assert shared(asked) == {}
    assert shared(send(service, "POST", "/billing/check", BODY, headers={"origin": OTHER})) == {}


def test_a_browser_may_ask_first() -> None:
    """A page on a trusted origin is told what it may send, with its cookies; nobody is asked who that is."""
    answer = preflight(Recorder(cors=True), "/billing/check", OTHER)

    assert (answer.status, answer.body) == (204, b"")
    assert shared(answer) == {
        "access-control-allow-origin": OTHER,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "content-type, idempotency-key, authorization",
        "access-control-max-age": "600",
        "vary": "Origin",
    }
    of_path = shared(preflight(Recorder(cors=True), "/billing/invoices/in_1/pdf", ORIGIN, "GET"))
    assert of_path["access-control-allow-methods"] == "GET, HEAD"


@pytest.mark.parametrize("origin", STRANGE)
def test_a_strange_page_is_told_nothing(origin: str) -> None:
    """It gets the answer of somebody who asks for a method that is not there, and no answer of ours may be read."""
    service = Recorder(cors=True)
    asked = preflight(service, "/billing/check", origin)
    answered = send(service, "GET", "/billing/plans", headers={"origin": origin})

    assert outcome(asked) == (405, "METHOD_NOT_ALLOWED")
    assert shared(asked) == shared(answered) == {"vary": "Origin"}


def test_answers_and_refusals_may_be_read() -> None:
    """With the headers that say when to come again, whatever the status."""
    service = Recorder(cors=True)
    wanted = {
        "access-control-allow-origin": OTHER,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After, RateLimit, RateLimit-Policy",
        "vary": "Origin",
    }
    headers = {"origin": OTHER}
    answers = [
        send(service, "POST", "/billing/check", BODY, headers=headers | COOKIE),
        send(service, "POST", "/billing/check", {}, headers=headers),
        send(service, "POST", "/billing/check", BODY, headers=headers, identity=None),
        send(service, "GET", "/billing/nothing", headers=headers),
        send(service, "DELETE", "/billing/check", headers=headers),
        send(service, "GET", "/billing/plans", headers=headers),
    ]

    assert [each.status for each in answers] == [200, 400, 401, 404, 405, 200]
    assert [shared(each) for each in answers] == [wanted] * len(answers)


def test_a_path_that_is_not_there_is_not_asked_about() -> None:
    """What was asked is a preflight only where something could follow, and only if it says what will."""
    service = Recorder(cors=True)

    assert outcome(preflight(service, "/billing/nothing", OTHER)) == (404, "NOT_FOUND")
    assert outcome(send(service, "OPTIONS", "/billing/check", headers={"origin": OTHER})) == (405, "METHOD_NOT_ALLOWED")


def test_the_origin_is_judged_as_ever() -> None:
    """That a page may read answers lets no other page send: a cookie still needs a trusted Origin."""
    service = Recorder(cors=True)
    refused = send(service, "POST", "/billing/check", BODY, headers={"origin": STRANGE[0]} | COOKIE)

    assert outcome(refused) == (403, "INVALID_ORIGIN")
    assert service.calls == []
