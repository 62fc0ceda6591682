"""How a gate's refusal is shown: JSON to programs, the paywall to people in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from ..errors import BillingError, FeatureDenied, SubscriptionRequired, Unauthorized
from .messages import Response, redirect_response
from .problems import problem
from .refusals import ReferenceRefused

DENIALS = (FeatureDenied, SubscriptionRequired, Unauthorized, ReferenceRefused)
"""The errors that a gate (and `consume`) raises for what a caller did. Every other one is the application's own
mistake or a failure, and is not for an integration to render as a refusal."""


def denial_response(
    method: str, headers: Mapping[str, str], error: BillingError, *, paywall_url: str, request_id: str
) -> Response:
    """The response for one of `DENIALS`.

    A browser that navigates (GET or HEAD, and `Accept` prefers `text/html` to JSON) is redirected to
    `paywall_url?reason=…` when a plan would help: with the decision's reason, or `subscription_required`. Everybody
    else gets the flat JSON of the routes, 402, 401 or 400. `headers` have lower-case names.
    """
    reason = _reason(error)
    if reason is not None and method in ("GET", "HEAD") and prefers_html(headers.get("accept", "")):
        return redirect_response(_with_reason(paywall_url, reason))
    return problem(error, request_id)


def prefers_html(accept: str) -> bool:
    """Whether an `Accept` header names `text/html` and gives it at least the weight of JSON (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        weights[name] = _weight(parameters)
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    return html > 0 and html >= weights.get("application/json", 0.0)


def _weight(parameters: list[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def _reason(error: BillingError) -> str | None:
    if isinstance(error, FeatureDenied):
        return error.decision.reason
    return "subscription_required" if isinstance(error, SubscriptionRequired) else None


def _with_reason(url: str, reason: str) -> str:
    base, mark, fragment = url.partition("#")
    separator = "&" if "?" in base else "?"
    return f"{base}{separator}reason={quote(reason, safe='')}{mark}{fragment}"
