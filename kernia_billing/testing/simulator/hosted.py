"""Serves the hosted pages without any web framework: method, path and form in, status, headers and body out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import actions, pages
from .errors import ApiError, CardDeclined, Json, SimulatorError
from .state import State

_CHECKOUT = re.compile(r"^/c/pay/(cs_test_\w+)$")
_PORTAL = re.compile(r"^/p/session/(bps_\w+)$")
_HTML = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
}


def hosted(state: State, method: str, path: str, form: Mapping[str, str]) -> actions.Script:
    """A script that answers `(status, headers, body)`.

    `GET /c/pay/<session>` is the checkout page; `POST` pays with the form's `card` and sends the browser to
    success_url, `{CHECKOUT_SESSION_ID}` filled in. `GET /p/session/<id>` is the portal page.
    """
    bare = path.partition("?")[0]
    found = _CHECKOUT.match(bare) or _PORTAL.match(bare)
    if found is None:
        return _html(404, pages.error_page(state, "There is no such page."))
    try:
        if found.re is _PORTAL:
            allowed = method in ("GET", "HEAD")
            return _html(200, pages.portal_page(state, found[1])) if allowed else _not_allowed(state)
        if method in ("GET", "HEAD"):
            return _html(200, pages.checkout_page(state, found[1]))
        if method == "POST":
            return (yield from _pay(state, found[1], form))
    except ApiError as refusal:
        return _html(404, pages.error_page(state, str(refusal)))
    return _not_allowed(state)


def _pay(state: State, session_id: str, form: Mapping[str, str]) -> actions.Script:
    card = form.get("card", "")
    session = state.world.table("checkout.session").get(session_id)
    try:
        if session["status"] != "complete":  # a second click on the button leads where the first one did
            yield from actions.pay(state, session_id, card)
    except CardDeclined as declined:
        return _html(402, pages.checkout_page(state, session_id, error=str(declined), card=card))
    except SimulatorError as refusal:
        return _html(400, pages.checkout_page(state, session_id, error=str(refusal), card=card))
    target = str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session_id)
    return 303, {"location": target, "cache-control": "no-store"}, b""


def _html(status: int, page: str) -> tuple[int, Json, bytes]:
    return status, dict(_HTML), page.encode()


def _not_allowed(state: State) -> tuple[int, Json, bytes]:
    return _html(405, pages.error_page(state, "This page does not take such a request."))
