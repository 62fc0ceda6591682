"""Real servers on the loopback: what reaches them as bytes, and what comes back."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.simple_server import make_server as make_wsgiref_server

import pytest
import uvicorn
from fastapi import FastAPI
from flask import Flask
from werkzeug.serving import make_server as make_werkzeug_server

from kernia_billing import requires_feature
from kernia_billing_asgi import BillingApp as AsgiApp
from kernia_billing_fastapi import KerniaBilling as FastApiBilling
from kernia_billing_flask import KerniaBilling as FlaskBilling
from kernia_billing_wsgi import BillingApp as WsgiApp
from tests.integrations.sites import (
    async_billing,
    blocking_billing,
    fastapi_identity,
    from_environ,
    from_flask,
    from_scope,
)

HEADERS = b"Host: shop.example\r\nAuthorization: Bearer user_1\r\nContent-Type: application/json\r\n"
CHECK = b'{"feature": "projects"}'
Address = tuple[str, int]


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def uvicorn_serving(app: Any) -> Generator[Address]:
    """Uvicorn in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving(server: Any) -> Generator[Address]:
    """A server of the standard library's kind in a thread of its own."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[:2]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def exchange(address: Address, *parts: bytes) -> tuple[int, bytes]:
    """Send bytes on a connection of their own; the status and the body of the answer, which ends the connection."""
    with socket.create_connection(address, timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            head, found, body = answer.partition(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if found and length and len(body) >= int(length[0].split(b":")[1]):
                break
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def post(path: bytes, body: bytes, length: int | None = None) -> bytes:
    """A POST with a Content-Length, which may be a lie."""
    declared = len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, HEADERS, declared, body)


def asgi(stack: ExitStack) -> tuple[Address, bytes]:
    """The application itself under uvicorn, which keeps the request line."""
    billing, _ = async_billing()
    return stack.enter_context(uvicorn_serving(AsgiApp(billing, identify=from_scope))), b""


def fastapi(stack: ExitStack) -> tuple[Address, bytes]:
    """A FastAPI application under uvicorn."""
    billing, _ = async_billing()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with billing:
            yield

    app = FastAPI(lifespan=lifespan)
    FastApiBilling(billing, identify=fastapi_identity).init_app(app)
    app.get("/gated")(requires_feature("projects", 4)(lambda: "passed"))
    return stack.enter_context(uvicorn_serving(app)), b"/api/auth"


def werkzeug(stack: ExitStack) -> tuple[Address, bytes]:
    """A Flask application under werkzeug, which keeps the request line and understands chunks."""
    billing, _ = blocking_billing()
    stack.enter_context(billing)
    app = Flask("shop")
    FlaskBilling(billing, identify=from_flask).init_app(app)
    server = make_werkzeug_server("127.0.0.1", 0, app, threaded=True, request_handler=_quiet_werkzeug())
    return stack.enter_context(serving(server)), b"/api/auth"


def wsgiref(stack: ExitStack) -> tuple[Address, bytes]:
    """The application itself under wsgiref, which does neither."""
    billing, _ = blocking_billing()
    stack.enter_context(billing)
    server = make_wsgiref_server("127.0.0.1", 0, WsgiApp(billing, identify=from_environ), handler_class=Quiet)
    return stack.enter_context(serving(server)), b""


def _quiet_werkzeug() -> Any:
    from werkzeug.serving import WSGIRequestHandler as WerkzeugHandler

    class QuietWerkzeug(WerkzeugHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    return QuietWerkzeug


@pytest.fixture(params=[asgi, fastapi, werkzeug, wsgiref])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Address, bytes]]:
    """Each server, with the path that the routes are under."""
    start: Callable[[ExitStack], tuple[Address, bytes]] = request.param
    with ExitStack() as stack:
        yield start(stack)


def test_requests_over_a_socket(server: tuple[Address, bytes]) -> None:
    """A body is read to its end and no further, and what is refused is refused as everywhere."""
    address, prefix = server
    check = prefix + b"/billing/check"

    assert exchange(address, post(check, CHECK))[0] == 200
    assert exchange(address, post(check, CHECK)[:-5], CHECK[-5:])[0] == 200
    assert exchange(address, post(check, b"{"))[0] == 400
    assert exchange(address, post(prefix + b"/billing/nothing", b""))[0] == 404
    assert exchange(address, b"GET %b/billing/plans HTTP/1.1\r\nHost: x\r\n\r\n" % prefix)[0] == 200
    assert exchange(address, b"HEAD %b/billing/nothing HTTP/1.0\r\nHost: x\r\n\r\n" % prefix) == (404, b"")
    assert exchange(address, post(check, b"", 10**9))[0] == 413
    status, body = exchange(address, post(check, CHECK.replace(b"projects", b"sso")))
    assert (status, b'"allowed":false' in body) == (200, True)


def test_chunks_over_a_socket(server: tuple[Address, bytes], request: pytest.FixtureRequest) -> None:
    """Chunks are understood where the server does, and asked to be a length where it does not."""
    address, prefix = server
    head = b"POST %b/billing/check HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (prefix, HEADERS)
    small = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, CHECK[:5], len(CHECK) - 5, CHECK[5:])
    large = b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    understands = request.node.callspec.params["server"] is not wsgiref

    assert exchange(address, head, small)[0] == (200 if understands else 411)
    if understands:
        assert exchange(address, head, large * 9)[0] == 413


def test_paths_over_a_socket(server: tuple[Address, bytes], request: pytest.FixtureRequest) -> None:
    """No other spelling reaches a route, where the server lets us see the spelling."""
    address, prefix = server
    sees_all = request.node.callspec.params["server"] is not wsgiref
    for path in (b"/billing//plans", b"/./billing/plans", b"/billing/plans/", b"/billing/plans;x", b"/Billing/plans"):
        assert exchange(address, b"GET %b%b HTTP/1.1\r\nHost: x\r\n\r\n" % (prefix, path))[0] == 404
    for path in (b"/billing%2Fplans", b"/%62illing/plans"):
        status = exchange(address, b"GET %b%b HTTP/1.1\r\nHost: x\r\n\r\n" % (prefix, path))[0]
        assert status == (404 if sees_all else 200)


def test_slow_clients_over_sockets() -> None:
    """Clients that hold back their bodies meet the deadline; a check beside them is answered at once."""
    billing, _ = async_billing()
    with ExitStack() as stack:
        app = AsgiApp(billing, identify=from_scope, read_deadline=1.0)
        address = stack.enter_context(uvicorn_serving(app))
        slow = [stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(50)]
        for each in slow:
            each.sendall(post(b"/billing/track", b"{", 20))
        assert exchange(address, post(b"/billing/check", CHECK))[0] == 200
        for each in slow:
            assert each.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_plain_view_waits_for_the_loop() -> None:
    """A `def` endpoint runs in a thread, and its gate on the loop of the request."""
    with ExitStack() as stack:
        address, _ = fastapi(stack)
        status, body = exchange(address, b"GET /gated HTTP/1.1\r\n%b\r\n" % HEADERS)

    assert (status, b'"code":"INSUFFICIENT_BALANCE"' in body) == (402, True)
