"""Refusals on the wire: one flat JSON object, with a stable code, a fixed text, and nothing from the inside."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import BillingError, FeatureDenied, InvalidInput, NotBound, Unavailable
from .messages import Response, json_response
from .rate_limits import decision_headers
from .refusals import TEXTS, RequestError

ALIASES: Mapping[str, str] = {
    "INVALID_SIGNATURE": "FAILED_TO_CONSTRUCT_STRIPE_EVENT",
    "PLAN_NOT_FOUND": "SUBSCRIPTION_PLAN_NOT_FOUND",
    "REFERENCE_REQUIRED": "ORGANIZATION_REFERENCE_ID_REQUIRED",
}
"""Better Auth's name of a code, where ours is another."""

_UNAVAILABLE = "The billing service is unavailable"
_NAMES = {
    "after": "cursor",
    "customer_type": "customerType",
    "end": "to",
    "entity": "entityId",
    "reference": "referenceId",
    "start": "from",
}


def is_unexpected(error: Exception) -> bool:
    """Whether an error is for the operator to look at: not one of ours, a defect, or a wrong set-up."""
    return not isinstance(error, BillingError) or (error.status >= 500 and not isinstance(error, Unavailable))


def problem(error: Exception, request_id: str, *, place: str = "body") -> Response:
    """The answer for an error.

    `{code, message, requestId, retryable}`, the error's own details, and `alias` where Better Auth has another name
    for the code. `place` ("body" or "query") is where the members of the request stood. An error that is not ours, and
    every defect, is `INTERNAL`; no text of a 5xx answer comes from the error itself.
    """
    if not isinstance(error, BillingError) or error.status == 500:
        code = error.code if isinstance(error, NotBound) else "INTERNAL"
        members: dict[str, object] = {"code": code, "message": TEXTS["INTERNAL"]}
        return json_response(500, {**members, "requestId": request_id, "retryable": False})
    named = {key: value for key, value in error.details().items() if key not in ("code", "message")}
    if "field" in named:
        named["field"] = wire_name(str(named["field"]))
    answer: dict[str, object] = {
        **named,
        "code": error.code,
        "message": _message(error, place),
        "requestId": request_id,
        "retryable": error.retryable,
    }
    alias = error.alias or ALIASES.get(error.code)
    if alias is not None:
        answer["alias"] = alias
    return json_response(error.status, answer, _headers(error))


def wire_name(field: str) -> str:
    """The name that an argument of an operation has on the wire: `success_url` is `successUrl`."""
    first, dot, rest = field.partition(".")
    head, *tail = first.split("_")
    return _NAMES.get(first, head + "".join(word.capitalize() for word in tail)) + dot + rest


def _message(error: BillingError, place: str) -> str:
    if isinstance(error, InvalidInput):
        return f"[{place}.{wire_name(error.field)}] {error.message}"
    if error.status >= 500:
        return TEXTS.get(error.code, _UNAVAILABLE)
    return TEXTS.get(error.code, error.message)


def _headers(error: BillingError) -> Mapping[str, str]:
    if isinstance(error, RequestError):
        return error.headers
    if isinstance(error, FeatureDenied):
        return decision_headers(error.decision)
    if error.status == 503:
        return {"retry-after": str(error.retry_after if isinstance(error, Unavailable) else 60)}
    return {}
