"""A WSGI environment (PEP 3333), read as a neutral request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from .messages import PayloadTooLarge
from .paths import received_path
from .refusals import RequestError

_CHUNK = 64 * 1024
_BARE = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class Readable(Protocol):
    """Where a body is read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


def path_of(environ: Mapping[str, Any], prefix: str = "") -> str:
    """The path below the mount, and below `prefix` in it, as it was sent where the server keeps that.

    Servers keep it as REQUEST_URI or RAW_URI; PEP 3333 has only PATH_INFO, which is decoded.
    """
    script, info = str(environ.get("SCRIPT_NAME") or ""), str(environ.get("PATH_INFO") or "")
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    return received_path(None if not raw else _bytes(str(raw)), _bytes(script + info), _bytes(script + prefix))


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """The headers, with lower-case names. The server has joined those that were repeated."""
    found = {name: str(environ[key]) for key, name in _BARE.items() if environ.get(key)}
    for key, value in environ.items():
        if key.startswith("HTTP_") and key[5:] not in _BARE:
            found[key[5:].replace("_", "-").lower()] = str(value)
    return found


def body_length(environ: Mapping[str, Any]) -> int | None:
    """How many bytes the body should have; None where the server ends the stream where the body ends.

    Raises:
        RequestError: 411, chunked and the server does not say that it understands chunks; 400, not a number.
    """
    declared = str(environ.get("CONTENT_LENGTH") or "")
    if environ.get("HTTP_TRANSFER_ENCODING"):
        if environ.get("wsgi.input_terminated"):
            return None
        raise RequestError("Content-Length is required", code="LENGTH_REQUIRED", status=411)
    if not declared:
        return 0
    if not (declared.isascii() and declared.isdecimal()) or len(declared) > 18:
        raise RequestError("Invalid Content-Length", code="BAD_REQUEST")
    return int(declared)


def read_body(stream: Readable, length: int | None, limit: int) -> bytes:
    """The body: `length` bytes, or all there are, and never more than one byte beyond `limit` is read.

    Raises:
        PayloadTooLarge: there are more than `limit`.
        RequestError: 400, fewer than `length` came.
    """
    if length is not None and length > limit:
        raise PayloadTooLarge
    body = read_some(stream, limit + 1 if length is None else length)
    if len(body) > limit:
        raise PayloadTooLarge
    if length is not None and len(body) < length:
        raise incomplete()
    return body


def read_some(stream: Readable, wanted: int) -> bytes:
    """Up to `wanted` bytes.

    Raises:
        RequestError: 400, the connection broke.
    """
    parts: list[bytes] = []
    left = wanted
    try:
        while left > 0 and (part := stream.read(min(left, _CHUNK))):
            parts.append(part)
            left -= len(part)
    except OSError as broken:
        raise incomplete() from broken
    return b"".join(parts)


def incomplete() -> RequestError:
    """The refusal of a body that ended too soon."""
    return RequestError("The request body is incomplete", code="INCOMPLETE_BODY")


def body_reader(environ: Mapping[str, Any]) -> Callable[[int], Awaitable[bytes]]:
    """`Request.read_body` over `wsgi.input`."""

    async def read(limit: int) -> bytes:
        return read_body(environ["wsgi.input"], body_length(environ), limit)

    return read


def _bytes(text: str) -> bytes:
    # PEP 3333: text in an environment is bytes in disguise.
    return text.encode("latin-1", "replace")
