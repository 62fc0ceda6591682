"""Stripe's failures become ours, and nothing that Stripe wrote for people survives."""

from __future__ import annotations

import json
import traceback
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.errors import BillingError, Conflict, NotFound, PaymentFailed, StripeRefused, Unavailable
from kernia_billing.stripe.client import last_request_id
from kernia_billing.stripe.errors import CardDeclined, MissingResource, StripeAuthentication, StripeConflict
from kernia_billing.stripe.wire import Reply, decode
from tests.stripe.network import KINDS, OK, Kind, Wired, error

REFUSED = "invalid_request_error"
HTML = b"<html><body>No such host</body></html>"
PAGES = [
    *(httpx.Response(status, content=HTML) for status in (400, 401, 402, 403, 404, 405, 407, 408, 413, 418, 451)),
    httpx.Response(404),
    httpx.Response(400, content=b"[]"),
    httpx.Response(404, json={"error": {"code": "resource_missing"}}),
    httpx.Response(404, json={"error": {"type": "<b>"}}),
    httpx.Response(404, json={"error": "not found", "type": "invalid_request_error"}),
    httpx.Response(402, json={"message": "CANARYtext"}),
]
"""What something on the way to Stripe says in its place."""
TABLE: list[tuple[httpx.Response, type[BillingError], str, int, bool]] = [
    (
        error(402, "card_error", code="card_declined", decline_code="insufficient_funds"),
        PaymentFailed,
        "CARD_DECLINED",
        402,
        False,
    ),
    (error(402), PaymentFailed, "CARD_DECLINED", 402, False),
    (error(400, "card_error", code="incorrect_cvc"), PaymentFailed, "CARD_DECLINED", 402, False),
    (error(404, code="resource_missing", param="id"), NotFound, "RESOURCE_MISSING", 404, False),
    (error(404), StripeRefused, "STRIPE_REFUSED", 400, False),
    (error(400, code="resource_missing", param="items[0][price]"), NotFound, "RESOURCE_MISSING", 404, False),
    (error(409, "idempotency_error", code="idempotency_key_in_use"), Unavailable, "STRIPE_BUSY", 503, True),
    (error(409), Unavailable, "STRIPE_BUSY", 503, True),
    (error(409, code="something_else"), Conflict, "STRIPE_CONFLICT", 409, False),
    (error(400, "idempotency_error"), Conflict, "STRIPE_IDEMPOTENCY", 409, False),
    (error(429, code="lock_timeout"), Unavailable, "STRIPE_BUSY", 503, True),
    (error(429), Unavailable, "STRIPE_BUSY", 503, True),
    (error(400, code="rate_limit"), Unavailable, "STRIPE_BUSY", 503, True),
    (error(401), StripeAuthentication, "STRIPE_AUTHENTICATION", 503, False),
    (error(403, code="platform_api_key_expired"), StripeAuthentication, "STRIPE_AUTHENTICATION", 503, False),
    (error(400, code="parameter_unknown", param="x[y]"), StripeRefused, "STRIPE_REFUSED", 400, False),
    (error(400), StripeRefused, "STRIPE_REFUSED", 400, False),
    (error(400, message="An event already exists with identifier u_1."), Conflict, "STRIPE_DUPLICATE", 409, False),
    (error(400, code="duplicate_meter_event"), Conflict, "STRIPE_DUPLICATE", 409, False),
    (error(400, param="identifier"), StripeRefused, "STRIPE_REFUSED", 400, False),
    (error(418), StripeRefused, "STRIPE_REFUSED", 400, False),
    *((page, Unavailable, "UNAVAILABLE", 503, True) for page in PAGES),
    (error(500, "api_error"), Unavailable, "UNAVAILABLE", 503, True),
    (httpx.Response(502, content=b"<html>"), Unavailable, "UNAVAILABLE", 503, True),
    (httpx.Response(301, headers={"location": "https://api.stripe.com/v1/x"}), Unavailable, "UNAVAILABLE", 503, True),
    (httpx.Response(204), Unavailable, "UNAVAILABLE", 503, True),
    (httpx.Response(200, content=b"[]"), Unavailable, "UNAVAILABLE", 503, True),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("answer", "type_", "code", "status", "retryable"), TABLE)
def test_the_table(
    kind: Kind, answer: httpx.Response, type_: type[BillingError], code: str, status: int, retryable: bool
) -> None:
    """Each answer of Stripe has one error, with its code, its HTTP status and whether repeating may help."""
    wired = Wired(kind, answer)
    with pytest.raises(BillingError) as caught:
        wired.post()

    raised = caught.value
    assert isinstance(raised, type_)
    assert (raised.code, raised.status, raised.retryable) == (code, status, retryable)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_stripe_did_not_say_proves_nothing(method: Any, page: httpx.Response) -> None:
    """A page of a proxy is neither absence nor a refusal, and settles nothing about what was sent, now or before."""
    for answers in ([page], [httpx.ReadTimeout("late"), page]):
        wired = Wired("blocking", *answers)
        with pytest.raises(Unavailable) as caught:
            wired.run(wired.stripe.request(method, "/v1/customers/cus_1", idempotency_key="op_1"))

        assert caught.value.outcome_unknown == (method != "GET")


