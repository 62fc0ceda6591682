"""The application that the official client and the recorded requests talk to, in a process of its own.

    python -m tests.acceptance.shop asgi|wsgi DATABASE_URL [ORIGIN ...]

Prints its URL, then serves until SIGTERM: billing at /api/auth, over a Stripe simulator in the process, and at /control
what a test does beside the client: pay a checkout, make a customer, ask what the oracle found. Pages of each ORIGIN are
trusted, and may read the answers.

Whoever sends the cookie `better-auth.session_token=NAME.anything` is signed in as NAME; so is a bearer of the token
NAME. "ada" administers, and acts for the organizations of `ORGANIZATIONS`.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

from kernia_billing import Boolean, Identity, Metered, Plan, Quantity, Reference
from kernia_billing.config import BillingOptions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

COOKIE = "better-auth.session_token"
ORGANIZATIONS = ("org_123", "org_q", "org_node", "org_chromium")
PLANS = [
    Plan("free", features={"projects": Quantity(1)}),
    Plan("starter", price_id="price_starter", features={"projects": Quantity(2)}),
    Plan(
        "pro",
        title="Pro",
        price_id="price_pro",
        annual_price_id="price_pro_year",
        limits={"projects": 3},
        features={"projects": Quantity(3), "messages": Metered(100), "tokens": Metered(1_000), "sso": Boolean()},
    ),
    Plan("team", price_id="price_team", seats=True, features={"projects": Quantity(5, per_seat=True)}),
]


def options(base_url: str, database: str, stripe: object, trusted: Sequence[str] = ()) -> BillingOptions:
    """How billing is configured."""
    return {
        "database": database,
        "stripe_client": stripe,
        "base_url": base_url,
        "plans": PLANS,
        "default_plan": "free",
        "trusted_origins": trusted,
        "cors": bool(trusted),
        "authorize_reference": lambda who, reference, _: who.user_id == "ada" and reference in ORGANIZATIONS,
    }


def identity_of(headers: Mapping[str, str]) -> Identity | None:
    """Who sent these headers (names in lower case)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        token = "" if cookie is None else cookie.value.partition(".")[0]
    if not token:
        return None
    return Identity(token, email=f"{token}@shop.example", email_verified=True, is_admin=token == "ada")


def reference_of(asked: Mapping[str, Any]) -> Reference:
    """The reference that a control request names."""
    return Reference(asked["reference"], asked.get("type", "user"))


def asgi(listener: socket.socket, base_url: str, database: str, trusted: Sequence[str]) -> Callable[[], None]:
    """`BillingApp`, mounted in a Starlette application; what is answered serves it under uvicorn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from kernia_billing import AsyncBilling
    from kernia_billing.testing import AsyncStripeSimulator
    from kernia_billing_asgi import BillingApp

    stripe = AsyncStripeSimulator(ticking=True)
    billing = AsyncBilling(**options(base_url, database, stripe, trusted))

    def identify(scope: Mapping[str, Any]) -> Identity | None:
        return identity_of({name.decode(): value.decode() for name, value in scope["headers"]})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with billing:
            yield

    async def control(request: Request) -> JSONResponse:
        asked: dict[str, Any] = await request.json()
        match request.path_params["verb"]:
            case "pay":
                await stripe.pay(asked["session"], card=asked.get("card", "4242424242424242"))
            case "customer":
                await billing.customers.ensure(reference_of(asked))
            case _:
                return JSONResponse(dict(stripe.oracle_counts))
        return JSONResponse({})

    app = Starlette(
        routes=[
            Mount("/api/auth", BillingApp(billing, identify=identify)),
            Route("/control/{verb}", control, methods=["POST"]),
        ],
        lifespan=lifespan,
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    return lambda: server.run(sockets=[listener])


def wsgi(listener: socket.socket, base_url: str, database: str, trusted: Sequence[str]) -> Callable[[], None]:
    """A Flask application with the extension; what is answered serves it under Werkzeug's threaded server."""
    from flask import Flask, jsonify, request
    from flask.wrappers import Response
    from werkzeug.serving import WSGIRequestHandler, make_server

    from kernia_billing import Billing
    from kernia_billing.testing import StripeSimulator
    from kernia_billing_flask import KerniaBilling

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Errors go to standard error by themselves; requests are nobody's news."""

    stripe = StripeSimulator(ticking=True)
    billing = Billing(**options(base_url, database, stripe, trusted))
    app = Flask(__name__)

    def identify() -> Identity | None:
        return identity_of({name.lower(): value for name, value in request.headers})

    KerniaBilling(billing, identify=identify).init_app(app)

    @app.post("/control/<verb>")
    def control(verb: str) -> Response:
        asked: dict[str, Any] = request.get_json()
        if verb == "pay":
            stripe.pay(asked["session"], card=asked.get("card", "4242424242424242"))
        elif verb == "customer":
            billing.customers.ensure(reference_of(asked))
        else:
            return jsonify(dict(stripe.oracle_counts))
        return jsonify({})

    def serve() -> None:
        with make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet, fd=listener.fileno()) as server:
            server.serve_forever()
        billing.close()

    return serve


APPLICATIONS: Mapping[str, Callable[[socket.socket, str, str, Sequence[str]], Callable[[], None]]] = {
    "asgi": asgi,
    "wsgi": wsgi,
}


def interrupt(*_: object) -> None:
    """End `wsgi` as Ctrl-C does; uvicorn has a handler of its own."""
    raise KeyboardInterrupt


def main(kind: str, database: str, *trusted: str) -> None:
    """Serve on a free port of loopback."""
    signal.signal(signal.SIGTERM, interrupt)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serve = APPLICATIONS[kind](listener, url, database, trusted)
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
