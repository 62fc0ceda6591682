"""Stands in for time and for the network: scripted answers, and a TCP server on the loopback that misbehaves."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Literal, Self, TypeVar

import httpx

from kernia_billing._drive import run_blocking
from kernia_billing.domain.secret import Secret
from kernia_billing.ports.telemetry import SILENT, Telemetry
from kernia_billing.stripe.budget import RateBudget
from kernia_billing.stripe.client import AsyncStripe, BlockingStripe
from kernia_billing.stripe.retry import DEFAULT_POLICY, RetryPolicy

T = TypeVar("T")
R = TypeVar("R")
Kind = Literal["blocking", "async"]
KINDS: tuple[Kind, ...] = ("blocking", "async")
KEY = Secret("sk_test_CANARYkey")
NOW = 1_790_000_000
Script = Callable[[socket.socket, bytes], None]


class FakeTime:
    """Clock, monotonic clock and pace in one: sleeping takes no time, and moves both clocks."""

    def __init__(self, jitter: float = 0.0) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []
        self._jitter = jitter

    def now(self) -> int:
        """The current instant."""
        return NOW * 1_000_000 + int(self.elapsed * 1_000_000)

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.elapsed

    def jitter(self) -> float:
        """The number given."""
        return self._jitter

    async def sleep(self, seconds: float) -> None:
        """Be later."""
        self.slept.append(seconds)
        self.elapsed += seconds

    async def map(self, function: Callable[[T], Awaitable[R]], items: Iterable[T], *, limit: int) -> Sequence[R]:
        """One after the other."""
        assert limit > 0
        return [await function(each) for each in items]


class Wired:
    """One of the two clients over scripted answers: `requests` are those that it sent."""

    def __init__(
        self,
        kind: Kind,
        *answers: httpx.Response | Exception,
        policy: RetryPolicy = DEFAULT_POLICY,
        each_takes: float = 0.0,
        budget: RateBudget | None = None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        self.time = FakeTime()
        self._each_takes = each_takes
        self.requests: list[httpx.Request] = []
        self._answers = answers
        transport = httpx.MockTransport(self._answer)
        make = BlockingStripe if kind == "blocking" else AsyncStripe
        self.stripe = make(
            KEY,
            clock=self.time,
            pace=self.time,
            transport=transport,
            policy=policy,
            monotonic=self.time.monotonic,
            budget=budget,
            telemetry=telemetry,
        )
        self.run = runner(kind)

    def get(self, path: str = "/v1/customers/cus_1", params: dict[str, Any] | None = None) -> Any:
        """Send a GET."""
        return self.run(self.stripe.request("GET", path, params))

    def post(self, path: str = "/v1/customers", params: dict[str, Any] | None = None, key: str = "op_1") -> Any:
        """Send a POST."""
        return self.run(self.stripe.request("POST", path, params, idempotency_key=key))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)
        self.time.elapsed += self._each_takes
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def runner(kind: Kind) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """What drives a coroutine of that client."""
    return run_blocking if kind == "blocking" else asyncio.run


def error(
    status: int, kind: str = "invalid_request_error", *, headers: dict[str, str] | None = None, **members: str
) -> httpx.Response:
    """An error answer as Stripe gives it."""
    body = {"error": {"type": kind, "message": "CANARYtext jane@example.com", **members}}
    return httpx.Response(status, headers={"request-id": "req_bad1", **(headers or {})}, json=body)


OK = httpx.Response(200, headers={"request-id": "req_good1"}, json={"id": "cus_1", "object": "customer"})


class Loopback:
    """A TCP server that runs one script for each connection, the last one for all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.requests: list[bytes] = []
        self.sent = 0
        self.stop = threading.Event()
        self.asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        # Closing a socket does not wake the thread that accepts on it; a last connection does.
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.stop.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._talk, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = _read_request(connection)
                self.requests.append(request)
                self.asked.set()
                self._scripts[min(len(self.requests), len(self._scripts)) - 1](connection, request)
            except OSError:
                pass

    def hang(self, _connection: socket.socket, _request: bytes) -> None:
        """Say nothing until the test is over."""
        self.stop.wait()

    def pour(self, head: bytes, chunk: bytes) -> Script:
        """A script that sends `head` and then `chunk` for ever; `sent` counts."""

        def script(connection: socket.socket, _request: bytes) -> None:
            connection.sendall(head)
            while not self.stop.is_set():
                connection.sendall(chunk)
                self.sent += len(chunk)

        return script


def say(answer: bytes) -> Script:
    """A script that sends `answer` and hangs up."""
    return lambda connection, _: connection.sendall(answer)


def reset(connection: socket.socket, _request: bytes) -> None:
    """Break the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def http(body: bytes, *, status: str = "200 OK", length: int | None = None, head: str = "") -> bytes:
    """An HTTP answer whose length may be a lie."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n{head}\r\n".encode() + body


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class ToLoopback(httpx.BaseTransport):
    """Real HTTP over TCP to the loopback instead of Stripe's host, which the request must name."""

    def __init__(self, port: int) -> None:
        self._inner = httpx.HTTPTransport()
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to the loopback."""
        return self._inner.handle_request(_rerouted(request, self._port))

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class AsyncToLoopback(httpx.AsyncBaseTransport):
    """The same on asyncio."""

    def __init__(self, port: int) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request to the loopback."""
        return await self._inner.handle_async_request(_rerouted(request, self._port))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _rerouted(request: httpx.Request, port: int) -> httpx.Request:
    assert (request.url.scheme, request.url.host, request.url.port) == ("https", "api.stripe.com", None)
    request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
    return request


def over_tcp(kind: Kind, port: int, **options: Any) -> BlockingStripe | AsyncStripe:
    """One of the two clients over real TCP to the loopback, waiting in no time between attempts."""
    pace = FakeTime()
    if kind == "blocking":
        return BlockingStripe(KEY, clock=pace, pace=pace, transport=ToLoopback(port), **options)
    return AsyncStripe(KEY, clock=pace, pace=pace, transport=AsyncToLoopback(port), **options)
