"""The Stripe port over httpx: `BlockingStripe` for `Billing`, `AsyncStripe` for `AsyncBilling`.

Both run the same request loop. `BlockingStripe` never suspends; `AsyncStripe` has one httpx client for each event loop
and closes it with the loop. Neither follows redirects, sends cookies, or talks to another host than api.stripe.com.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import httpx

from ..domain.secret import Secret
from ..errors import ConfigError, GuardError
from ..ports.clock import Clock
from ..ports.pace import Pace
from ..ports.telemetry import SILENT, Telemetry
from .budget import RateBudget
from .core import StripeCore, Unusable, last_request_id
from .retry import DEFAULT_POLICY, RetryPolicy
from .wire import MAX_REPLY_BYTES, Call, Reply, decode

__all__ = ["AsyncStripe", "BlockingStripe", "last_request_id"]

_C = TypeVar("_C")


class BlockingStripe(StripeCore):
    """Stripe for `Billing`: blocks its thread. Safe to share between threads, and usable after a fork.

    Args:
        key: the secret or restricted API key.
        clock: reads `Retry-After` dates.
        pace: waits between attempts.
        client: an `httpx.Client` of the application to send through. It is not closed, and its base URL, headers,
            cookies, auth and redirects are not used.
        transport: the transport of our own client, for tests and special networks.
        policy: how patient a request is.
        monotonic: the seconds by which the budget of a request is judged.
        budget: how many requests may be sent; None leaves that to others.
        telemetry: hears of every request.

    Raises:
        ConfigError: a key or a client of the wrong kind.
    """

    def __init__(
        self,
        key: Secret,
        *,
        clock: Clock,
        pace: Pace,
        client: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
        monotonic: Callable[[], float] = time.monotonic,
        budget: RateBudget | None = None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        super().__init__(
            key, clock=clock, pace=pace, policy=policy, monotonic=monotonic, budget=budget, telemetry=telemetry
        )
        self._given = _checked(client, httpx.Client, httpx.AsyncClient, "Billing", "AsyncBilling")
        self._transport = transport
        # By process: connections must not be shared with a forked parent.
        self._clients: dict[int, httpx.Client] = {}

    async def close(self) -> None:
        """Close our own connections of this process; the next request opens new ones."""
        client = self._clients.pop(os.getpid(), None)
        if client is not None:
            client.close()

    async def _exchange(self, call: Call, deadline: float) -> Reply:
        client = self._open()
        response = client.send(self._request(call, deadline), stream=True, auth=None, follow_redirects=False)
        try:
            _refuse_compressed(response)
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                _refuse_large(body)
                if self._monotonic() > deadline:
                    raise httpx.ReadTimeout("the reply took too long")
            return _reply(response, body)
        finally:
            response.close()

    def _open(self) -> httpx.Client:
        if self._given is not None:
            _refuse_closed(self._given)
            return self._given
        client = self._clients.get(os.getpid())
        if client is None:
            made = httpx.Client(transport=self._transport, follow_redirects=False)
            # Where two threads come here at once, the loser's client never opened a connection.
            client = self._clients.setdefault(os.getpid(), made)
        return client


class AsyncStripe(StripeCore):
    """Stripe for `AsyncBilling`: awaits on asyncio. Usable from several event loops, each with connections of its own.

    Args:
        key: the secret or restricted API key.
        clock: reads `Retry-After` dates.
        pace: waits between attempts.
        client: an `httpx.AsyncClient` of the application to send through. It belongs to the event loop that uses it
            first. It is not closed, and its base URL, headers, cookies, auth and redirects are not used.
        transport: the transport of our own clients, for tests and special networks.
        policy: how patient a request is.
        monotonic: the seconds by which the budget of a request is judged.
        budget: how many requests may be sent; None leaves that to others.
        telemetry: hears of every request.

    Raises:
        ConfigError: a key or a client of the wrong kind.
    """

    def __init__(
        self,
        key: Secret,
        *,
        clock: Clock,
        pace: Pace,
        client: httpx.AsyncClient | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
        monotonic: Callable[[], float] = time.monotonic,
        budget: RateBudget | None = None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        super().__init__(
            key, clock=clock, pace=pace, policy=policy, monotonic=monotonic, budget=budget, telemetry=telemetry
        )
        self._given = _checked(client, httpx.AsyncClient, httpx.Client, "AsyncBilling", "Billing")
        self._given_to: asyncio.AbstractEventLoop | None = None
        self._transport = transport
        self._tls: ssl.SSLContext | None = None
        self._clients: dict[asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[None, None]]] = {}

    async def close(self) -> None:
        """Close our own connections of the running event loop; those of other loops end with these."""
        _, lifetime = self._clients.pop(asyncio.get_running_loop(), (None, None))
        if lifetime is not None:
            await lifetime.aclose()

    async def _exchange(self, call: Call, deadline: float) -> Reply:
        client = await self._open()
        # httpx bounds each read; this bounds them together, headers that trickle in included.
        async with asyncio.timeout(max(0.0, deadline - self._monotonic())):
            response = await client.send(self._request(call, deadline), stream=True, auth=None, follow_redirects=False)
            try:
                _refuse_compressed(response)
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    _refuse_large(body)
                return _reply(response, body)
            finally:
                await response.aclose()

    async def _open(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._given is not None:
            return self._given_on(loop, self._given)
        if loop not in self._clients:
            await self._start(loop)
        return self._clients[loop][0]

    def _given_on(self, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient) -> httpx.AsyncClient:
        _refuse_closed(client)
        self._given_to = self._given_to or loop
        if self._given_to is not loop:
            raise GuardError(
                "stripe_client: the httpx.AsyncClient belongs to another event loop: give none, so that each loop gets "
                "its own, or build AsyncBilling inside the loop that uses it"
            )
        return client

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._tls is None and self._transport is None:
            # Reading the certificate bundle takes milliseconds of file and parsing work.
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        if loop in self._clients:
            return
        for other in [each for each in self._clients if each.is_closed()]:
            self._clients.pop(other, None)
        client = httpx.AsyncClient(verify=self._tls or True, transport=self._transport, follow_redirects=False)
        lifetime = _until_the_loop_ends(client)
        self._clients[loop] = (client, lifetime)
        await anext(lifetime)


async def _until_the_loop_ends(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Once begun, this generator is closed by the event loop at its end (`shutdown_asyncgens`): so is `client`."""
    try:
        yield
    finally:
        await client.aclose()


def _reply(response: httpx.Response, body: bytearray) -> Reply:
    return Reply(status=response.status_code, headers=response.headers, json=decode(bytes(body)))


def _refuse_compressed(response: httpx.Response) -> None:
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Unusable("the reply is compressed although that was not asked for")


def _refuse_large(body: bytearray) -> None:
    if len(body) > MAX_REPLY_BYTES:
        raise Unusable("the reply is too large")


def _refuse_closed(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise GuardError("stripe_client: the httpx client is closed; keep it open as long as billing is used")


def _checked(client: object, kind: type[_C], other: type[object], facade: str, other_facade: str) -> _C | None:
    if client is None or isinstance(client, kind):
        return client
    fix = f"; an httpx.{other.__name__} works with {other_facade}" if isinstance(client, other) else ""
    raise ConfigError([f"stripe_client: {facade} needs an httpx.{kind.__name__}, not {type(client).__name__}{fix}"])
