"""What is refused, with which answer, and in which order."""

from __future__ import annotations

import logging
from typing import Any, get_args

import pytest

from kernia_billing.domain.references import Action, Identity
from kernia_billing.errors import (
    AlreadySubscribed,
    BillingError,
    ConfigError,
    InvalidInput,
    NotFound,
    StripeRefused,
    TransactionConflict,
    Unavailable,
)
from kernia_billing.http.messages import PayloadTooLarge
from kernia_billing.http.routes import ROUTES, Access, table
from kernia_billing.http.service import HttpSettings, log_unexpected
from tests.http.support import COOKIE, ORIGIN, USER, Recorder, outcome, parsed, request, send

MINIMAL: dict[str, dict[str, Any]] = {
    "/subscription/upgrade": {"plan": "pro"},
    "/subscription/cancel": {"returnUrl": "/"},
    "/billing/check": {"feature": "projects"},
    "/billing/track": {"feature": "projects"},
    "/billing/reserve": {"feature": "projects"},
    "/billing/settle": {"reservationId": "hold_1"},
    "/billing/release": {"reservationId": "hold_1"},
    "/billing/usage/series": {"feature": "projects"},
}
SESSION_ROUTES = [route for route in ROUTES if route.needs_session]
UNSAFE_ROUTES = [route for route in ROUTES if route.origin_checked]


def test_every_route_says_who_may_call_it() -> None:
    """A route without an action, or with one that does not exist, cannot be added."""
    known = {*get_args(Action), *get_args(Access)}

    assert {route.action for route in ROUTES} <= known
    assert [route.path for route in ROUTES if route.action == "public"] == [
        "/subscription/success",
        "/billing/plans",
        "/billing/openapi.json",
    ]
    assert [route.path for route in ROUTES if route.action == "signed"] == ["/stripe/webhook"]
    assert [route.path for route in ROUTES if route.action == "admin"] == [
        "/stripe/webhooks/health",
        "/stripe/catalog/sync",
        "/billing/invoices/search",
    ]
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_reaches_an_operation_on_a_reference_without_a_session(route: Any) -> None:
    """Nobody signed in: only public answers, and no operation about a reference."""
    service = Recorder()
    response = send(
        service, route.method, route.path, MINIMAL.get(route.path), identity=None, headers={"stripe-signature": "bad"}
    )

    assert (response.status == 401) is route.needs_session
    assert set(service.names) <= {"plans", "receive_webhook"}


