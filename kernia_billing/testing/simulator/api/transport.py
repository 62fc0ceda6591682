"""httpx transports into the simulator, blocking and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio.lowlevel
import httpx

from ..world.errors import ConnectionLost
from .api import Api
from .stream_tokens import STREAM_PATH
from .wire import Reply, Request

HOST = "api.stripe.com"
STREAM_HOST = "meter-events.stripe.com"
"""Where the stream of meter events is, and nothing else."""


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
    host = STREAM_HOST if request.url.path == STREAM_PATH else HOST
    if request.url.scheme != "https" or request.url.host != host:
        raise httpx.ConnectError(f"the simulator is https://{host} only, not {request.url.host}", request=request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    path, query = request.url.path, request.url.query.decode("ascii")
    try:
        reply = api.handle(Request(request.method, path, query, body, headers))
    except ConnectionLost as lost:
        raise _lost(lost, request) from lost
    return _response(reply, request)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    headers = dict(reply.headers)
    if reply.drips:
        return httpx.Response(reply.status, headers=headers, stream=_Dripping(reply.body, request), request=request)
    return httpx.Response(reply.status, headers=headers, content=reply.body, request=request)


class _Dripping(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes byte by byte and never ends; the client's patience is over after what there is."""

    def __init__(self, body: bytes, request: httpx.Request) -> None:
        self._body, self._request = body, request

    def __iter__(self) -> Iterator[bytes]:
        for byte in self._body:
            yield bytes((byte,))
        raise httpx.ReadTimeout("simulated fault: drip", request=self._request)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def _lost(lost: ConnectionLost, request: httpx.Request) -> httpx.TransportError:
    if lost.how == "refused":
        return httpx.ConnectError(str(lost), request=request)
    if lost.how == "timeout":
        return httpx.ReadTimeout(str(lost), request=request)
    return httpx.ReadError(str(lost), request=request)
