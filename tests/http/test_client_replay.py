"""What Better Auth's own client sends, recorded from it in Node and in Chromium, and what it gets from these routes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kernia_billing.domain.urls import TrustedOrigins
from tests.http.support import Recorder, parsed, send

RECORDING = Path(__file__).parent.parent / "data" / "better-auth-client.json"
PREFIX = "/api/auth"

REFUSED = {
    "metadata of every JSON type": (400, "VALIDATION_ERROR"),
    "odd seats 0 / 2.5 / -1": (400, "VALIDATION_ERROR"),
    "billing/track fractional + big quantity": (400, "VALIDATION_ERROR"),
    "POST empty object body": (400, "VALIDATION_ERROR"),
    "client.stripe.webhook is just a path": (400, "INVALID_SIGNATURE"),
    # Node sends a cookie without an Origin; a browser never does.
    "fetchOptions inside argument": (403, "MISSING_OR_NULL_ORIGIN"),
}
"""Requests that Better Auth lets through or answers otherwise, and that are refused here on purpose."""

WRONG_METHOD = {
    ("GET", "/subscription/upgrade"),
    ("GET", "/subscription/cancel"),
    ("POST", "/subscription/list"),
    ("DELETE", "/billing/usage"),
    ("PUT", "/billing/usage"),
    ("OPTIONS", "/billing/track"),
    ("OPTIONS", "/subscription/cancel"),
}
LATER = ("/billing/check-many",)


@cache
def recorded() -> list[tuple[str, dict[str, Any]]]:
    """Every request under the base path, with the label of its call."""
    recording = json.loads(RECORDING.read_text(encoding="utf-8"))
    calls = [*recording["calls"], *recording["browser"]["calls"]]
    return [
        (call["label"], request)
        for call in calls
        for request in call["requests"]
        if request["url"].startswith(f"{PREFIX}/")
    ]


def replay(sent: dict[str, Any]) -> Any:
    """Send a recorded request to routes that live on the origin that it was recorded against."""
    base = "http://api" if sent.get("server") == "api" else "http://app"
    service = Recorder(trusted=TrustedOrigins(base))
    service.admin = True
    path, _, query = sent["url"].removeprefix(PREFIX).partition("?")
    raw = (sent.get("rawBody") or "").encode()
    return send(service, sent["method"], path, raw, query=query, headers=sent["headers"])


def expected(label: str, sent: dict[str, Any]) -> tuple[int, str | None]:
    """The documented status, and the code of a refusal."""
    path = sent["url"].removeprefix(PREFIX).partition("?")[0]
    if path.startswith(LATER):
        return 404, "NOT_FOUND"
    if (sent["method"], path) in WRONG_METHOD:
        return 405, "METHOD_NOT_ALLOWED"
    if path == "/subscription/success":
        return 302, None
    # The page is on another origin, which nobody trusts, and its cookie came along.
    if sent.get("server") == "api" and sent["method"] == "POST":
        return 403, "INVALID_ORIGIN"
    return REFUSED.get(label, (200, None))


@pytest.mark.parametrize("index", range(len(recorded())))
def test_the_official_client_gets_the_documented_answer(index: int) -> None:
    """Never a 5xx, never an answer that is not flat JSON."""
    label, sent = recorded()[index]
    status, code = expected(label, sent)
    response = replay(sent)

    assert (label, sent["url"], response.status) == (label, sent["url"], status)
    if code is not None:
        body = parsed(response)
        assert body["code"] == code
        assert isinstance(body["message"], str)


def test_the_recording_covers_the_routes() -> None:
    """Most requests succeed, so the replay says something."""
    statuses = [expected(label, sent)[0] for label, sent in recorded()]

    assert len(statuses) > 120
    assert statuses.count(200) > 80


def test_the_codes_that_the_client_exports_have_its_texts() -> None:
    """An application may show the message, or look it up by code."""
    from kernia_billing.http.problems import ALIASES
    from kernia_billing.http.refusals import TEXTS

    exported = json.loads(RECORDING.read_text(encoding="utf-8"))["plugin"]["errorCodes"]
    names = {code: ALIASES.get(code, code) for code in TEXTS}

    assert {code: TEXTS[code] for code, name in names.items() if name in exported} == {
        code: exported[name]["message"] for code, name in names.items() if name in exported
    }
    assert len([name for name in names.values() if name in exported]) >= 14