@pytest.mark.parametrize("route", SESSION_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_session_is_judged_before_the_body(route: Any) -> None:
    """401 comes before 415 and 400, and the body is not even read."""
    seen: list[str] = []
    response = send(Recorder(), route.method, route.path, b"{", query="limit=x&referenceId=a", identity=None, seen=seen)

    assert outcome(response) == (401, "UNAUTHORIZED")
    assert parsed(response)["message"] == "Unauthorized"
    assert seen == ["identity"]


@pytest.mark.parametrize("route", UNSAFE_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_origin_is_judged_before_the_session(route: Any) -> None:
    """A cookie without an origin gives 403, and nobody is asked who it belongs to."""
    seen: list[str] = []
    response = send(Recorder(), route.method, route.path, {}, headers=COOKIE, identity=None, seen=seen)

    assert outcome(response) == (403, "MISSING_OR_NULL_ORIGIN")
    assert seen == []


def test_the_steps_come_in_one_order() -> None:
    """Each request is wrong in one respect less than the one before, and is refused for the next one."""
    service = Recorder(organizations_enabled=False)
    wrong: dict[str, Any] = {"plan": 1, "customerType": "organization", "successUrl": "//evil.example"}
    steps: list[tuple[str, str, Any, dict[str, Any], tuple[int, str]]] = [
        ("PUT", "/nowhere", b"{", {"query": "x" * 9000, "headers": COOKIE, "identity": None}, (414, "URI_TOO_LONG")),
        ("PUT", "/nowhere", b"{", {"headers": COOKIE, "identity": None}, (404, "NOT_FOUND")),
        ("PUT", "/subscription/upgrade", b"{", {"headers": COOKIE, "identity": None}, (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/subscription/upgrade", b"{", {"headers": COOKIE, "identity": None}, (403, "MISSING_OR_NULL_ORIGIN")),
        ("POST", "/subscription/upgrade", b"{", {"identity": None}, (401, "UNAUTHORIZED")),
        ("POST", "/subscription/upgrade", b"{", {}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (
            "POST",
            "/subscription/upgrade",
            b"{",
            {"headers": {"content-type": "application/json"}},
            (400, "BAD_REQUEST"),
        ),
        ("POST", "/subscription/upgrade", wrong, {}, (400, "VALIDATION_ERROR")),
        (
            "POST",
            "/subscription/upgrade",
            {**wrong, "plan": "pro"},
            {},
            (400, "ORGANIZATION_SUBSCRIPTION_NOT_ENABLED"),
        ),
        (
            "POST",
            "/subscription/upgrade",
            {"plan": "pro", "successUrl": "//evil.example"},
            {},
            (403, "INVALID_CALLBACK_URL"),
        ),
    ]
    for method, path, body, named, expected in steps:
        assert outcome(send(service, method, path, body, **named)) == expected
    assert service.calls == []

    assert send(service, "POST", "/subscription/upgrade", {"plan": "pro"}).status == 200


# ── Paths and methods ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/subscription",
        "/subscription/list/",
        "//subscription/list",
        "/subscription//list",
        "/subscription/./list",
        "/subscription/x/../list",
        "/subscription/%6cist",
        "/subscription%2flist",
        "/subscription/%2e/list",
        "/Subscription/list",
        "/subscription/LIST",
        "/subscription/list;x",
        "/subscription/list;jsessionid=1",
        "/subscription/list%00",
        "/subscription/list ",
        "/subscription\\list",
        "/subscription/list.json",
        "/subscription/l\u0131st",
        "/api/auth/subscription/list",
        "/stripe/list-subscriptions",
        "/stripe/resume-subscription",
        "/billing/check-many",
    ],
)
def test_only_exact_paths_exist(path: str) -> None:
    """Another spelling of a path is another path: 404 with a flat body, and nothing is asked."""
    service, seen = Recorder(), list[str]()
    response = send(service, "GET", path, seen=seen)

    assert outcome(response) == (404, "NOT_FOUND")
    assert (service.calls, seen) == ([], [])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "post", "PROPFIND", ""])
def test_other_methods_are_405(route: Any, method: str) -> None:
    """The answer names the allowed methods, also to OPTIONS: nothing is emitted for other origins."""
    service = Recorder()
    response = send(service, method, route.path, identity=None, headers={**COOKIE, "origin": "https://evil.example"})

    assert outcome(response) == (405, "METHOD_NOT_ALLOWED")
    assert route.method in response.headers["allow"].split(", ")
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert service.calls == []


def test_a_wrong_method_names_the_mistake() -> None:
    """The client sends POST for a list with members outside of `query`, and GET for a call without members."""
    posted = send(Recorder(), "POST", "/subscription/list", {"referenceId": "org_1"})
    got = send(Recorder(), "GET", "/subscription/upgrade")

    assert (posted.status, posted.headers["allow"]) == (405, "GET, HEAD")
    assert "under `query`" in parsed(posted)["message"]
    assert (got.status, got.headers["allow"]) == (405, "POST")
    assert "without members" in parsed(got)["message"]


def test_head_is_get_without_a_body_where_get_changes_nothing() -> None:
    """HEAD neither opens a portal nor brings a purchase in, and is judged like GET elsewhere."""
    service = Recorder()

    listed = send(service, "HEAD", "/subscription/list")
    assert (listed.status, listed.body) == (200, b"")
    refused = send(service, "HEAD", "/subscription/list", identity=None)
    assert (refused.status, refused.body) == (401, b"")
    assert send(service, "HEAD", "/billing/portal").status == 405
    assert send(service, "HEAD", "/subscription/success", query="checkoutSessionId=cs_test_1").status == 405
    assert send(service, "HEAD", "/subscription/upgrade").status == 405
    assert service.names == ["subscriptions"]


def test_the_webhook_route_exists_only_with_secrets() -> None:
    """Offline there is nothing that could verify a webhook."""
    assert outcome(send(Recorder(has_webhook=False), "POST", "/stripe/webhook", b"{}")) == (404, "NOT_FOUND")
    assert "/stripe/webhook" not in table(has_webhook=False)


# ── Limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sizes_are_limited_before_anything_is_read() -> None:
    """A declared length is judged at once, an undeclared one while reading, and headers and URLs have caps."""
    service, seen = Recorder(), list[str]()
    declared = {"content-length": str(64 * 1024 + 1)}

    assert send(service, "POST", "/billing/check", {}, headers=declared, identity=None, seen=seen).status == 413
    assert send(service, "POST", "/billing/check", {}, headers={"content-length": "9" * 5000}).status == 413
    assert send(service, "POST", "/stripe/webhook", b"{}", headers={"content-length": str(2**20 + 1)}).status == 413
    assert seen == []
    assert outcome(send(service, "POST", "/billing/check", b" " * (64 * 1024 + 1))) == (413, "PAYLOAD_TOO_LARGE")
    assert send(service, "GET", "/billing/plans", headers={"x": "y" * 33_000}).status == 431
    assert send(service, "GET", "/billing/plans", query="a" * 9_000).status == 414
    assert service.calls == []


def test_a_webhook_may_be_larger_than_other_bodies() -> None:
    """1 MiB: Stripe's events quote whole objects."""
    service = Recorder()
    headers = {"stripe-signature": "good"}

    assert send(service, "POST", "/stripe/webhook", b" " * 2**20, headers=headers).status == 200
    assert send(service, "POST", "/stripe/webhook", b" " * (2**20 + 1), headers=headers).status == 413
    assert service.names == ["receive_webhook"]


# ── What an answer looks like ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "code", "extra"),
    [
        (NotFound("There is no such feature", code="FEATURE_NOT_FOUND"), 404, "FEATURE_NOT_FOUND", {}),
        (InvalidInput("must be short", field="entity"), 400, "VALIDATION_ERROR", {"field": "entityId"}),
        (AlreadySubscribed(), 409, "ALREADY_SUBSCRIBED_PLAN", {}),
        (TransactionConflict("again"), 409, "TRANSACTION_CONFLICT", {"retryable": True}),
        (Unavailable(retry_after=7), 503, "UNAVAILABLE", {"retryable": True}),
        (PayloadTooLarge(), 413, "PAYLOAD_TOO_LARGE", {}),
        (
            NotFound("x", code="PLAN_NOT_FOUND"),
            404,
            "PLAN_NOT_FOUND",
            {"alias": "SUBSCRIPTION_PLAN_NOT_FOUND", "message": "Subscription plan not found"},
        ),
    ],
)
def test_refusals_are_flat(error: BillingError, status: int, code: str, extra: dict[str, Any]) -> None:
    """`code`, `message`, `requestId`, `retryable`, and the error's own members, on one level."""
    service = Recorder()
    service.fails = error
    response = send(service, "POST", "/billing/check", {"feature": "projects"})
    body = parsed(response)

    assert (response.status, body["code"]) == (status, code)
    assert isinstance(body["message"], str)
    assert body["requestId"] == "req_1"
    assert {"retryable": False, **extra}.items() <= body.items()
    assert all(not isinstance(value, dict | list) for value in body.values())
    assert (response.headers.get("retry-after") == "7") is (status == 503)
    assert service.unexpected == []


def test_every_answer_is_kept_from_caches_and_sniffers() -> None:
    """Refusals and redirects too."""
    service = Recorder()
    for method, path in [
        ("GET", "/billing/plans"),
        ("GET", "/nowhere"),
        ("GET", "/subscription/success"),
        ("PUT", "/billing/plans"),
    ]:
        headers = send(service, method, path).headers

        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


SECRET = "sk_live_secret postgresql://admin:hunter2@db/x SELECT * FROM billing_customer"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        RecursionError(SECRET),
        ConfigError([SECRET]),
        BillingError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
    ],
)
def test_what_nobody_expected_tells_a_client_nothing(error: Exception) -> None:
    """A generic 500 with a request id; the error itself goes to the operator under the same id."""
    service = Recorder()
    service.fails = error
    response = send(service, "POST", "/billing/check", {"feature": "projects"})

    assert response.status == 500
    assert parsed(response) == {
        "code": "INTERNAL",
        "message": "Something went wrong",
        "requestId": "req_1",
        "retryable": False,
    }
    assert service.unexpected == [(error, "req_1")]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable(SECRET),
        StripeRefused(stripe_code="resource_missing", param="customer", http_status=400, request_id="req_x"),
    ],
)
def test_the_text_of_a_failure_elsewhere_is_not_passed_on(error: BillingError) -> None:
    """Stripe's and the database's reasons stay inside."""
    service = Recorder()
    service.fails = error
    response = send(service, "POST", "/billing/check", {"feature": "projects"})

    assert response.status == error.status
    assert not any(word in response.body for word in (b"secret", b"SELECT", b"resource_missing", b"customer"))


