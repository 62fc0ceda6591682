"""Every integration gives the same answers to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kernia_billing.http.messages import BODY_LIMIT, WEBHOOK_LIMIT
from tests.integrations.sites import ADMIN, COOKIE, JSON, KINDS, ORIGIN, USER, Sent, Site, sites

SIGNED = {"stripe-signature": "t=1,v1=" + "0" * 64}
CHECK = b'{"feature": "projects"}'


@pytest.fixture(scope="module")
def every() -> Iterator[dict[str, Site]]:
    """All sites, shared by the tests of this module: each request goes to each of them."""
    with sites() as made:
        yield made


def post(path: str, body: Any = None, **headers: str) -> Sent:
    """A POST by a program that is signed in."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent("POST", path, {**USER, **(JSON if raw else {}), **named}, raw)


def get(target: str, method: str = "GET", **headers: str) -> Sent:
    """A GET by a program that is signed in."""
    return Sent(method, target, {**USER, **{name.replace("_", "-"): value for name, value in headers.items()}})


HAPPY = {
    "plans": (Sent("GET", "/billing/plans"), 200),
    "plans, head": (Sent("HEAD", "/billing/plans"), 200),
    "openapi": (Sent("GET", "/billing/openapi.json"), 200),
    "check": (post("/billing/check", CHECK), 200),
    "check, repeated header": (post("/billing/check", CHECK, accept="a, b"), 200),
    "track": (post("/billing/track", {"feature": "messages"}, idempotency_key="once"), 200),
    "track, too much": (post("/billing/track", {"feature": "projects", "quantity": 9, "mode": "require"}), 402),
    "reserve, too much": (post("/billing/reserve", {"feature": "projects", "quantity": 9}), 402),
    "settle, nothing there": (post("/billing/settle", {"reservationId": "hold_1"}), 404),
    "release, nothing there": (post("/billing/release", {"reservationId": "hold_1"}), 404),
    "customer": (get("/billing/customer"), 200),
    "customer, head": (get("/billing/customer", "HEAD"), 200),
    "usage, query": (get("/billing/usage?feature=nothing%2Dhere&limit=5"), None),
    "upgrade": (post("/subscription/upgrade", {"plan": "pro", "successUrl": "/ok", "cancelUrl": "/no"}), 200),
    "upgrade, no such plan": (post("/subscription/upgrade", {"plan": "platinum"}), 400),
    "list": (get("/subscription/list"), 200),
    "portal, nobody billed": (
        Sent("POST", "/billing/portal", {"authorization": "Bearer user_2", **JSON}, b'{"returnUrl": "/"}'),
        404,
    ),
    "success": (Sent("GET", "/subscription/success?callbackURL=%2Fthanks%3Fa%3Db"), 302),
    "success, elsewhere": (Sent("GET", "/subscription/success?callbackURL=https%3A%2F%2Fevil.example"), 403),
    "products": (get("/stripe/products"), 200),
    "webhook health, no admin": (get("/stripe/webhooks/health"), 403),
    "sync, no admin": (post("/stripe/catalog/sync"), 403),
    "sync": (Sent("POST", "/stripe/catalog/sync", ADMIN), 200),
    "cookie and origin": (Sent("POST", "/billing/check", {**COOKIE, **JSON, "origin": ORIGIN}, CHECK), 200),
    "chunks": (Sent("POST", "/billing/check", {**USER, **JSON}, chunks=[CHECK[:5], b"", CHECK[5:]]), 200),
}

