"""Requests and responses as the core sees them, whichever framework carries them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from attrs import field, frozen

from ..domain.references import Identity
from ..errors import BillingError

BODY_LIMIT = 64 * 1024
"""The largest JSON body, in bytes."""
WEBHOOK_LIMIT = 1024 * 1024
"""The largest webhook body, in bytes. Stripe's largest events are far below."""

_SAFETY = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class PayloadTooLarge(BillingError):
    """The body is longer than the route allows. Raised by `Request.read_body`, as soon as the limit is passed."""

    code = "PAYLOAD_TOO_LARGE"
    status = 413

    def __init__(self, message: str = "The request body is too large") -> None:
        super().__init__(message)


@frozen
class Request:
    """One request, as an integration hands it over.

    `path` is relative to the mount and as received: not decoded, not normalised, starting with a slash. `query` is the
    raw query string without the question mark. `headers` have lower-case names; a repeated header is joined with ", "
    (cookies with "; "). `read_body(limit)` reads the whole body and raises `PayloadTooLarge` as soon as it has more
    than `limit` bytes, whatever Content-Length says. `identify()` gives who is signed in, or None.

    Neither is called for a request that is refused before it matters.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    read_body: Callable[[int], Awaitable[bytes]] = field(repr=False)
    identify: Callable[[], Awaitable[Identity | None]] = field(repr=False)


@frozen
class Response:
    """One response. `headers` have lower-case names; Content-Length is for the integration to add."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


def json_response(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps and no browser takes for something else."""
    return Response(
        status, {"content-type": "application/json", **_SAFETY, **(headers or {})}, msgspec.json.encode(value)
    )


def redirect_response(location: str) -> Response:
    """A 302 to a URL that was validated before."""
    return Response(302, {"location": location, **_SAFETY})