def test_a_failing_report_changes_no_answer() -> None:
    """The operator's callback cannot break the client's answer."""
    service = Recorder()

    def broken(_error: BaseException, _request_id: str) -> None:
        raise OSError

    base = service.settings
    service.settings = HttpSettings(trusted=base.trusted, ids=base.ids, clock=base.clock, on_unexpected=broken)
    service.fails = RuntimeError()

    assert send(service, "POST", "/billing/check", {"feature": "projects"}).status == 500


def test_unexpected_errors_are_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    """With the request id that the client got, and the traceback."""
    error = RuntimeError("inside")
    with caplog.at_level(logging.ERROR):
        log_unexpected(error, "req_9")

    assert "req_9" in caplog.text
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("identity", [{"user_id": "user_1"}, "user_1", True, 0, object()])
def test_only_an_identity_is_one(identity: object) -> None:
    """What else `identify` may give is the host's mistake: a 500, never a pass."""
    service = Recorder()

    assert send(service, "GET", "/subscription/list", identity=identity).status == 500
    assert service.calls == []
    assert len(service.unexpected) == 1


def test_a_failing_identify_lets_nobody_in() -> None:
    """An exception is a 500, one of ours is its own answer."""
    service = Recorder()

    assert send(service, "GET", "/subscription/list", identity=RuntimeError("x")).status == 500
    assert send(service, "GET", "/subscription/list", identity=Unavailable()).status == 503
    assert service.calls == []


