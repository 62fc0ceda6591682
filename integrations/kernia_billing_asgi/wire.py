"""ASGI's scopes and messages, read and written as neutral requests and responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kernia_billing.http.environ import incomplete
from kernia_billing.http.gate import Binding
from kernia_billing.http.messages import PayloadTooLarge, Response
from kernia_billing.http.paths import received_path
from kernia_billing.http.refusals import RequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("kernia_billing.asgi")


def path_of(scope: Scope) -> str:
    """The path below `root_path`, as it was sent where the server keeps that (`raw_path`)."""
    raw: bytes | None = scope.get("raw_path")
    return received_path(raw or None, _encoded(scope["path"]), _encoded(scope.get("root_path", "")))


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers, with lower-case names; a repeated one is joined, so that none of its values is overlooked."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in found:
            value = f"{found[name]}{'; ' if name == 'cookie' else ', '}{value}"
        found[name] = value
    return found


def body_reader(receive: Receive, deadline: float) -> Callable[[int], Awaitable[bytes]]:
    """`Request.read_body` over ASGI's messages; the whole body must be there within `deadline` seconds."""

    async def read(limit: int) -> bytes:
        try:
            async with asyncio.timeout(deadline):
                return await _read(receive, limit)
        except TimeoutError as late:
            _log.info("no body in %s s: a slow client, or a middleware that read it and did not hand it on", deadline)
            raise RequestError("The request body came too slowly", code="REQUEST_TIMEOUT", status=408) from late

    return read


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise incomplete()
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def send_response(send: Send, method: str, response: Response) -> None:
    """Send a whole response; for HEAD only its beginning, without a length that nobody computed."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    body = b"" if method == "HEAD" else response.body
    if method != "HEAD":
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def with_headers(message: Message, binding: Binding) -> Message:
    """A message of the application; the beginning of a response tells of quotas too, where a gate let it pass."""
    if message["type"] != "http.response.start":
        return message
    known = list(message.get("headers", ()))
    added = binding.headers(message["status"], [name.decode("latin-1") for name, _ in known])
    if not added:
        return message
    return {**message, "headers": [*known, *((name.encode(), value.encode()) for name, value in added.items())]}


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
