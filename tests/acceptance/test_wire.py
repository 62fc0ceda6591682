"""The requests that the official client was recorded to send, sent again to the real application.

`tests/data/better-auth-client.json` holds what the client put on the wire, in Node and in a browser. Each request that
is for one of our routes goes to ASGI under uvicorn and to Flask under a WSGI server, in four ways: as recorded, in a
session of somebody who may do everything, in one of somebody who may not, and from a page of another site.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import frozen

from tests.acceptance.support import Shop, shop

RECORDINGS = Path(__file__).parents[1] / "data" / "better-auth-client.json"
PREFIX = "/api/auth"
OURS = frozenset(
    f"{PREFIX}{path}"
    for path in (
        "/subscription/upgrade",
        "/subscription/list",
        "/subscription/billing-portal",
        "/subscription/success",
        "/stripe/webhook",
        "/stripe/catalog/sync",
        "/stripe/products",
        "/stripe/prices",
        "/billing/check",
        "/billing/track",
        "/billing/customer",
        "/billing/portal",
        "/billing/usage",
        "/billing/plans",
        "/billing/openapi.json",
    )
)
PUBLIC = frozenset(f"{PREFIX}{path}" for path in ("/subscription/success", "/stripe/webhook"))
BAD_MEMBER = (400, "VALIDATION_ERROR")
WRONG_METHOD = (405, "METHOD_NOT_ALLOWED")
OK = (200, None)

ANSWERS: dict[str, tuple[int, str | None]] = {
    "seed 000 example": OK,
    "minimal with urls": OK,
    "plan only": OK,
    "switch: subscriptionId": (400, "SUBSCRIPTION_NOT_FOUND"),
    "scheduled, no redirect, returnUrl": OK,
    "organization customerType": OK,
    "metadata of every JSON type": BAD_MEMBER,
    "locale": OK,
    "undefined members are dropped": OK,
    "null members are sent": OK,
    "odd seats 0 / 2.5 / -1": BAD_MEMBER,
    "fetchOptions inside argument": OK,
    "fetchOptions as second argument, body merge": OK,
    "query member": OK,
    "no argument (client picks GET)": WRONG_METHOD,
    "no argument": OK,
    "organization": OK,
    "undefined / null query members": OK,
    "query with special characters and array": (401, "UNAUTHORIZED"),
    "misuse: referenceId outside query (client picks POST)": WRONG_METHOD,
    "fetchOptions only": OK,
    "empty list": OK,
    "no argument (POST, pathMethods)": OK,
    "all members": OK,
    "untyped but reachable: GET, fetch follows the 302": (302, None),
    "client.stripe.webhook is just a path": (400, "INVALID_SIGNATURE"),
    "client.billing.check (no plugin needed)": OK,
    "client.billing.usage with query": OK,
    "client.billing.customer no argument": OK,
    "billing/check seed 000": OK,
    "billing/track seed 000": OK,
    "billing/track with Idempotency-Key header": OK,
    "billing/track fractional + big quantity": BAD_MEMBER,
    "billing/customer GET": OK,
    "billing/customer GET with query": OK,
    "billing/portal GET": OK,
    "billing/portal POST": OK,
    "billing/usage GET": OK,
    "stripe/catalog/sync POST without body: no content-type, empty body": OK,
    "stripe/products GET": OK,
    "stripe/prices GET": OK,
    "POST empty object body": BAD_MEMBER,
    "DELETE and PUT": WRONG_METHOD,
}
"""What somebody who may do everything gets, by the label of the call: the status, and the code of a refusal. The calls
that were recorded for what the client makes of an answer (groups "answers", "baseURL", and the browser's) are those of
`S.list()`, `S.billingPortal()` and the like again, and are answered with 200."""


@frozen
class Recorded:
    """One request of a recorded call."""

    label: str
    method: str
    url: str
    headers: dict[str, str]
    body: str | None

    def __str__(self) -> str:
        return f"{self.label}: {self.method} {self.url}"

    @property
    def content(self) -> tuple[object, ...]:
        """Equal for requests that differ in nothing but the call that they were recorded for."""
        return (self.method, self.url, self.body, *self.headers.items())

    @property
    def path(self) -> str:
        """The path of the URL."""
        return self.url.partition("?")[0]

    @property
    def expected(self) -> tuple[int, str | None]:
        """The documented answer to somebody who may do everything."""
        return WRONG_METHOD if self.method == "OPTIONS" else ANSWERS.get(self.label, OK)


def recorded() -> Iterator[Recorded]:
    """Every recorded request for a route of ours."""
    recordings = json.loads(RECORDINGS.read_text(encoding="utf-8"))
    for call in (*recordings["calls"], *recordings["browser"]["calls"]):
        for request in call["requests"]:
            kept = {name: request["headers"][name] for name in _SENT if name in request["headers"]}
            body = request.get("rawBody") or None
            found = Recorded(call["label"], request["method"], request["url"], kept, body)
            if found.path in OURS:
                yield found


_SENT = ("content-type", "accept", "accept-language", "sec-fetch-mode", "idempotency-key")
ALL = list(recorded())
REQUESTS = list({each.content: each for each in reversed(ALL)}.values())


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Shop]:
    """An application in which everybody who is asked for has a Stripe customer."""
    with shop(request.param, f"sqlite:///{tmp_path_factory.mktemp('wire') / 'shop.sqlite'}") as opened:
        for name in ("ada", "grace"):
            opened.control("customer", reference=name)
        for kind in ("user", "organization"):
            opened.control("customer", reference="org_123", type=kind)
        yield opened


@pytest.fixture(scope="module")
def http() -> Generator[httpx.Client]:
    """A client that adds nothing of its own."""
    with httpx.Client(timeout=30) as client:
        yield client


pytestmark = pytest.mark.xdist_group("wire")
every_request = pytest.mark.parametrize("request_", REQUESTS, ids=str)


def send(http: httpx.Client, running: Shop, request: Recorded, headers: dict[str, str]) -> httpx.Response:
    """Send a recorded request, with the recorded headers and these."""
    sent = http.build_request(
        request.method, running.url + request.url, headers=request.headers | headers, content=request.body
    )
    return http.send(sent)


def outcome(response: httpx.Response) -> tuple[int, str | None]:
    """Status and code. Every refusal is one flat JSON object with a code and a text."""
    if response.status_code < 400:
        return response.status_code, None
    answer: dict[str, Any] = response.json()
    assert isinstance(answer["message"], str)
    assert response.headers["content-type"].startswith("application/json")
    return response.status_code, answer["code"]


def test_what_was_recorded() -> None:
    """Every label of the table is one of a recorded call, and the recordings have what they are known to have."""
    assert set(ANSWERS) <= {each.label for each in ALL}
    assert (len(ALL), len(REQUESTS)) == (131, 55)
    assert OURS - {each.path for each in ALL} == {f"{PREFIX}/billing/{name}" for name in ("openapi.json", "plans")}


@every_request
def test_somebody_who_may(http: httpx.Client, running: Shop, request_: Recorded) -> None:
    """In a session of somebody who administers and acts for the organizations, the documented answer."""
    response = send(http, running, request_, running.headers("ada"))

    assert outcome(response) == request_.expected
    if response.status_code == 302:
        assert response.headers["location"] == f"{running.url}/done"
    if response.status_code == 405:
        assert request_.method not in response.headers["allow"].split(", ")


@every_request
def test_somebody_who_may_not(http: httpx.Client, running: Shop, request_: Recorded) -> None:
    """In a session of somebody else, whatever names an organization or administers is refused."""
    response = send(http, running, request_, running.headers("grace"))

    expected = request_.expected
    if expected == OK and request_.path.endswith("/catalog/sync"):
        expected = (403, "FORBIDDEN")
    elif expected == OK and "org_" in f"{request_.url} {request_.body}":
        expected = (401, "UNAUTHORIZED")
    assert outcome(response) == expected


@every_request
def test_nobody(http: httpx.Client, running: Shop, request_: Recorded) -> None:
    """As recorded in Node, without a session: 401, but for what is public, and for a wrong method."""
    response = send(http, running, request_, {})

    public = request_.path in PUBLIC or request_.expected == WRONG_METHOD
    assert outcome(response) == (request_.expected if public else (401, "UNAUTHORIZED"))


@every_request
def test_a_page_of_another_site(http: httpx.Client, running: Shop, request_: Recorded) -> None:
    """A browser adds the cookies, and the origin gives the page away: nothing changes, and nothing is granted."""
    response = send(http, running, request_, running.headers("ada", origin="https://evil.example"))

    changes = request_.method == "POST" or request_.path.endswith("/billing/portal")
    refused = changes and request_.path not in PUBLIC and request_.expected != WRONG_METHOD
    assert outcome(response) == ((403, "INVALID_ORIGIN") if refused else request_.expected)
    assert not [name for name in response.headers if name.startswith("access-control-")]
