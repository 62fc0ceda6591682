"""Neutral responses, written as PEP 3333 has them."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse

from kernia_billing.http.messages import Response

if TYPE_CHECKING:
    from _typeshed import OptExcInfo


def start(
    start_response: StartResponse, method: str, response: Response, error: OptExcInfo | None = None
) -> Iterable[bytes]:
    """Begin a response and give its body; for HEAD only its beginning, without a length that nobody computed.

    `error` (as of `sys.exc_info`) is why it replaces a response; the server raises it if that one was sent already.
    """
    headers = list(response.headers.items())
    body = b"" if method == "HEAD" else response.body
    if method != "HEAD":
        headers.append(("Content-Length", str(len(body))))
    status = f"{response.status} {HTTPStatus(response.status).phrase}"
    if error is None:
        start_response(status, headers)
    else:
        start_response(status, headers, error)
    return [body]
