"""The same gated views in each kind of application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from kernia_billing import (
    AsyncBilling,
    Billing,
    BillingError,
    Conflict,
    NotFound,
    Unavailable,
    requires_feature,
    requires_subscription,
)
from kernia_billing_asgi import BillingMiddleware as AsgiMiddleware
from kernia_billing_fastapi import KerniaBilling as FastApiBilling
from kernia_billing_flask import KerniaBilling as FlaskBilling
from kernia_billing_wsgi import BillingMiddleware as WsgiMiddleware
from tests.integrations.sites import (
    Site,
    ask,
    async_billing,
    blocking_billing,
    call,
    environ_of,
    fastapi_identity,
    from_environ,
    from_flask,
    from_scope,
)

KINDS = ("asgi", "starlette def", "starlette async", "fastapi def", "fastapi async", "wsgi", "flask def", "flask async")
PAYWALL = "/pricing?from=gate"
ERRORS: dict[str, BillingError] = {
    "/conflict": Conflict("Another plan is live", code="SUBSCRIPTION_EXISTS"),
    "/unavailable": Unavailable(retry_after=7),
    "/missing": NotFound("There is no such checkout", code="CHECKOUT_NOT_FOUND"),
    "/unknown": NotFound("There is no such feature", code="FEATURE_NOT_FOUND"),
}
Plain = Callable[[], str]


class Views:
    """Gated functions; `ran` notes which of them came to run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def plain(self, path: str) -> Plain:
        """The function behind a path."""

        def body() -> str:
            self.ran.append(path)
            if path in ERRORS:
                raise ERRORS[path]
            return "ran"

        gated_view: Plain = GATES[path](body)
        return gated_view

    def asynchronous(self, path: str) -> Callable[[], Any]:
        """The same as a coroutine function."""

        async def body() -> str:
            self.ran.append(path)
            if path in ERRORS:
                raise ERRORS[path]
            return "ran"

        gated_view: Callable[[], Any] = GATES[path](body)
        return gated_view


def ungated(view: Any) -> Any:
    """No gate."""
    return view


GATES: dict[str, Callable[[Any], Any]] = {
    "/open": requires_feature("projects"),
    "/last": requires_feature("projects", 3),
    "/too-many": requires_feature("projects", 4),
    "/not-in-plan": requires_feature("sso"),
    "/subscribed": requires_subscription(),
    "/typo": requires_feature("projetcs"),
    **dict.fromkeys(ERRORS, ungated),
}


def starlette_app(views: Views, billing: AsyncBilling, *, is_async: bool) -> Any:
    """A Starlette application with the middleware."""

    def endpoint(path: str) -> Any:
        async def answer(request: Request) -> Response:
            return PlainTextResponse(await views.asynchronous(path)())

        def answer_in_thread(request: Request) -> Response:
            return PlainTextResponse(views.plain(path)())

        return answer if is_async else answer_in_thread

    return Starlette(
        routes=[Route(path, endpoint(path), methods=["GET", "POST"]) for path in GATES],
        middleware=[Middleware(AsgiMiddleware, billing=billing, identify=from_scope, paywall_url=PAYWALL)],
    )


def fastapi_app(views: Views, billing: AsyncBilling, *, is_async: bool) -> Any:
    """A FastAPI application with the extension; the gates are on the endpoints themselves."""
    app = FastAPI()
    FastApiBilling(billing, identify=fastapi_identity, paywall_url=PAYWALL).init_app(app)
    for path in GATES:
        view = views.asynchronous(path) if is_async else views.plain(path)
        app.api_route(path, methods=["GET", "HEAD", "POST"])(view)
    return app


def asgi_app(views: Views, billing: AsyncBilling) -> Any:
    """A bare ASGI application in the middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        text = (await views.asynchronous(scope["path"])()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})

    return AsgiMiddleware(app, billing, identify=from_scope, paywall_url=PAYWALL)


def wsgi_app(views: Views, billing: Billing) -> Any:
    """A bare WSGI application in the middleware."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        text = views.plain(environ["PATH_INFO"])()
        start_response("200 OK", [])
        return [text.encode()]

    return WsgiMiddleware(app, billing, identify=from_environ, paywall_url=PAYWALL)


class AsyncFlask(Flask):
    """Flask with `async def` views, by its own means of exchanging what runs them."""

    def async_to_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Run the coroutine on a loop of its own."""

        def run(*args: Any, **named: Any) -> Any:
            return asyncio.run(func(*args, **named))

        return run


def flask_app(views: Views, billing: Billing, *, is_async: bool) -> Any:
    """A Flask application with the extension."""
    app = AsyncFlask("shop")
    FlaskBilling(billing, identify=from_flask, paywall_url=PAYWALL).init_app(app)
    for path in GATES:
        view = views.asynchronous(path) if is_async else views.plain(path)
        app.add_url_rule(path, endpoint=path, view_func=view, methods=["GET", "POST"])
    return app


@contextmanager
def gated(kind: str, views: Views) -> Generator[Site]:
    """An application of a kind, over a database of its own."""
    if kind.startswith(("wsgi", "flask")):
        billing, _ = blocking_billing()
        flask = flask_app(views, billing, is_async="async" in kind) if "flask" in kind else None
        app = flask or wsgi_app(views, billing)
        with billing:
            yield lambda sent: call(app, environ_of(sent))
        return
    with asyncio.Runner() as runner:
        loop_billing, _ = async_billing()
        make = {"starlette": starlette_app, "fastapi": fastapi_app}.get(kind.split(maxsplit=1)[0])
        asgi = asgi_app(views, loop_billing) if make is None else make(views, loop_billing, is_async="async" in kind)
        try:
            yield lambda sent: runner.run(ask(asgi, sent))
        finally:
            runner.run(loop_billing.aclose())
