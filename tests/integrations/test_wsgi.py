"""The WSGI application and its middleware: bodies, streams and environments as servers make them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from kernia_billing import BillingError, requires_feature
from kernia_billing.http.messages import BODY_LIMIT
from kernia_billing_wsgi import BillingApp, BillingMiddleware
from tests.integrations.sites import JSON, USER, Sent, blocking_billing, call, environ_of, from_environ

CHECK = b'{"feature": "projects"}'
POST = Sent("POST", "/billing/check", {**USER, **JSON}, CHECK)


def never() -> str:
    """A view that nobody may see."""
    return "never"


class Wire:
    """A connection: after what was sent, it would block; `has_ended` says that the client hung up instead."""

    def __init__(self, sent: bytes, *, has_ended: bool = False, breaks: bool = False) -> None:
        self.left = sent
        self.has_ended = has_ended
        self.breaks = breaks
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        """As a socket's buffered reader: all that was asked for, unless the stream ended."""
        if self.breaks:
            raise ConnectionResetError
        assert size <= len(self.left) or self.has_ended, "this read would block for ever"
        part, self.left = self.left[:size], self.left[size:]
        self.read_bytes += len(part)
        return part


@pytest.mark.parametrize(
    ("wire", "changes", "status", "code"),
    [
        (Wire(CHECK + b"GET / HTTP/1.1"), {}, 200, None),
        (Wire(CHECK[:9], has_ended=True), {}, 400, "INCOMPLETE_BODY"),
        (Wire(CHECK, breaks=True), {}, 400, "INCOMPLETE_BODY"),
        (Wire(b""), {"CONTENT_LENGTH": ""}, 400, "VALIDATION_ERROR"),
        (Wire(b""), {"CONTENT_LENGTH": "-1"}, 400, "BAD_REQUEST"),
        (Wire(b""), {"CONTENT_LENGTH": "1_0"}, 400, "BAD_REQUEST"),
        (Wire(b""), {"CONTENT_LENGTH": "\u0663"}, 400, "BAD_REQUEST"),
        (Wire(b""), {"CONTENT_LENGTH": str(BODY_LIMIT + 1)}, 413, "PAYLOAD_TOO_LARGE"),
        (Wire(b""), {"CONTENT_LENGTH": "9" * 30}, 413, "PAYLOAD_TOO_LARGE"),
        (Wire(b""), {"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "LENGTH_REQUIRED"),
        (
            Wire(CHECK, has_ended=True),
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
            200,
            None,
        ),
        (
            Wire(b" " * 10**6, has_ended=True),
            {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ],
    ids=[
        "pipelined",
        "hung up",
        "broken",
        "no length",
        "negative length",
        "underscore",
        "foreign digits",
        "too long",
        "absurdly long",
        "chunks that nobody ends",
        "chunks",
        "too many chunks",
    ],
)
def test_bodies(wire: Wire, changes: dict[str, Any], status: int, code: str | None) -> None:
    """No more is read than there can be, and never more than one byte beyond the limit."""
    billing, _ = blocking_billing()
    with billing:
        environ = {**environ_of(POST), "wsgi.input": wire, **changes}
        answer = call(BillingApp(billing, identify=from_environ), environ)

    assert (answer.status, answer.code) == (status, code)
    assert wire.read_bytes <= BODY_LIMIT + 1


def test_paths_without_the_request_line() -> None:
    """Where a server does not keep what was sent, or something in front changed the path, the decoded path counts."""
    billing, _ = blocking_billing()
    plain = environ_of(Sent("GET", "/app/billing/plans"), "/app", keeps_target=False)
    with billing:
        app = BillingApp(billing, identify=from_environ)
        for changes, status in (
            ({}, 200),
            ({"REQUEST_URI": "/app/billing/plans?x=1"}, 200),
            ({"RAW_URI": "/v2/billing/plans"}, 200),
            ({"PATH_INFO": "/billing//plans"}, 404),
            ({"PATH_INFO": ""}, 404),
            ({"PATH_INFO": "/billing/pl\xc3\xa4ns"}, 404),
            ({"SCRIPT_NAME": "/app/"}, 404),
        ):
            assert call(app, {**plain, **changes}).status == status, changes


def test_a_header_is_read_from_where_the_server_puts_it() -> None:
    """Content-Type and Content-Length have names of their own; a client cannot set them by another way."""
    billing, _ = blocking_billing()
    with billing:
        environ = {**environ_of(POST), "HTTP_CONTENT_TYPE": "text/plain", "HTTP_CONTENT_LENGTH": "1"}
        assert call(BillingApp(billing, identify=from_environ), environ).status == 200


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_refusal_replaces_a_wsgi_response_that_was_not_sent(*, is_lazy: bool) -> None:
    """Whether the application raises when called or when its first piece is asked for."""
    billing, _ = blocking_billing()
    view = requires_feature("sso")(never)

    def eager(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [view().encode()]

    def lazy(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield view().encode()

    with billing:
        app = BillingMiddleware(lazy if is_lazy else eager, billing, identify=from_environ)
        answer = call(app, environ_of(Sent("GET", "/", USER)))

    assert (answer.status, answer.code) == (402, "FEATURE_DENIED")


def test_an_error_after_the_first_piece_is_raised() -> None:
    """What was sent cannot be taken back: the server must see the error and cut the connection."""
    billing, _ = blocking_billing()
    view = requires_feature("sso")(never)
    closed: list[bool] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            yield b"piece"
            yield view().encode()
        finally:
            closed.append(True)

    with billing, pytest.raises(BillingError):
        call(BillingMiddleware(app, billing, identify=from_environ), environ_of(Sent("GET", "/", USER)))
    assert closed == [True]


def test_a_body_without_code_is_handed_over_as_it_is() -> None:
    """Lists, and what the server's own file wrapper made, so that it can use sendfile."""

    class FileWrapper:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"file"])

    billing, _ = blocking_billing()
    body = FileWrapper()

    def hands_over(environ: Any, start_response: Any) -> Iterable[bytes]:
        return body

    with billing:
        app: Any = BillingMiddleware(hands_over, billing, identify=from_environ)
        assert app({**environ_of(Sent("GET", "/")), "wsgi.file_wrapper": FileWrapper}, None) is body
