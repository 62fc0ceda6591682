"""Requests to Stripe and its replies as plain values: what to send, and what came back, without any network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from attrs import field, frozen

from ..domain.secret import Secret
from ..errors import GuardError, InvalidInput, Unavailable
from ..ports.stripe import Method, StripePage
from .encode import encode
from .versions import STRIPE_API_VERSION, user_agent

HOST = "api.stripe.com"
ORIGIN = f"https://{HOST}"
MAX_REPLY_BYTES = 8 * 1024 * 1024
PAGE_SIZE = 100

_PATH = re.compile(r"/v1(?:/[A-Za-z0-9_.-]+)+")
_THIN_EVENT = re.compile(r"/v2/core/events/[A-Za-z0-9_]+")
"""What a thin notification leaves out can be read in this version only, whose writes are JSON."""
_KEY = re.compile(r"[!-~]{1,255}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REPEATED = re.compile(r"already exists with identifier", re.IGNORECASE)
_IDENTIFIER = re.compile(r"\bidentifiers?\b", re.IGNORECASE)
_STRIPE_WORD = re.compile(r"[A-Za-z0-9_]{1,80}")
_STRIPE_PARAM = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,160}")


@frozen
class Call:
    """One logical request: every attempt sends the same bytes under the same key."""

    method: Method
    path: str
    url: str = field(repr=False)
    body: bytes | None = field(repr=False)
    idempotency_key: str | None

    def headers(self, key: Secret) -> dict[str, str]:
        """The headers to send. Made for each attempt, so that the account's key lives no longer than it must."""
        headers = {
            "Authorization": f"Bearer {key.reveal()}",
            "Stripe-Version": STRIPE_API_VERSION,
            "User-Agent": user_agent(),
            "Accept": "application/json",
            # Without compression the cap on the reply is a cap on memory: nothing can unfold behind it.
            "Accept-Encoding": "identity",
        }
        if self.body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if self.idempotency_key is not None:
            headers["Idempotency-Key"] = self.idempotency_key
        return headers


def prepare(method: Method, path: str, params: Mapping[str, Any] | None, idempotency_key: str | None) -> Call:
    """Judge and encode a request.

    Raises:
        GuardError: a path outside `/v1/…` or with characters that no Stripe path has, but for reading an event under
            `/v2/core/events/…`; another method, or a POST without an idempotency key.
        InvalidInput: a parameter or a key that cannot be sent.
    """
    if method not in ("GET", "POST", "DELETE"):
        raise GuardError("a Stripe request is a GET, a POST or a DELETE")
    is_event = method == "GET" and _THIN_EVENT.fullmatch(path) is not None
    if not (is_event or _PATH.fullmatch(path)) or ".." in path or "/./" in f"{path}/":
        raise GuardError("a Stripe path is /v1/… with letters, digits, '_', '-' and '.' only")
    encoded = encode(params)
    if method == "POST":
        return Call(method, path, ORIGIN + path, encoded.encode("ascii"), _checked_key(idempotency_key))
    # Stripe ignores keys on GET and DELETE and advises against sending them.
    return Call(method, path, f"{ORIGIN}{path}?{encoded}" if encoded else ORIGIN + path, None, None)


def _checked_key(key: object) -> str:
    if key is None:
        raise GuardError("every POST to Stripe needs an idempotency_key: without it a retry could act twice")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise InvalidInput("an idempotency key is 1 to 255 visible ASCII characters", field="idempotency_key")
    return key


@frozen
class Reply:
    """What Stripe, or something on the way to it, answered. `json` is None when the body is no JSON object."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    json: Mapping[str, Any] | None = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether the request was carried out and its object arrived."""
        return 200 <= self.status < 300 and self.json is not None

    @property
    def torn(self) -> bool:
        """Whether the request was carried out but its object did not arrive."""
        return 200 <= self.status < 300 and self.json is None

    @property
    def judged(self) -> bool:
        """Whether this is Stripe's own refusal: all of them name their type, a page of a proxy does not."""
        return 400 <= self.status < 500 and self.error("type") is not None

    @property
    def request_id(self) -> str | None:
        """What Stripe's support asks for."""
        return _matching(_REQUEST_ID, self.headers.get("request-id"))

    def error(self, name: str) -> str | None:
        """A word of Stripe's error object: `type`, `code` or `decline_code`; None where it has no sane one."""
        return _matching(_STRIPE_WORD, self._error_member(name))

    @property
    def param(self) -> str | None:
        """The parameter that Stripe objects to; where it names none, `identifier` if the text is about one."""
        named = _matching(_STRIPE_PARAM, self._error_member("param"))
        return "identifier" if named is None and self._says(_IDENTIFIER) else named

    @property
    def repeats_identifier(self) -> bool:
        """Whether Stripe refused a meter event because it has one of that identifier.

        The second version of the API has a code for it (Stripe, "Create a meter event"), the first one only a text.
        """
        return self.error("code") == "duplicate_meter_event" or self._says(_REPEATED)

    def _says(self, pattern: re.Pattern[str]) -> bool:
        message = self._error_member("message")
        return isinstance(message, str) and pattern.search(message) is not None

    def _error_member(self, name: str) -> object:
        error: object = (self.json or {}).get("error")
        return _object(error).get(name)


@frozen
class NoReply:
    """No usable answer. `sent`: Stripe may have got the request; `again`: another attempt may fare better."""

    sent: bool
    again: bool = True


def decode(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`, or None if it is anything else: HTML, a cut text, a list, NaN, nesting without end."""
    try:
        value: object = json.loads(body.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def page_params(params: Mapping[str, Any] | None, after: str | None) -> dict[str, Any]:
    """`params` for one page of a list: as many objects as Stripe gives at once, behind the object `after`."""
    return {**(params or {}), "limit": PAGE_SIZE, "starting_after": after}


def page_of(reply: Mapping[str, Any]) -> StripePage:
    """Read a list object.

    Raises:
        Unavailable: it is not one, or it promises more without an id from which to go on.
    """
    data: object = reply.get("data")
    has_more: object = reply.get("has_more")
    if not isinstance(data, list) or not isinstance(has_more, bool):
        raise Unavailable("Stripe's list could not be read")
    objects = [_object(each) for each in cast("list[object]", data)]
    if not all(objects) or (has_more and not (objects and isinstance(objects[-1].get("id"), str))):
        raise Unavailable("Stripe's list could not be read")
    return StripePage(data=objects, has_more=has_more)


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
