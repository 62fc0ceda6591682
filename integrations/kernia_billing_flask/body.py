"""The raw body of Flask's current request, also where the application has looked at it before."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from kernia_billing.errors import GuardError
from kernia_billing.http.environ import body_length, incomplete, read_some
from kernia_billing.http.messages import PayloadTooLarge
from kernia_billing.http.refusals import RequestError

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def read_body(limit: int) -> bytes:
    """`Request.read_body` over Flask's current request.

    Raises:
        PayloadTooLarge: more than `limit` bytes.
        RequestError: 400 or 411, incomplete or of unknown length; 415, a form that was parsed already.
        GuardError: something read the body before us and kept nothing of it.
    """
    length = body_length(request.environ)
    if length is not None and length > limit:
        raise PayloadTooLarge
    # Ours is the limit here: the host's may be below the size of a webhook.
    request.max_content_length = limit + 1
    try:
        body = read_some(request.stream, limit + 1)
    except RequestEntityTooLarge as too_large:
        raise PayloadTooLarge from too_large
    except ClientDisconnected as gone:
        raise incomplete() from gone
    if not body and length != 0:
        body = _kept(length)
    if len(body) > limit:
        raise PayloadTooLarge
    if length is not None and len(body) < length:
        raise incomplete()
    return body


def _kept(length: int | None) -> bytes:
    """The body that somebody read before: `get_data` and `get_json` keep it, a parsed form does not."""
    body = request.get_data()
    if body or length is None:
        return body
    if request.mimetype in _FORMS:
        raise RequestError(
            "Content-Type is not allowed. Allowed types: application/json", code="UNSUPPORTED_MEDIA_TYPE", status=415
        )
    raise GuardError(
        "The body of a billing request was read before kernia_billing got it, and not kept: read it with "
        "request.get_data(), or not at all under the billing prefix"
    )
