"""The billing routes as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kernia_billing._hosting import Host
from kernia_billing.http.dispatch import dispatch
from kernia_billing.http.messages import Request

from .wire import Receive, Scope, Send, body_reader, headers_of, path_of, send_response

if TYPE_CHECKING:
    from kernia_billing import AsyncBilling


class BillingApp:
    """Every route of the library. Mount it where `base_path` says: `app.mount("/api/auth", BillingApp(…))`.

    `identify(scope)` gives who is signed in, an `Identity` or None; it may be a coroutine function. It is asked only
    for routes that need it. `read_deadline` is how many seconds a client may take to send a body.

    Mounted, the application that it is mounted in opens and closes `billing`. Run by a server directly, it closes the
    connections when the server stops.

    Raises:
        ConfigError: given a `Billing`, or an `identify` that is no function.
    """

    def __init__(self, billing: AsyncBilling, *, identify: Callable[[Any], Any], read_deadline: float = 30.0) -> None:
        self._host = Host.of(billing, identify, asynchronous=True)
        self._close: Callable[[], Awaitable[None]] = billing.aclose
        self._read_deadline = read_deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or take part in the server's lifespan."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            # As the ASGI specification asks: an application raises for a protocol that it does not know.
            raise NotImplementedError(f"ASGI protocol {scope['type']!r}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(
            method=scope["method"],
            path=path_of(scope),
            query=scope.get("query_string", b"").decode("latin-1"),
            headers=headers_of(scope),
            read_body=body_reader(receive, self._read_deadline),
            identify=self._host.asks(scope),
        )
        response = await dispatch(self._host.service, request)
        await send_response(send, request.method, response)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})