REFUSED = {
    "no such path": (get("/billing/nothing"), 404, "NOT_FOUND"),
    "the mount itself": (get("/"), 404, "NOT_FOUND"),
    "head of no such path": (get("/billing/nothing", "HEAD"), 404, None),
    "wrong method": (get("/billing/check"), 405, "METHOD_NOT_ALLOWED"),
    "options": (get("/billing/check", "OPTIONS"), 405, "METHOD_NOT_ALLOWED"),
    "delete": (get("/billing/plans", "DELETE"), 405, "METHOD_NOT_ALLOWED"),
    "a method nobody knows": (get("/billing/plans", "PURGE"), 405, "METHOD_NOT_ALLOWED"),
    "head of a post": (get("/billing/track", "HEAD"), 405, None),
    "head of what is not safe": (get("/billing/portal", "HEAD"), 405, None),
    "nobody signed in": (Sent("POST", "/billing/check", JSON, CHECK), 401, "UNAUTHORIZED"),
    "another's reference": (get("/billing/customer?referenceId=user_2"), 400, "REFERENCE_ID_NOT_ALLOWED"),
    "form": (
        Sent("POST", "/billing/check", {**USER, "content-type": "application/x-www-form-urlencoded"}, b"feature=a"),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "multipart": (
        Sent("POST", "/billing/check", {**USER, "content-type": "multipart/form-data; boundary=x"}, b"--x--\r\n"),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "text": (
        Sent("POST", "/billing/check", {**USER, "content-type": "text/plain"}, CHECK),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "compressed": (
        Sent("POST", "/billing/check", {**USER, **JSON, "content-encoding": "gzip"}, CHECK),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    ),
    "no JSON": (post("/billing/check", b"{"), 400, None),
    "duplicate key": (post("/billing/check", b'{"feature": "a", "feature": "b"}'), 400, None),
    "wrong type": (post("/billing/check", {"feature": 1}), 400, "VALIDATION_ERROR"),
    "no member": (post("/billing/check"), 400, "VALIDATION_ERROR"),
    "query given twice": (get("/billing/usage?limit=1&limit=2"), 400, "VALIDATION_ERROR"),
    "query not UTF-8": (get("/billing/usage?feature=%FF"), 400, "BAD_REQUEST"),
    "unknown feature": (post("/billing/check", {"feature": "typo"}), 404, "FEATURE_NOT_FOUND"),
    "cookie without origin": (Sent("POST", "/billing/check", {**COOKIE, **JSON}, CHECK), 403, "MISSING_OR_NULL_ORIGIN"),
    "cookie, other origin": (
        Sent("POST", "/billing/check", {**COOKIE, **JSON, "origin": "https://evil.example"}, CHECK),
        403,
        "INVALID_ORIGIN",
    ),
    "cookie, null origin": (
        Sent("POST", "/billing/check", {**COOKIE, **JSON, "origin": "null"}, CHECK),
        403,
        "MISSING_OR_NULL_ORIGIN",
    ),
    "declared too large": (post("/billing/check", CHECK, content_length=str(BODY_LIMIT + 1)), 413, "PAYLOAD_TOO_LARGE"),
    "too large": (post("/billing/check", b" " * (BODY_LIMIT + 1)), 413, "PAYLOAD_TOO_LARGE"),
    "too large, in chunks": (
        Sent("POST", "/billing/check", {**USER, **JSON}, chunks=[b" " * 10_000] * 7),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
    "long URL": (get("/billing/plans?" + "a" * 9_000), 414, "URI_TOO_LONG"),
    "large headers": (get("/billing/plans", x_large="a" * 33_000), 431, "HEADERS_TOO_LARGE"),
    "forged webhook": (
        Sent("POST", "/stripe/webhook", {**SIGNED, **JSON}, b'{"id": "evt_1"}'),
        400,
        "INVALID_SIGNATURE",
    ),
    "unsigned webhook": (Sent("POST", "/stripe/webhook", JSON, b'{"id": "evt_1"}'), 400, "INVALID_SIGNATURE"),
    "large webhook": (
        Sent("POST", "/stripe/webhook", SIGNED, chunks=[b" " * 65_536] * 17),
        413,
        "PAYLOAD_TOO_LARGE",
    ),
}

TRICKS = (
    "//billing/plans",
    "/billing//plans",
    "/billing/plans/",
    "/billing/plans//",
    "/./billing/plans",
    "/billing/./plans",
    "/billing/../billing/plans",
    "/billing/%2e%2e/billing/plans",
    "/billing/%2e/plans",
    "/billing%2Fplans",
    "/%2Fbilling/plans",
    "%2Fbilling/plans",
    "/%62illing/plans",
    "/billing/plan%73",
    "/billing/plans;x",
    "/billing/plans;x=1",
    "/billing/plans%3B",
    "/billing/plans%00",
    "/billing/plans%20",
    "/billing/plans%0A",
    "/billing/plans%3Fa=b",
    "/billing/plans%23",
    "/Billing/Plans",
    "/BILLING/PLANS",
    "/billing\\plans",
    "/billing%5Cplans",
    "/billing/plans%C3%A9",
    "/billing/plans%FF",
    "/billing/plans%",
    "/billing/plans%zz",
    "/billing/%252e%252e/plans",
    "https://shop.example/api/auth/billing/plans",
    "http://shop.example/billing/plans",
)


@pytest.mark.parametrize("name", HAPPY)
def test_same_answer(every: dict[str, Site], name: str) -> None:
    """What is well formed is answered alike everywhere: status, headers and body."""
    sent, status = HAPPY[name]
    answers = {kind: every[kind](sent) for kind in KINDS}

    assert status is None or {each.status for each in answers.values()} == {status}
    assert {kind: each.comparable for kind, each in answers.items()} == dict.fromkeys(KINDS, answers["asgi"].comparable)


@pytest.mark.parametrize("name", REFUSED)
def test_same_refusal(every: dict[str, Site], name: str) -> None:
    """What is refused is refused alike everywhere, as flat JSON with a stable code."""
    sent, status, code = REFUSED[name]
    answers = {kind: every[kind](sent) for kind in KINDS}

    assert {each.status for each in answers.values()} == {status}
    assert code is None or {each.code for each in answers.values()} == {code}
    assert {each.headers["content-type"] for each in answers.values()} == {"application/json"}
    assert {kind: each.comparable for kind, each in answers.items()} == dict.fromkeys(KINDS, answers["asgi"].comparable)


@pytest.mark.parametrize("target", TRICKS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_spelling_of_a_path_is_a_path(every: dict[str, Site], kind: str, target: str) -> None:
    """A path that is spelled otherwise is not found, so that no guard in front can be passed by spelling."""
    answer = every[kind](Sent("GET", target))

    assert answer.status == 404
    if target.startswith("/"):
        assert answer.code == "NOT_FOUND"


def test_a_webhook_is_verified_over_the_bytes_as_they_came(every: dict[str, Site]) -> None:
    """The largest webhook that is allowed gets as far as its signature, in one piece and in chunks."""
    body = b'{"id": "evt_1", "x": "' + b"\xc3\xa9" * 1000 + b'"}'
    padded = body + b" " * (WEBHOOK_LIMIT - len(body))
    for sent in (
        Sent("POST", "/stripe/webhook", SIGNED, padded),
        Sent("POST", "/stripe/webhook", SIGNED, chunks=[padded[:777], padded[777:]]),
    ):
        assert {kind: every[kind](sent).code for kind in KINDS} == dict.fromkeys(KINDS, "INVALID_SIGNATURE")
