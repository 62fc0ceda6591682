"""Cross-site requests: what a browser may be made to send."""

from __future__ import annotations

import pytest

from tests.http.support import COOKIE, ORIGIN, Recorder, outcome, send

BODY = {"feature": "projects"}


@pytest.mark.parametrize(
    "headers",
    [
        {**COOKIE, "origin": ORIGIN},
        {**COOKIE, "origin": "https://any.trusted.example"},
        {**COOKIE, "referer": f"{ORIGIN}/billing?x=1"},
        {**COOKIE, "sec-fetch-site": "same-origin"},
        {"authorization": "Bearer token"},
        {"authorization": "Bearer token", "origin": "https://evil.example"},
        {"x-api-key": "key"},
        {"authorization": "Basic dTpw"},
        {"authorization": "Basic dTpw", "origin": ORIGIN},
        {},
    ],
)
def test_requests_of_our_own_pages_and_of_programs_pass(headers: dict[str, str]) -> None:
    """A trusted origin, or credentials that no browser adds by itself."""
    assert send(Recorder(), "POST", "/billing/check", BODY, headers=headers).status == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "MISSING_OR_NULL_ORIGIN"),
        ({"origin": "null"}, "MISSING_OR_NULL_ORIGIN"),
        ({"origin": "null", "referer": ORIGIN}, "MISSING_OR_NULL_ORIGIN"),
        ({"sec-fetch-site": "same-site"}, "MISSING_OR_NULL_ORIGIN"),
        ({"sec-fetch-site": "none"}, "MISSING_OR_NULL_ORIGIN"),
        ({"sec-fetch-site": "same-origin, same-origin"}, "MISSING_OR_NULL_ORIGIN"),
        ({"origin": ""}, "INVALID_ORIGIN"),
        ({"origin": "https://evil.example"}, "INVALID_ORIGIN"),
        ({"origin": "http://app.example.com"}, "INVALID_ORIGIN"),
        ({"origin": "https://app.example.com:8443"}, "INVALID_ORIGIN"),
        ({"origin": "https://app.example.com.evil.example"}, "INVALID_ORIGIN"),
        ({"origin": "https://app.example.com@evil.example"}, "INVALID_ORIGIN"),
        ({"origin": f"{ORIGIN}, https://evil.example"}, "INVALID_ORIGIN"),
        ({"origin": "https://trusted.example"}, "INVALID_ORIGIN"),
        ({"origin": "https://a.b.trusted.example"}, "INVALID_ORIGIN"),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, "INVALID_ORIGIN"),
        ({"origin": "https://evil.example", "authorization": "Bearer token"}, "INVALID_ORIGIN"),
        ({"referer": "https://evil.example/app.example.com"}, "INVALID_ORIGIN"),
        ({"referer": f"https://evil.example/?{ORIGIN}"}, "INVALID_ORIGIN"),
    ],
)
def test_a_cookie_needs_a_trusted_origin(headers: dict[str, str], code: str) -> None:
    """Origin first, then Referer, then what the browser says of the site; a bearer token beside it changes nothing."""
    service = Recorder()

    assert outcome(send(service, "POST", "/billing/check", BODY, headers={**COOKIE, **headers})) == (403, code)
    assert service.calls == []


@pytest.mark.parametrize("scheme", ["Basic", "basic", "Digest", "Negotiate", "NTLM"])
def test_credentials_that_browsers_repeat_count_as_a_cookie_does(scheme: str) -> None:
    """A page elsewhere can make a browser send them."""
    headers = {"authorization": f"{scheme} dTpw", "origin": "https://evil.example"}

    assert outcome(send(Recorder(), "POST", "/billing/check", BODY, headers=headers)) == (403, "INVALID_ORIGIN")


def test_reading_needs_no_origin_and_the_portal_alias_does() -> None:
    """A same-origin GET carries no Origin; the one that opens a portal is judged like a POST."""
    service = Recorder()

    assert send(service, "GET", "/subscription/list", headers=COOKIE).status == 200
    assert outcome(send(service, "GET", "/billing/portal", headers=COOKIE)) == (403, "MISSING_OR_NULL_ORIGIN")
    same = {**COOKIE, "referer": f"{ORIGIN}/billing", "sec-fetch-site": "same-origin"}
    assert send(service, "GET", "/billing/portal", headers=same).status == 200


def test_the_host_header_makes_no_origin_trusted() -> None:
    """Trust comes from the configuration only."""
    headers = {**COOKIE, "origin": "https://evil.example", "host": "evil.example", "x-forwarded-host": "evil.example"}

    assert send(Recorder(), "POST", "/billing/check", BODY, headers=headers).status == 403


def test_a_webhook_is_vouched_for_by_its_signature() -> None:
    """No origin, no session."""
    headers = {**COOKIE, "origin": "https://evil.example", "stripe-signature": "good"}

    assert send(Recorder(), "POST", "/stripe/webhook", b"{}", headers=headers, identity=None).status == 200
