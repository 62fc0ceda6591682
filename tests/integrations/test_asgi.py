"""The ASGI application and its middleware: bodies, disconnects, lifespans, and a loop that nothing holds up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from kernia_billing import BillingError, requires_feature
from kernia_billing.http.messages import BODY_LIMIT
from kernia_billing_asgi import BillingApp, BillingMiddleware
from kernia_billing_asgi.wire import headers_of
from tests.integrations.sites import JSON, USER, Sent, ask, async_billing, from_scope, receiver, scope_of

CHECK = Sent("POST", "/billing/check", {**USER, **JSON}, b'{"feature": "projects"}')


def plain() -> str:
    """A view that runs in a thread."""
    return "passed"


@pytest.mark.anyio
async def test_reading_stops_at_the_limit() -> None:
    """A body without end is refused as soon as it is too long, whatever Content-Length says."""
    billing, _ = async_billing()
    pieces = 0

    async def endless() -> Any:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b" " * 1024, "more_body": True}

    async with billing:
        app = BillingApp(billing, identify=from_scope)
        for length in ({}, {"content-length": "10"}):
            pieces = 0
            sent = Sent("POST", "/billing/check", {**USER, **JSON, **length})
            assert (await ask(app, sent, receive=endless)).status == 413
            assert pieces == BODY_LIMIT // 1024 + 1


@pytest.mark.anyio
async def test_a_body_that_does_not_arrive_is_refused() -> None:
    """A client that hangs up, or that takes longer than the deadline, has used nothing."""
    billing, _ = async_billing()

    async def never() -> Any:
        await asyncio.Event().wait()

    async with billing:
        app = BillingApp(billing, identify=from_scope, read_deadline=0.01)
        track = Sent("POST", "/billing/track", {**USER, **JSON})
        slow = await ask(app, track, receive=never)

        parts = receiver([b'{"feature": "projects"', b"}"])

        async def cut() -> Any:
            message = await parts()
            return message if message.get("more_body") else {"type": "http.disconnect"}

        gone = await ask(app, track, receive=cut)
        balances = await billing.balances("user_1")
    assert (slow.status, slow.code) == (408, "REQUEST_TIMEOUT")
    assert (gone.status, gone.code) == (400, "INCOMPLETE_BODY")
    assert balances["projects"].used == 0


@pytest.mark.anyio
async def test_slow_clients_do_not_stop_others() -> None:
    """While a thousand clients hold back their bodies, a check is answered."""
    billing, _ = async_billing()
    waiting = asyncio.Semaphore(0)

    async def never() -> Any:
        waiting.release()
        await asyncio.Event().wait()

    async with billing:
        app = BillingApp(billing, identify=from_scope)
        slow = [asyncio.create_task(ask(app, CHECK, receive=never)) for _ in range(1000)]
        for _ in slow:
            await waiting.acquire()
        assert (await ask(app, CHECK)).json["allowed"] is True
        assert not any(each.done() for each in slow)
        for each in slow:
            each.cancel()
        await asyncio.gather(*slow, return_exceptions=True)


@pytest.mark.anyio
async def test_nothing_holds_up_the_loop(tmp_path: Path) -> None:
    """Routes, gates and Stripe are waited for without blocking, on a database file too."""
    billing, stripe = async_billing(f"sqlite:///{tmp_path / 'billing.sqlite'}")

    async def view(scope: Any, receive: Any, send: Any) -> None:
        await requires_feature("projects")(_said)()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with billing:
        app = BillingApp(billing, identify=from_scope)
        gate = BillingMiddleware(view, billing, identify=from_scope)
        event = {"content-type": "application/json", "stripe-signature": stripe.sign(b"{}")}
        upgrade = b'{"plan": "pro", "successUrl": "/", "cancelUrl": "/"}'
        requests = [
            CHECK,
            Sent("POST", "/billing/track", {**USER, **JSON}, b'{"feature": "projects"}'),
            Sent("GET", "/billing/customer", USER),
            Sent("GET", "/billing/openapi.json"),
            Sent("POST", "/stripe/webhook", event, b"{}"),
            Sent("POST", "/subscription/upgrade", {**USER, **JSON}, upgrade),
        ]
        # The first request to Stripe in a process reads our own version from the package's metadata.
        await billing.subscriptions.upgrade("user_2", "pro", success_url="/", cancel_url="/")
        with blockbuster_ctx(["kernia_billing", "kernia_billing_asgi"]):
            statuses = [(await ask(app, each)).status for each in requests]
            statuses.append((await ask(gate, Sent("GET", "/", USER))).status)
    assert statuses == [200, 200, 200, 200, 400, 200, 204]


def test_repeated_headers_are_joined() -> None:
    """No value of a repeated header is overlooked; cookies are joined as RFC 9113 has it."""
    headers = [(b"Origin", b"a"), (b"cookie", b"x=1"), (b"origin", b"b"), (b"cookie", b"y=2"), (b"x", b"\xe9")]

    assert headers_of({"headers": headers}) == {"origin": "a, b", "cookie": "x=1; y=2", "x": "\u00e9"}


@pytest.mark.anyio
async def test_identify_may_be_plain_or_asynchronous() -> None:
    """Both kinds of functions are asked with the scope."""
    billing, _ = async_billing()

    async def later(scope: Any) -> Any:
        await asyncio.sleep(0)
        return from_scope(scope)

    async with billing:
        for identify in (from_scope, later):
            app = BillingApp(billing, identify=identify)
            assert (await ask(app, Sent("GET", "/billing/customer", USER))).status == 200
            assert (await ask(app, Sent("GET", "/billing/customer"))).status == 401


@pytest.mark.anyio
async def test_paths_without_a_raw_path() -> None:
    """Where a server does not keep what was sent, or something in front changed the path, the decoded path counts."""
    billing, _ = async_billing()
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async with billing:
        app = BillingApp(billing, identify=from_scope)
        for path, raw, root, status in (
            ("/billing/plans", None, "", 200),
            ("/billing/plans", b"", "", 200),
            ("/app/billing/plans", None, "/app", 200),
            ("/app/billing/plans", None, "/app/", 200),
            ("/billing/plans", b"/billing/plans?x=1", "", 200),
            ("/billing/plans", b"/billing/plans", "/app", 200),
            ("/billing/plans", b"/v1/billing/plans", "", 200),
            ("/application/billing/plans", None, "/app", 404),
            ("/b\u00fcro/billing/plans", b"/b%C3%BCro/billing/plans", "/b\u00fcro", 200),
            ("/app/billing/plans", b"/%61pp/billing/plans", "/app", 404),
        ):
            scope = {**scope_of(Sent("GET", "/")), "path": path, "root_path": root, "raw_path": raw}
            messages.clear()
            await app(scope, receiver([]), send)
            assert messages[0]["status"] == status, path


@pytest.mark.anyio
async def test_run_by_a_server_it_closes_the_connections() -> None:
    """The lifespan is answered; a websocket is refused; another protocol is an error."""
    billing, _ = async_billing()
    app = BillingApp(billing, identify=from_scope)
    told: list[str] = []
    left = ["lifespan.startup", "lifespan.shutdown", "websocket.connect"]

    async def receive() -> Any:
        return {"type": left.pop(0)}

    async def send(message: Any) -> None:
        told.append(message["type"])

    assert (await ask(app, CHECK)).status == 200
    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket"}, receive, send)
    with pytest.raises(NotImplementedError):
        await app({"type": "other"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


@pytest.mark.anyio
async def test_the_middleware_raises_after_the_start() -> None:
    """What was sent cannot be taken back."""
    billing, _ = async_billing()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await requires_feature("sso")(_nothing)()

    async with billing:
        with pytest.raises(BillingError):
            await ask(BillingMiddleware(app, billing, identify=from_scope), Sent("GET", "/", USER))


async def _nothing() -> None:
    pass


@pytest.mark.anyio
async def test_a_plain_gate_on_the_loop_is_an_error_and_no_deadlock() -> None:
    """A plain function would wait for the very thread that it holds up: a clear error says so."""
    billing, _ = async_billing()
    view = requires_feature("projects")(plain)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        view()

    async with billing:
        with pytest.raises(BillingError, match="async def") as raised:
            await ask(BillingMiddleware(app, billing, identify=from_scope), Sent("GET", "/", USER))
    assert raised.value.code == "GUARD_VIOLATED"


@pytest.mark.anyio
async def test_websockets_and_the_lifespan_pass_through() -> None:
    """A websocket's code is bound too; the lifespan is not touched."""
    billing, _ = async_billing()
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "websocket":
            seen.append(await requires_feature("projects")(_said)())

    async def nothing(*_: Any) -> Any:
        return None

    async with billing:
        middleware = BillingMiddleware(app, billing, identify=from_scope)
        await middleware({"type": "lifespan"}, nothing, nothing)
        await middleware(
            {"type": "websocket", "path": "/", "headers": [(b"authorization", b"Bearer user_1")]}, nothing, nothing
        )
    assert seen == ["lifespan", "websocket", "passed"]


async def _said() -> str:
    return "passed"


@pytest.mark.anyio
async def test_requests_at_once_have_bindings_of_their_own() -> None:
    """Each request is judged as its own caller's, however they interleave."""
    billing, _ = async_billing()

    @requires_feature("projects", 3)
    async def view() -> str:
        return "ran"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        text = await view()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    async with billing:
        await billing.consume("user_1", "projects")
        middleware = BillingMiddleware(app, billing, identify=from_scope)
        sent = [Sent("GET", "/", {"authorization": f"Bearer user_{index % 3}"}) for index in range(30)]
        answers = await asyncio.gather(*(ask(middleware, each) for each in sent))

    assert [each.status for each in answers] == [200, 402, 200] * 10
