"""Refusals as kavachOS words them: `{"error": …}`, on its own routes and nowhere else."""

from __future__ import annotations

import msgspec
from attrs import evolve

from ..errors import BillingError, InvalidInput, Unauthorized
from .messages import Response
from .problems import is_unexpected, wire_name
from .refusals import TEXTS
from .service import HttpSettings

PREFIX = "/auth/stripe/"
SIGN_IN = "Authentication required"
BAD_JSON = "Invalid JSON body"
NO_CUSTOMER = "No Stripe customer for user {user}"
NO_BODY = "Failed to read request body"


def is_kavach(settings: HttpSettings, path: str) -> bool:
    """Whether a path is answered as kavachOS does it."""
    return settings.kavach_routes and path.startswith(PREFIX)


def problem(error: Exception, elsewhere: Response) -> Response:
    """The answer for an error, of which `elsewhere` is the answer on other routes. It tells nothing from the inside."""
    return evolve(elsewhere, body=msgspec.json.encode({"error": _text(error)}))


def _text(error: Exception) -> str:
    if not isinstance(error, BillingError) or is_unexpected(error):
        return TEXTS["INTERNAL"]
    if isinstance(error, Unauthorized):
        return SIGN_IN
    if isinstance(error, InvalidInput):
        return f"{wire_name(error.field)} {error.message}"
    return TEXTS.get(error.code, error.message)
