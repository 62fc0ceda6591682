"""Faults on calls: rules that say which request breaks, and how.

    simulator.faults.append(Fault("timeout_after", method="POST", path="/v1/checkout/sessions"))

A rule is used up after `times` matching calls (None: never); `skip` lets that many matching calls pass first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from attrs import define, evolve, field

from ..world.errors import ApiError, ConnectionLost, Json
from ..world.rules import strikes
from .wire import Reply, Request

Kind = Literal[
    "ok",
    "refuse_connect",
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "torn_before",
    "torn_after",
    "drip_before",
    "drip_after",
    "status",
    "html",
    "html_502",
    "redirect",
]
_CODES = {402: "card_declined", 404: "resource_missing", 409: "idempotency_key_in_use", 429: "rate_limit"}
_TYPES = {402: "card_error", "idempotency_key_in_use": "idempotency_error"}
_HALF_AN_OBJECT = b'{\n  "id": "'


@define
class Fault:
    """One rule.

    `ok`: nothing is wrong with this call. `refuse_connect`: no connection comes about. Of the pairs, `_before` does
    nothing and `_after` does the work, and keeps the answer under the idempotency key, before the answer is lost:
    `timeout_`: no answer comes. `reset_`: the connection breaks. `torn_`: status 200, and half of the body. `drip_`:
    the body comes byte by byte until the client gives up. `html`: a proxy's page of that `status`, nothing done, or
    with `apply` the work done behind it; `html_502` is the one of status 502. `redirect`: 302 to `location`, nothing
    done. `status`: Stripe answers `status` and does nothing; with `sticky` the answer is kept under the idempotency
    key, as Stripe keeps a 500; with `apply` the work is done all the same, and the answer kept, which makes the outcome
    unknown to the client.
    """

    kind: Kind
    status: int = 500
    method: str | None = None
    path: str | None = None
    """A path, where `*` stands for anything."""
    skip: int = field(default=0, kw_only=True)
    times: int | None = field(default=1, kw_only=True)
    sticky: bool = field(default=False, kw_only=True)
    apply: bool = field(default=False, kw_only=True)
    retry_after: int | None = field(default=None, kw_only=True)
    should_retry: bool | None = field(default=None, kw_only=True)
    """The header Stripe-Should-Retry; absent when None."""
    code: str | None = field(default=None, kw_only=True)
    """The error's code; lock_timeout for instance. 402, 404, 409 and 429 have theirs by default."""
    decline_code: str = field(default="generic_decline", kw_only=True)
    """Why the bank declined, for status 402."""
    location: str = field(default="https://elsewhere.example/", kw_only=True)

    def matches(self, method: str, path: str) -> bool:
        """Whether this rule strikes the call; counts it."""
        return self.method in (None, method) and self._fits(path) and strikes(self)

    def error(self) -> ApiError:
        """The error that a `status` answers."""
        code = self.code or _CODES.get(self.status)
        kind = _TYPES.get(self.status) or _TYPES.get(code or "", "invalid_request_error")
        more: Json = {"decline_code": self.decline_code} if self.status == 402 else {}
        kind = "api_error" if self.status >= 500 else kind
        if self.status == 401:
            code = None
        return ApiError("A simulated fault.", status=self.status, type=kind, code=code, **more)

    def on(self, reply: Reply) -> Reply:
        """The reply with the headers of advice that this rule adds."""
        more: dict[str, str] = {}
        if self.retry_after is not None:
            more["retry-after"] = str(self.retry_after)
        if self.should_retry is not None:
            more["stripe-should-retry"] = str(self.should_retry).lower()
        return evolve(reply, headers={**reply.headers, **more})

    def _fits(self, path: str) -> bool:
        if self.path is None:
            return True
        return re.fullmatch(re.escape(self.path).replace(r"\*", ".*"), path) is not None


def strike(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The first rule that strikes this call."""
    return next((fault for fault in faults if fault.matches(method, path)), None)


def broken(fault: Fault, request: Request, request_id: str, serve: Callable[[], Reply]) -> Reply:
    """What the client gets of a request whose connection or answer breaks; `serve` does the work.

    Raises:
        ConnectionLost: nothing comes back.
    """
    if fault.kind == "refuse_connect":
        raise ConnectionLost("refused")
    how, _, when = fault.kind.partition("_")
    if fault.kind in ("html", "html_502"):
        if fault.apply:
            serve()
        return fault.on(_page(502 if fault.kind == "html_502" else fault.status, request_id))
    if fault.kind == "redirect":
        return Reply(302, {"location": fault.location.rstrip("/") + request.path, "request-id": request_id}, b"")
    reply = serve() if when == "after" else Reply(200, {"content-type": "application/json"}, _HALF_AN_OBJECT * 2)
    if how in ("timeout", "reset"):
        raise ConnectionLost(how)
    return evolve(reply, body=reply.body[: len(reply.body) // 2], drips=how == "drip")


def _page(status: int, request_id: str) -> Reply:
    """What a proxy says in HTML."""
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(status, {"content-type": "text/html", "request-id": request_id}, page.encode())
