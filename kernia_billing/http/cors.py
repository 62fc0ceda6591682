"""Calls from pages on other origins (Fetch standard, "CORS protocol"): only where the configuration has `cors=True`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from .messages import Request, Response
from .service import HttpSettings

_ALLOWED = "content-type, idempotency-key, authorization"
_EXPOSED = "Retry-After, RateLimit, RateLimit-Policy"
_MAX_AGE = "600"


def preflight(settings: HttpSettings, request: Request, methods: str) -> Response | None:
    """The answer to a browser that asks before it sends; None where it is none, or comes from an untrusted origin."""
    if not settings.cors or request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
        return None
    shared = _shared(settings, request.headers)
    if "access-control-allow-origin" not in shared:
        return None
    allowed = {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": _ALLOWED,
        "access-control-max-age": _MAX_AGE,
    }
    return Response(204, {**allowed, **shared})


def share(settings: HttpSettings, request: Request, response: Response) -> Response:
    """Let the page that asked read the response, refusals too. It is never said to be for any origin."""
    if not settings.cors or "access-control-allow-methods" in response.headers:
        return response
    shared = _shared(settings, request.headers)
    if "access-control-allow-origin" in shared:
        shared["access-control-expose-headers"] = _EXPOSED
    return evolve(response, headers={**response.headers, **shared})


def _shared(settings: HttpSettings, headers: Mapping[str, str]) -> dict[str, str]:
    # What is there for one origin must not be taken from a cache for another one, or for none.
    origin = headers.get("origin")
    if origin is None or not settings.trusted.is_trusted_origin(origin):
        return {"vary": "Origin"}
    return {"vary": "Origin", "access-control-allow-origin": origin, "access-control-allow-credentials": "true"}
