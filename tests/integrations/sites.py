"""The same billing behind every integration, and requests handed over exactly as servers would do it."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import unquote, unquote_to_bytes

from attrs import evolve, field, frozen
from fastapi import FastAPI, Request
from flask import Flask
from flask import request as flask_request
from starlette.applications import Starlette
from starlette.routing import Mount

from kernia_billing import AsyncBilling, Billing, Boolean, Identity, Metered, Plan, Quantity
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from kernia_billing_asgi import BillingApp as AsgiApp
from kernia_billing_fastapi import KerniaBilling as FastApiBilling
from kernia_billing_flask import KerniaBilling as FlaskBilling
from kernia_billing_wsgi import BillingApp as WsgiApp

ORIGIN = "https://shop.example"
PREFIX = "/api/auth"
USER = {"authorization": "Bearer user_1"}
ADMIN = {"authorization": "Bearer admin"}
COOKIE = {"cookie": "session=user_1"}
JSON = {"content-type": "application/json"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_ANY_ID = re.compile(r"\b([a-z]+(?:_test)?)_[0-9A-Za-z]{14,}")
PLANS = (
    Plan("free", features={"projects": Quantity(3), "messages": Metered(100), "none_left": Quantity(0)}),
    Plan("pro", price_id="price_pro", features={"projects": Quantity(10), "sso": Boolean()}),
)
OPTIONS: dict[str, Any] = {"base_url": ORIGIN, "plans": PLANS, "default_plan": "free"}


def who(headers: Mapping[str, str]) -> Identity | None:
    """The host's own authentication: a bearer token or a session cookie, each of which is a user's id."""
    found = re.search(r"Bearer (\w+)|session=(\w+)", f"{headers.get('authorization')} {headers.get('cookie')}")
    if found is None:
        return None
    name = found[1] or found[2]
    return Identity(name, email=f"{name}@shop.example", email_verified=True, is_admin=name == "admin")


def from_scope(scope: Any) -> Identity | None:
    """The same from an ASGI scope."""
    return who({name.decode(): value.decode() for name, value in scope["headers"]})


def from_environ(environ: Any) -> Identity | None:
    """The same from a WSGI environment."""
    return who({"authorization": environ.get("HTTP_AUTHORIZATION", ""), "cookie": environ.get("HTTP_COOKIE", "")})


def from_flask() -> Identity | None:
    """The same from Flask's current request."""
    return who({name.lower(): value for name, value in flask_request.headers})


def async_billing(database: str = "sqlite://", **options: Any) -> tuple[AsyncBilling, AsyncStripeSimulator]:
    """An `AsyncBilling` and its Stripe."""
    stripe = AsyncStripeSimulator()
    return AsyncBilling(stripe_client=stripe, database=database, **{**OPTIONS, **options}), stripe


def blocking_billing(database: str = "sqlite://", **options: Any) -> tuple[Billing, StripeSimulator]:
    """A `Billing` and its Stripe."""
    stripe = StripeSimulator()
    return Billing(stripe_client=stripe, database=database, **{**OPTIONS, **options}), stripe


@frozen
class Sent:
    """One request. `target` is what stands in the request line; `chunks` come without a Content-Length."""

    method: str
    target: str
    headers: Mapping[str, str] = field(factory=dict[str, str])
    body: bytes = b""
    chunks: Sequence[bytes] | None = None

    @property
    def all_headers(self) -> dict[str, str]:
        """The headers, with those of the body."""
        if self.chunks is not None:
            return {**self.headers, "transfer-encoding": "chunked"}
        return {"content-length": str(len(self.body)), **self.headers} if self.body else dict(self.headers)

    def under(self, prefix: str) -> Sent:
        """The same below a mount; a whole URL stays as it is."""
        return self if self.target.startswith("http") else evolve(self, target=prefix + self.target)


@frozen
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a refusal."""
        return self.json["code"] if self.status >= 400 and self.body else None

    @property
    def comparable(self) -> tuple[int, dict[str, str], str]:
        """Everything but the ids, which are made up anew for each request."""
        kept = {name: _ANY_ID.sub(r"\1_…", value) for name, value in self.headers.items() if name != "content-length"}
        return self.status, kept, _ANY_ID.sub(r"\1_…", self.body.decode())


class Site(Protocol):
    """An application that requests can be sent to."""

    def __call__(self, sent: Sent, /) -> Answer:
        """The answer."""
        ...


# ── ASGI ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def scope_of(sent: Sent, root_path: str = "") -> dict[str, Any]:
    """The scope that uvicorn makes of a request line and headers."""
    target, _, query = sent.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "https",
        "path": unquote(target),
        "raw_path": target.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": root_path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.all_headers.items()],
        "server": ("shop.example", 443),
        "client": ("127.0.0.1", 40000),
        "state": {},
    }


def receiver(parts: Iterable[bytes], then: Callable[[], Awaitable[Any]] | None = None) -> Callable[[], Awaitable[Any]]:
    """`receive` for a body in parts, and then a client that hangs up."""
    left = list(parts) or [b""]

    async def receive() -> Any:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
        return {"type": "http.disconnect"} if then is None else await then()

    return receive


async def ask(app: Any, sent: Sent, *, root_path: str = "", receive: Any = None) -> Answer:
    """Send a request to an ASGI application."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    if receive is None:
        receive = receiver(sent.chunks if sent.chunks is not None else [sent.body])
    await app(scope_of(sent, root_path), receive, send)
    start, *rest = messages
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return _complete(Answer(start["status"], headers, b"".join(each.get("body", b"") for each in rest)))


