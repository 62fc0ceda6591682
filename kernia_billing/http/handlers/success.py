"""`GET /subscription/success`: where Checkout sends the buyer, on the way back to the application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ...domain.ids import stripe_id
from ...domain.references import Identity
from ...domain.urls import SESSION_ID, TrustedOrigins
from ...errors import BillingError, InvalidInput, UntrustedUrl
from ..authorize import resolve
from ..call import Call
from ..decoding import convert
from ..messages import Response, redirect_response
from ..problems import is_unexpected
from ..wire import Nothing, Scope

_PLACEHOLDER = re.compile(re.escape(SESSION_ID) + r"|%7BCHECKOUT_SESSION_ID%7D", re.IGNORECASE)


async def success(call: Call[Nothing]) -> Response:
    """Bring the purchase in if it is the signed-in caller's own, and go on to `callbackURL` in any case.

    Anybody can call this with anything, so it trusts nothing: the session must belong to a reference for which the
    caller may buy. What goes wrong is reported and never keeps a buyer from arriving.

    Raises:
        UntrustedUrl: `callbackURL` would lead elsewhere, 403. There is no other error.
    """
    members = _members(call.request.query)
    target = _target(members, call.service.settings.trusted)
    session_id = _session_id(members.get("checkoutSessionId"))
    if session_id is not None:
        try:
            await _sync(call, members, session_id)
        except Exception as error:  # noqa: BLE001 - the buyer has paid and must arrive
            _report(call, error)
    return redirect_response(_PLACEHOLDER.sub(session_id or "", target))


async def _sync(call: Call[Nothing], members: Mapping[str, str], session_id: str) -> None:
    identity = await call.request.identify()
    if not isinstance(identity, Identity):
        return
    scope = convert(Scope, members, lambda _: "query", [])
    reference = await resolve(call.service, identity, "upgrade-subscription", scope.customer_type, scope.reference_id)
    await call.service.sync_checkout(reference, session_id)


def _members(query: str) -> dict[str, str]:
    """The members of the query; one that is given twice might be read differently by each who looks at it."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise UntrustedUrl("callbackURL") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise UntrustedUrl("callbackURL")
    return dict(pairs)


def _target(members: Mapping[str, str], trusted: TrustedOrigins) -> str:
    try:
        return trusted.resolve(members.get("callbackURL", "/"), "callbackURL")
    except InvalidInput:
        raise UntrustedUrl("callbackURL") from None


def _session_id(value: Any) -> str | None:
    try:
        return stripe_id(value, "cs")
    except InvalidInput:
        return None


def _report(call: Call[Nothing], error: Exception) -> None:
    cause = error.__cause__ if isinstance(error, BillingError) else None
    if is_unexpected(error) or cause is not None:
        settings = call.service.settings
        settings.report(error, settings.ids.new("req"))
