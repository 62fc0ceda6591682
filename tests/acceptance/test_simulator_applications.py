"""Applications with this library on a served simulator: everything between them and the person goes over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import pytest
from attrs import frozen

from kernia_billing.cli import main as command
from kernia_billing.config import BillingOptions
from tests.acceptance.person import Person
from tests.acceptance.shop import COOKIE, PLANS, identity_of
from tests.acceptance.simulators import Simulator, running

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

Serving: TypeAlias = Callable[["socket.socket", BillingOptions], AbstractContextManager[None]]


@contextmanager
def asynchronous(listener: socket.socket, options: BillingOptions) -> Generator[None]:
    """`AsyncBilling` in a Starlette application under uvicorn."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from kernia_billing import AsyncBilling
    from kernia_billing_asgi import BillingApp

    billing = AsyncBilling(**options)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with billing:
            yield

    def identify(scope: Mapping[str, Any]) -> object:
        return identity_of({name.decode(): value.decode() for name, value in scope["headers"]})

    app = Starlette(routes=[Mount("/api/auth", BillingApp(billing, identify=identify))], lifespan=lifespan)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def blocking(listener: socket.socket, options: BillingOptions) -> Generator[None]:
    """`Billing` in a WSGI application under Werkzeug's threaded server."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import WSGIRequestHandler, make_server
    from werkzeug.wrappers import Response

    from kernia_billing import Billing
    from kernia_billing_wsgi import BillingApp

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Requests are nobody's news."""

    def identify(environ: Mapping[str, Any]) -> object:
        return identity_of({"cookie": environ.get("HTTP_COOKIE", "")})

    with Billing(**options) as billing:
        app = DispatcherMiddleware(Response(status=404), {"/api/auth": BillingApp(billing, identify=identify)})
        host, port = listener.getsockname()
        server = make_server(host, port, app, threaded=True, fd=listener.fileno(), request_handler=Quiet)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@frozen
class Application:
    """A running application whose Stripe is a simulator."""

    url: str
    simulator: Simulator
    http: httpx.Client

    def upgrade(self) -> str:
        """Ask for a plan; answers where the checkout is."""
        asked = {"plan": "starter", "successUrl": "/ok", "cancelUrl": "/pricing"}
        answer = self.http.post("/subscription/upgrade", json=asked).raise_for_status()
        return str(answer.json()["url"])

    def subscriptions(self) -> list[dict[str, Any]]:
        """What the application knows of the person."""
        listed: list[dict[str, Any]] = self.http.get("/subscription/list").raise_for_status().json()
        return listed


@pytest.fixture(params=[asynchronous, blocking], ids=["async", "blocking"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Application]:
    """The application listens first, so that the command can be told where its webhooks go."""
    import socket

    serving: Serving = request.param
    database = f"sqlite:///{tmp_path / 'billing.db'}"
    command(["db", "upgrade", "--database", database], standalone_mode=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running("--webhook-url", f"{url}/api/auth/stripe/webhook") as simulator:
            options = BillingOptions(
                database=database,
                stripe_key=simulator.api_key,
                stripe_webhook_secrets=[simulator.webhook_secret],
                stripe_api_base=simulator.url,
                base_url=url,
                plans=[plan for plan in PLANS if plan.name in ("free", "starter")],
                default_plan="free",
            )
            headers = {"cookie": f"{COOKIE}=ann.sig", "origin": url}
            with (
                serving(listener, options),
                httpx.Client(base_url=f"{url}/api/auth", headers=headers, timeout=60) as http,
            ):
                simulator.control("prices", id="price_starter", amount=1_000)
                yield Application(url, simulator, http)
                assert simulator.summary()["violations"] == 0


def test_from_the_first_page_to_the_next_month(application: Application) -> None:
    """A card is refused, another one pays, and who comes back is subscribed; it is renewed; then the portal ends it."""
    simulator = application.simulator
    with httpx.Client(timeout=60) as browser:
        person = Person(simulator.url, browser)
        person.go(application.upgrade())
        person.press("Pay", card="4000000000009995")
        assert (402, []) == (person.status, [row for row in application.subscriptions() if row["status"] == "active"])

        person.press("Pay", card="4242424242424242")
        assert person.left_for is not None
        assert person.left_for.startswith(application.url)
        (bought,) = application.subscriptions()
        assert ("starter", "active") == (bought["plan"], bought["status"])

        customer = bought["stripeCustomerId"]
        simulator.control("advance", months=1, hours=2, customer=customer)
        (renewed,) = application.subscriptions()
        assert bought["periodEnd"] == renewed["periodStart"]

        opened = application.http.post("/subscription/billing-portal", json={"returnUrl": "/me"}).raise_for_status()
        person.go(opened.json()["url"])
        person.press("Cancel plan")
        person.press("Cancel subscription")
        (canceled,) = application.subscriptions()
        assert canceled["cancelAtPeriodEnd"]
        person.press("Return to the site")
        assert f"{application.url}/me" == person.left_for
    told = simulator.summary()["webhooks"]
    assert told["waiting"] == 0
    assert told["delivered"] > 0