@pytest.mark.parametrize("admin", [False, None, 1, "yes", RuntimeError("x")])
def test_only_true_makes_an_administrator(admin: object) -> None:
    """Everything else is 403, and the catalog is not touched."""
    service = Recorder()
    service.admin = admin

    assert outcome(send(service, "POST", "/stripe/catalog/sync")) == (403, "FORBIDDEN")
    assert service.calls == []
    assert len(service.unexpected) == isinstance(admin, Exception)


@pytest.mark.parametrize("path", ["/stripe/webhooks/health", "/billing/invoices/search"])
@pytest.mark.parametrize("admin", [False, None, 1, RuntimeError("x")])
def test_only_an_administrator_sees_what_is_of_all(admin: object, path: str) -> None:
    """Everybody else gets 403, before what was asked for is read, and nothing is looked up."""
    service = Recorder()
    service.admin = admin

    assert outcome(send(service, "GET", path, query="limit=x")) == (403, "FORBIDDEN")
    assert service.calls == []


def test_an_administrator_of_the_host_may_import_the_catalog() -> None:
    """The client sends neither body nor content type."""
    service = Recorder()
    service.admin = True

    assert send(service, "POST", "/stripe/catalog/sync").status == 200
    cross_site = {**COOKIE, "origin": "https://evil.example"}
    assert outcome(send(service, "POST", "/stripe/catalog/sync", headers=cross_site)) == (403, "INVALID_ORIGIN")
    assert service.names == ["sync_catalog"]


def test_a_request_shows_no_credentials() -> None:
    """Its repr holds neither headers nor bodies."""
    assert "abc" not in repr(request("GET", "/", headers=COOKIE))
    assert ORIGIN not in repr(USER)
    assert Identity("u").user_id == "u"
