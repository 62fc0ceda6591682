"""Gates in the views of an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kernia_billing._hosting import Host
from kernia_billing.errors import BillingError
from kernia_billing.http.gate import Binding, bind

from .bridge import LoopBridge
from .wire import ASGIApp, Message, Receive, Scope, Send, headers_of, send_response, with_headers

if TYPE_CHECKING:
    from kernia_billing import AsyncBilling


class BillingMiddleware:
    """Makes `@requires_feature` and `@requires_subscription` work in the views of `app`, and shows their refusals.

    A view that raises `FeatureDenied` or another of our errors, from a gate or from `consume`, is answered with 402
    (401, 409, 503 …) and JSON, or for people in a browser by a redirect to `paywall_url?reason=…`. Mistakes of the
    application, such as a feature that does not exist, are raised.

    `identify(scope)` gives who is signed in, an `Identity` or None; it may be a coroutine function. It is asked only
    when a gate runs, at most once a request.

    Raises:
        ConfigError: given a `Billing`, an `identify` that is no function, or a `paywall_url` that is none.
    """

    def __init__(
        self, app: ASGIApp, billing: AsyncBilling, *, identify: Callable[[Any], Any], paywall_url: str = "/billing"
    ) -> None:
        self._app = app
        self._host = Host.of(billing, identify, asynchronous=True, paywall_url=paywall_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with a binding for this request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        binding = self._host.binding(scope, drive=LoopBridge(asyncio.get_running_loop()))
        with bind(binding):
            if scope["type"] == "http":
                await self._guarded(binding, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _guarded(self, binding: Binding, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(with_headers(message, binding))

        try:
            await self._app(scope, receive, watched)
        except BillingError as error:
            method: str = scope["method"]
            response = None if has_started else self._host.shown(error, method, headers_of(scope))
            if response is None:
                raise
            await send_response(watched, method, response)
