"""The Flask extension."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Blueprint, Flask, Request, request, stream_with_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from kernia_billing import Billing, FeatureDenied, NotBound, requires_feature
from kernia_billing.http.messages import BODY_LIMIT
from kernia_billing_flask import KerniaBilling
from tests.integrations.sites import JSON, USER, Sent, blocking_billing, call, environ_of, from_flask

CHECK = Sent("POST", "/api/auth/billing/check", {**USER, **JSON}, b'{"feature": "projects"}')
FORM = {**USER, "content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def billing() -> Iterator[Billing]:
    """A billing."""
    made, _ = blocking_billing()
    with made:
        yield made


@pytest.fixture
def app(billing: Billing) -> Flask:
    """An application with the extension."""
    return shop(billing)


def shop(billing: Billing, before: Callable[[], Any] | None = None) -> Flask:
    """An application; `before` runs before each of its requests."""
    made = Flask("shop")
    if before is not None:
        made.before_request(before)
    KerniaBilling(billing, identify=from_flask).init_app(made)
    return made


def own(error: Exception) -> tuple[str, int]:
    """An error handler."""
    return "own", 418


def passes() -> str:
    """A view."""
    return "passed"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
@pytest.mark.parametrize("read", [Request.get_data, partial(Request.get_json, silent=True)], ids=["data", "json"])
def test_a_body_that_was_read_and_kept(billing: Billing, read: Callable[[Request], Any], *, chunked: bool) -> None:
    """What the host has read before, Flask has kept, and it is as good as new."""

    def before() -> None:
        read(request)

    sent = Sent(CHECK.method, CHECK.target, CHECK.headers, chunks=[CHECK.body]) if chunked else CHECK
    assert call(shop(billing, before), environ_of(sent)).status == 200
    large = Sent("POST", CHECK.target, CHECK.headers, b" " * (BODY_LIMIT + 1))
    assert call(shop(billing, before), environ_of(large)).status == 413


def test_a_body_that_was_read_and_not_kept(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    """The operator is told what to do; the client gets nothing but a request id."""

    def before() -> None:
        request.stream.read()

    with caplog.at_level(logging.ERROR):
        answer = call(shop(billing, before), environ_of(CHECK))

    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert "request.get_data()" in caplog.text


def test_a_form_that_was_parsed(billing: Billing, caplog: pytest.LogCaptureFixture) -> None:
    """A form is no JSON, whoever has read it; that is the client's mistake, and nothing for the log."""

    def before() -> None:
        request.form.get("feature")

    answer = call(shop(billing, before), environ_of(Sent("POST", CHECK.target, FORM, b"feature=projects")))

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert caplog.text == ""


def test_a_body_that_ends_too_soon(app: Flask) -> None:
    """Fewer bytes than were announced are no request."""
    environ = {**environ_of(CHECK), "wsgi.input": io.BytesIO(CHECK.body[:5])}

    assert call(app, environ).code == "INCOMPLETE_BODY"


def test_the_limits_are_our_own(app: Flask) -> None:
    """A smaller limit of the host is for its own views: webhooks may be larger."""
    app.config["MAX_CONTENT_LENGTH"] = 100
    webhook = Sent("POST", "/api/auth/stripe/webhook", {"stripe-signature": "t=1,v1=00"}, b" " * 200_000)

    assert call(app, environ_of(webhook)).code == "INVALID_SIGNATURE"


def test_a_limit_of_the_host_that_was_met_before(billing: Billing) -> None:
    """Where the host has opened the body under its own limit, that one holds, with our answer."""

    def before() -> None:
        _ = request.stream

    app = shop(billing, before)
    app.config["MAX_CONTENT_LENGTH"] = 10
    sent = Sent("POST", CHECK.target, CHECK.headers, chunks=[b" " * 100])

    assert call(app, environ_of(sent)).code == "PAYLOAD_TOO_LARGE"


def test_one_extension_for_several_applications(billing: Billing) -> None:
    """An extension has no application of its own; each gets its routes where it wants them."""
    extension = KerniaBilling(billing, identify=from_flask)
    for name, prefix in (("one", "/api/auth"), ("two", "/auth")):
        app = Flask(name)
        extension.init_app(app, url_prefix=prefix)
        app.add_url_rule("/gated", endpoint="gated", view_func=requires_feature("projects")(passes))
        assert call(app, environ_of(Sent("GET", f"{prefix}/billing/plans"))).status == 200
        assert call(app, environ_of(Sent("GET", "/gated", USER))).body == b"passed"
        assert app.extensions["kernia_billing"] is extension


def test_an_application_that_is_mounted_itself(app: Flask) -> None:
    """What is before the application's own paths is no matter of ours."""
    outer = DispatcherMiddleware(Flask("outer"), {"/shop": app})

    assert call(outer, environ_of(Sent("GET", "/shop/api/auth/billing/plans"))).status == 200
    assert call(outer, environ_of(Sent("GET", "/shop/api/auth//billing/plans"))).status == 404


def test_routes_and_handlers_of_the_application_win(app: Flask) -> None:
    """A plainer path than our catch-all is the host's, and so is a handler for a more special error."""
    app.add_url_rule("/api/auth/login", endpoint="login", view_func=passes)
    app.add_url_rule("/denied", endpoint="denied", view_func=requires_feature("sso")(passes))
    app.register_error_handler(FeatureDenied, own)

    assert call(app, environ_of(Sent("GET", "/api/auth/login"))).body == b"passed"
    assert call(app, environ_of(Sent("GET", "/denied", USER))).status == 418


def test_the_routes_take_no_part_in_csrf_tokens(billing: Billing) -> None:
    """They judge the origin; Flask-WTF's CSRFProtect is told so, whichever is initialised first."""

    class Protection:
        def __init__(self) -> None:
            self.exempted: set[str] = set()

        def exempt(self, view: Blueprint) -> None:
            self.exempted.add(view.name)

        def init_app(self, app: Flask) -> None:
            app.extensions["csrf"] = self
            app.before_request(lambda: None if request.blueprint in self.exempted else ("no token", 400))

    for is_first in (True, False):
        app, protection = Flask("shop"), Protection()
        if is_first:
            protection.init_app(app)
        KerniaBilling(billing, identify=from_flask).init_app(app)
        if not is_first:
            protection.init_app(app)
        assert call(app, environ_of(CHECK)).status == 200


def test_streams(app: Flask) -> None:
    """A generator view is judged before there is a response; gated code within a stream is bound too."""
    more = requires_feature("messages")(passes)

    @requires_feature("projects")
    def words() -> Iterator[str]:
        yield "one "
        yield more()

    app.add_url_rule("/", endpoint="words", view_func=lambda: app.response_class(stream_with_context(words())))

    assert call(app, environ_of(Sent("GET", "/", USER))).body == b"one passed"
    assert call(app, environ_of(Sent("GET", "/"))).status == 401


def test_the_binding_ends_with_the_request(app: Flask, billing: Billing) -> None:
    """Outside of requests a gate lets nobody through, on the very thread that has just answered one."""
    view = requires_feature("projects")(passes)
    app.add_url_rule("/", endpoint="view", view_func=view)

    assert call(app, environ_of(Sent("GET", "/", USER))).status == 200
    with pytest.raises(NotBound):
        view()
    with billing.bind("user_1"):
        assert view() == "passed"


def test_within_a_running_loop(app: Flask) -> None:
    """An application may be called from code that runs on an event loop."""

    async def run() -> int:
        return call(app, environ_of(CHECK)).status

    assert asyncio.run(run()) == 200