def test_what_the_errors_keep() -> None:
    """The request id, Stripe's codes and the parameter stay for programs and for Stripe's support."""

    def raised(answer: httpx.Response) -> Any:
        with pytest.raises(BillingError) as caught:
            Wired("blocking", answer).post()
        return caught.value

    declined = raised(error(402, "card_error", code="card_declined", decline_code="lost_card"))
    missing = raised(error(400, code="resource_missing", param="items[0][price]"))
    conflict = raised(error(400, "idempotency_error"))
    refused = raised(error(400, code="parameter_unknown", param="x[y]"))
    failed = raised(error(500))
    forbidden = raised(error(403))

    assert isinstance(declined, CardDeclined)
    assert (declined.stripe_code, declined.decline_code, declined.hosted_url) == ("card_declined", "lost_card", None)
    assert isinstance(missing, MissingResource)
    assert missing.param == "items[0][price]"
    assert isinstance(conflict, StripeConflict)
    assert (refused.stripe_code, refused.param, refused.http_status) == ("parameter_unknown", "x[y]", 400)
    assert forbidden.http_status == 403
    assert {each.request_id for each in (declined, missing, conflict, refused, failed, forbidden)} == {"req_bad1"}


@pytest.mark.parametrize(("answer", "type_", "code", "status", "retryable"), TABLE)
def test_no_text_of_stripe_survives(
    answer: httpx.Response, type_: type[BillingError], code: str, status: int, retryable: bool
) -> None:
    """Neither message, details nor traceback hold what Stripe wrote or our key."""
    with pytest.raises(type_) as caught:
        Wired("blocking", answer).post()
    shown = (
        "".join(traceback.format_exception(caught.value)) + caught.value.message + json.dumps(caught.value.details())
    )

    assert "CANARY" not in shown
    assert "jane" not in shown


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"param": "event_name"}, "event_name"),
        ({"param": "event_name", "message": "The identifier is taken."}, "event_name"),
        ({"message": "The identifier u_1 is taken."}, "identifier"),
        ({"message": "Identifiers must be unique."}, "identifier"),
        ({"message": "Unidentifiered."}, None),
        ({"message": ["identifier"]}, None),
        ({}, None),
    ],
)
def test_a_refusal_is_about_an_identifier(members: dict[str, Any], param: str | None) -> None:
    """By the parameter that Stripe names; where it names none, by the word."""
    assert Reply(status=400, headers={}, json={"error": members}).param == param


@pytest.mark.parametrize("word", ["<script>", "a b", "x\nForged: 1", "x" * 200, "", "é", 5, None, ["x"], {"a": 1}])
def test_words_of_stripe_are_checked(word: Any) -> None:
    """What is no plain word in an error object or a request id is dropped, and reaches neither client nor log."""
    body = {"error": {"type": word, "code": word, "param": word, "decline_code": word}}
    reply = Reply(status=400, headers={"request-id": word} if isinstance(word, str) else {}, json=body)

    assert [reply.error("type"), reply.error("code"), reply.error("decline_code")] == [None, None, None]
    assert reply.param is None
    assert reply.request_id is None


@pytest.mark.parametrize("body", [None, {}, {"error": None}, {"error": "invalid_grant"}, {"error": []}])
def test_an_error_object_of_another_shape_is_none(body: Any) -> None:
    """OAuth-like and empty error bodies are judged by their status."""
    assert Reply(status=400, headers={}, json=body).error("code") is None


@given(st.binary(max_size=200))
def test_decoding_never_fails(body: bytes) -> None:
    """Any bytes are an object or nothing."""
    assert decode(body) is None or isinstance(decode(body), dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":' + b"[" * 200_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_object(body: bytes) -> None:
    """Other JSON, other encodings, numbers without end and nesting without end are no answer."""
    assert decode(body) is None


def test_the_request_id_of_the_last_answer_is_known() -> None:
    """It is there after a success, after a failure, and gone when there was no answer."""
    Wired("blocking", OK).get()
    assert last_request_id.get() == "req_good1"
    with pytest.raises(BillingError):
        Wired("blocking", error(400)).get()
    assert last_request_id.get() == "req_bad1"
    with pytest.raises(BillingError):
        Wired("blocking", httpx.ConnectError("refused")).get()
    assert last_request_id.get() is None
