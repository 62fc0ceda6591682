"""How refusals of gates are shown."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.domain.references import Reference
from kernia_billing.errors import BillingError, NotBound, NotFound, SubscriptionRequired, Unauthorized, Unavailable
from kernia_billing.http.denial import DENIALS, denial_response, prefers_html
from kernia_billing.http.gate import denied
from kernia_billing.http.messages import Response
from kernia_billing.http.refusals import ReferenceRefused
from tests.http.support import Recorder, parsed

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def refused(reason: str = "insufficient_balance") -> BillingError:
    """A gate's refusal."""
    service = Recorder()
    service.allowed, service.reason = False, reason
    return denied(service.decision(Reference("user_1", "user"), "projects", 5))


def shown(error: BillingError, method: str = "GET", accept: str = BROWSER, url: str = "/billing") -> Response:
    """What the client gets."""
    return denial_response(method, {"accept": accept}, error, paywall_url=url, request_id="req_1")


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/json, text/html", True),
        ("application/json;q=0.9, text/html", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        (",;;,", False),
    ],
)
def test_who_is_a_browser(accept: str, html: bool) -> None:
    """Named HTML, with at least the weight of JSON; `*/*` is what programs send."""
    assert prefers_html(accept) is html


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/billing", "/billing?reason=insufficient_balance"),
        ("/billing?tab=plans", "/billing?tab=plans&reason=insufficient_balance"),
        ("/billing#plans", "/billing?reason=insufficient_balance#plans"),
        ("https://shop.example/pay", "https://shop.example/pay?reason=insufficient_balance"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_browser_is_led_to_the_paywall(method: str, url: str, location: str) -> None:
    """With the reason, so that the page can say why."""
    response = shown(refused(), method, url=url)

    assert (response.status, response.headers["location"]) == (302, location)


def test_without_a_subscription_the_reason_says_so() -> None:
    """One word for every status that entitles to nothing."""
    assert shown(SubscriptionRequired()).headers["location"] == "/billing?reason=subscription_required"
    assert parsed(shown(SubscriptionRequired(), accept="*/*"))["code"] == "SUBSCRIPTION_REQUIRED"


@pytest.mark.parametrize(("method", "accept"), [("GET", "*/*"), ("GET", "application/json"), ("POST", BROWSER)])
def test_everybody_else_gets_json(method: str, accept: str) -> None:
    """402, flat, with what was asked for and what is left."""
    response = shown(refused(), method, accept)

    assert response.status == 402
    assert parsed(response) == {
        "code": "INSUFFICIENT_BALANCE",
        "message": "A sentence.",
        "requestId": "req_1",
        "retryable": False,
        "feature": "projects",
        "reason": "insufficient_balance",
        "required": 5,
        "remaining": 3,
    }
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("error", "status"), [(Unauthorized(), 401), (ReferenceRefused("REFERENCE_ID_NOT_ALLOWED"), 400)]
)
def test_a_paywall_does_not_help_who_is_not_signed_in(error: BillingError, status: int) -> None:
    """Also in a browser."""
    assert shown(error).status == status


@pytest.mark.parametrize("error", [NotFound("x"), NotBound(), Unavailable(), RuntimeError("x")])
def test_mistakes_and_failures_are_no_refusals(error: Any) -> None:
    """They must surface as the framework's own 500."""
    assert not isinstance(error, DENIALS)
