"""Was this request sent by a page of ours? Asked wherever a browser adds credentials by itself."""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.urls import TrustedOrigins
from .refusals import RequestError

# Browsers repeat these on every request to an origin, as they do with cookies.
_AMBIENT_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})


def check_origin(headers: Mapping[str, str], trusted: TrustedOrigins) -> None:
    """Refuse a request that another site may have made a browser send.

    With a cookie, one of these must vouch for it, the first that is present: a trusted `Origin`, a trusted `Referer`,
    `Sec-Fetch-Site: same-origin`. Without a cookie, a request is refused only if its `Authorization` is of a kind that
    browsers send by themselves and it comes from an untrusted origin; a bearer token is never sent by itself.

    Raises:
        RequestError: 403, MISSING_OR_NULL_ORIGIN or INVALID_ORIGIN.
    """
    if "cookie" in headers or (_is_ambient(headers) and ("origin" in headers or "sec-fetch-site" in headers)):
        _require_trusted(headers, trusted)


def _is_ambient(headers: Mapping[str, str]) -> bool:
    scheme = headers.get("authorization", "").strip().partition(" ")[0]
    return scheme.lower() in _AMBIENT_SCHEMES


def _require_trusted(headers: Mapping[str, str], trusted: TrustedOrigins) -> None:
    origin, referer = headers.get("origin"), headers.get("referer")
    if origin is not None:
        vouched = trusted.is_trusted_origin(origin)
        known = origin != "null"
    elif referer is not None:
        vouched = trusted.is_trusted_referer(referer)
        known = True
    else:
        vouched = headers.get("sec-fetch-site") == "same-origin"
        known = False
    if vouched:
        return
    if known:
        raise RequestError("Invalid origin", code="INVALID_ORIGIN", status=403)
    raise RequestError("Missing or null Origin", code="MISSING_OR_NULL_ORIGIN", status=403)