# ── WSGI ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def environ_of(sent: Sent, script_name: str = "", *, keeps_target: bool = True) -> dict[str, Any]:
    """The environment that werkzeug's server makes; `keeps_target=False` as wsgiref's, without the request line."""
    target, _, query = sent.target.partition("?")
    path = unquote_to_bytes(re.sub(r"^https?://[^/]*", "", target)).decode("latin-1")
    headers = sent.all_headers
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path.removeprefix(script_name),
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": headers.pop("content-type", ""),
        "CONTENT_LENGTH": headers.pop("content-length", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(sent.body if sent.chunks is None else b"".join(sent.chunks)),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    if sent.chunks is not None:
        environ["wsgi.input_terminated"] = True
    if keeps_target:
        environ["REQUEST_URI"] = environ["RAW_URI"] = sent.target
    return environ


def call(app: Any, environ: dict[str, Any]) -> Answer:
    """Send a request to a WSGI application."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        assert not started or exc_info is not None
        started.append((status, headers))
        return None

    body = app(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        getattr(body, "close", lambda: None)()
    status, headers = started[-1]
    return _complete(Answer(int(status.split()[0]), {name.lower(): value for name, value in headers}, content))


def _complete(answer: Answer) -> Answer:
    # HEAD may say how long the answer of GET would be.
    assert not answer.body or answer.headers.get("content-length", str(len(answer.body))) == str(len(answer.body))
    return answer


# ── Sites ────────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS = ("asgi", "asgi under a root path", "starlette", "fastapi", "wsgi", "wsgi under a script name", "flask")


@frozen
class Till:
    """The Stripe behind a site, and a person who pays its pages."""

    stripe: AsyncStripeSimulator | StripeSimulator
    pay: Callable[[str], Any]


@contextmanager
def sites(tills: list[Till] | None = None, **options: Any) -> Generator[dict[str, Site]]:
    """Every way in, each over a database and a Stripe of its own, which stand in `tills` in the order of `KINDS`."""
    opened: list[Till] = [] if tills is None else tills
    with asyncio.Runner() as runner:
        held: list[AsyncBilling | Billing] = []

        def asgi(build: Callable[[AsyncBilling], Any], prefix: str, root_path: str = "") -> Site:
            billing, stripe = async_billing(**options)
            held.append(billing)
            opened.append(Till(stripe, lambda url: runner.run(stripe.pay(url))))
            app = build(billing)
            return lambda sent: runner.run(ask(app, sent.under(prefix), root_path=root_path))

        def wsgi(build: Callable[[Billing], Any], prefix: str, script_name: str = "") -> Site:
            billing, stripe = blocking_billing(**options)
            held.append(billing)
            opened.append(Till(stripe, stripe.pay))
            app = build(billing)
            return lambda sent: call(app, environ_of(sent.under(prefix), script_name))

        def bare(billing: AsyncBilling) -> Any:
            return AsgiApp(billing, identify=from_scope)

        def plain(billing: Billing) -> Any:
            return WsgiApp(billing, identify=from_environ)

        try:
            yield {
                "asgi": asgi(bare, ""),
                "asgi under a root path": asgi(bare, PREFIX, PREFIX),
                "starlette": asgi(lambda billing: Starlette(routes=[Mount(PREFIX, bare(billing))]), PREFIX),
                "fastapi": asgi(fastapi_site, PREFIX),
                "wsgi": wsgi(plain, ""),
                "wsgi under a script name": wsgi(plain, PREFIX, PREFIX),
                "flask": wsgi(flask_site, PREFIX),
            }
        finally:
            for billing in held:
                if isinstance(billing, AsyncBilling):
                    runner.run(billing.aclose())
                else:
                    billing.close()


def fastapi_site(billing: AsyncBilling) -> FastAPI:
    """A FastAPI application; who is signed in is a dependency."""
    app = FastAPI()
    FastApiBilling(billing, identify=fastapi_identity).init_app(app)
    return app


def flask_site(billing: Billing) -> Flask:
    """A Flask application."""
    app = Flask("shop")
    FlaskBilling(billing, identify=from_flask).init_app(app)
    return app


def fastapi_identity(request: Request) -> Identity | None:
    """The same from a FastAPI request."""
    return who(request.headers)
