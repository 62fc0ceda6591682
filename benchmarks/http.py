"""`POST /billing/check` over ASGI, beside an application that does nothing but answer as many bytes.

Both live in one uvicorn process, `python -m benchmarks.http DATABASE DESCRIPTOR`, on a loopback port that this process
listens on; the callers are the same for both: connections that are kept open, written by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, evolve

from kernia_billing import AsyncBilling, Identity

from .harness import Bench, Benchmark, Result, Side, Unbuilt, async_callers, compare, in_turn
from .shop import FEATURE, PLANS, Shop, open_shop

_ROOT = Path(__file__).parents[1]
_CHECK = json.dumps({"feature": FEATURE}).encode()
_USER = b"x-user"
_BARE = "/bare"
_START_SECONDS = 30

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


# ── The server ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _identify(scope: Scope) -> Identity:
    """Whoever the request says: the callers are trusted here."""
    return Identity(dict(scope["headers"])[_USER].decode())


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, and answer as many bytes as the query says."""
    while (await receive()).get("more_body"):
        pass
    body = b"x" * int(scope["query_string"])
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(database: str, descriptor: int) -> None:
    """Serve both applications until told to stop."""
    import uvicorn

    from kernia_billing_asgi import BillingApp

    ours = BillingApp(AsyncBilling(database=database, plans=PLANS), identify=_identify)

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        await (_bare if scope.get("path") == _BARE else ours)(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(both, log_level="error", access_log=False))
    server.run(sockets=[socket.socket(fileno=descriptor)])


@contextmanager
def _serving(shop: Shop) -> Generator[int]:
    """The port of a server on the shop's database."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        command = [sys.executable, "-m", "benchmarks.http", shop.url, str(listening.fileno())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
        process = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment)
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            process.wait(30)


# ── The callers ──────────────────────────────────────────────────────────────────────────────────────────────────────


@define
class _Callers:
    """Connections to the server, each used by one caller at a time."""

    port: int
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    wrong: int = 0

    async def post(self, path: str, user: str) -> bytes:
        """The body of the answer to one request; b"" unless it is 200."""
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        length = f"content-length: {len(_CHECK)}\r\n\r\n"
        writer.write(f"{head}{_USER.decode()}: {user}\r\n{length}".encode() + _CHECK)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        size = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        body = await reader.readexactly(size)
        self.free.append((reader, writer))
        return body if b" 200 " in status else b""

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self.free:
            writer.close()
            await writer.wait_closed()


def _measure(bench: Bench) -> Result:
    if find_spec("kernia_billing_asgi") is None:
        raise Unbuilt("the ASGI application")
    settings = bench.settings
    with (
        open_shop(bench.servers, "sqlite", settings.customers) as shop,
        _serving(shop) as port,
        asyncio.Runner() as runner,
    ):
        callers = _Callers(port, [])
        size = runner.run(_first_answer(callers, shop.references[0]))
        result = compare(
            f"POST /billing/check, sqlite, {settings.callers} connections",
            f"an ASGI app that answers {size} bytes, same server",
            baseline=_asking(runner, settings.callers, callers, f"{_BARE}?{size}", shop.references, b"x" * size),
            ours=_asking(runner, settings.callers, callers, "/billing/check", shop.references, b'"allowed":true'),
            settings=settings,
        )
        runner.run(callers.close())
    return evolve(result, problems=[f"{callers.wrong} wrong answers"] if callers.wrong or not size else [])


async def _first_answer(callers: _Callers, user: str) -> int:
    """How long the answer to a check is, once the server is up."""
    async with asyncio.timeout(_START_SECONDS):
        return len(await callers.post("/billing/check", user))


def _asking(
    runner: asyncio.Runner, number: int, callers: _Callers, path: str, references: Sequence[str], expected: bytes
) -> Side:
    """So many callers of one path, who look at every answer."""
    reference = in_turn(references)

    async def ask() -> None:
        if expected not in await callers.post(path, reference()):
            callers.wrong += 1

    return async_callers(runner, number, ask)


BENCHMARKS = (Benchmark("P10", "http", "sqlite", _measure),)

if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
