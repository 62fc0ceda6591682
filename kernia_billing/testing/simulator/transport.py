"""httpx transports into the simulator, blocking and async."""

from __future__ import annotations

import anyio.lowlevel
import httpx

from .api import Api
from .errors import ConnectionLost
from .wire import Reply, Request

HOST = "api.stripe.com"


class SimulatorTransport(httpx.BaseTransport):
    """Give it to `httpx.Client(transport=…)`. Any other host than Stripe's API cannot be reached through it."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request."""
        return _serve(self._api, request, request.read())


class AsyncSimulatorTransport(httpx.AsyncBaseTransport):
    """Give it to `httpx.AsyncClient(transport=…)`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request; other tasks get a turn, as they would while a network is waited for."""
        body = await request.aread()
        await anyio.lowlevel.checkpoint()
        return _serve(self._api, request, body)


def _serve(api: Api, request: httpx.Request, body: bytes) -> httpx.Response:
    if request.url.scheme != "https" or request.url.host != HOST:
        raise httpx.ConnectError(f"the simulator is https://{HOST} only, not {request.url.host}", request=request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    path, query = request.url.path, request.url.query.decode("ascii")
    try:
        reply = api.handle(Request(request.method, path, query, body, headers))
    except ConnectionLost as lost:
        raise _lost(lost, request) from lost
    return _response(reply, request)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body, request=request)


def _lost(lost: ConnectionLost, request: httpx.Request) -> httpx.TransportError:
    if lost.how == "timeout":
        return httpx.ReadTimeout(str(lost), request=request)
    return httpx.ReadError(str(lost), request=request)
