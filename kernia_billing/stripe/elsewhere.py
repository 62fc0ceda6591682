"""Sending to something that stands in for Stripe: transports that lead what is meant for api.stripe.com elsewhere.

The clients themselves never talk to another host. Where the configuration names one (`stripe_api_base`, for test keys
only), these transports take each finished request there, over connections of their own.
"""

from __future__ import annotations

import asyncio
import os

import httpx

from ..errors import GuardError


class ElsewhereTransport(httpx.BaseTransport):
    """Sends every request to `origin` in place of Stripe's; never with a live key.

    Raises:
        GuardError: a request that carries a live key; nothing was sent.
    """

    def __init__(self, origin: str) -> None:
        self._origin = httpx.URL(origin)
        # By process: connections must not be shared with a forked parent.
        self._inner: dict[int, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        inner = self._inner.get(os.getpid())
        if inner is None:
            inner = self._inner.setdefault(os.getpid(), httpx.HTTPTransport())
        return inner.handle_request(_lead(request, self._origin))

    def close(self) -> None:
        """Close the connections of this process."""
        inner = self._inner.pop(os.getpid(), None)
        if inner is not None:
            inner.close()


class AsyncElsewhereTransport(httpx.AsyncBaseTransport):
    """`ElsewhereTransport`, awaited, with connections for each event loop."""

    def __init__(self, origin: str) -> None:
        self._origin = httpx.URL(origin)
        self._inner: dict[asyncio.AbstractEventLoop, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        loop = asyncio.get_running_loop()
        if loop not in self._inner:
            for other in [each for each in self._inner if each.is_closed()]:
                self._inner.pop(other, None)
            self._inner[loop] = httpx.AsyncHTTPTransport()
        return await self._inner[loop].handle_async_request(_lead(request, self._origin))

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        inner = self._inner.pop(asyncio.get_running_loop(), None)
        if inner is not None:
            await inner.aclose()


def _lead(request: httpx.Request, origin: httpx.URL) -> httpx.Request:
    if "_live_" in request.headers.get("authorization", ""):
        raise GuardError("stripe_api_base: a live key goes to api.stripe.com only")
    request.url = request.url.copy_with(scheme=origin.scheme, host=origin.host, port=origin.port)
    request.headers["host"] = origin.netloc.decode("ascii")
    return request
