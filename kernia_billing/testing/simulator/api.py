"""The front door: a request comes in, passes every gate that Stripe has, is served under the lock, and is logged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, field

from .. import oracle
from ..oracle.forms import decode_form
from .errors import ApiError, ConnectionLost, Json, invalid, not_modelled
from .events import Cause
from .faults import Fault, strike
from .idempotency import IdempotencyStore
from .rendering import CURRENT_VERSION, VERSIONS, expand, render
from .router import Call, Route, Router
from .wire import Reply, Request, RequestRecord, Violation
from .world import World

_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_FAULT_CODES = {429: "rate_limit", 409: "lock_timeout"}


@define(eq=False)
class Api:
    """Serves requests against a world."""

    world: World
    router: Router
    key: str = field(repr=False)
    idempotency: IdempotencyStore = field(factory=IdempotencyStore, init=False)
    faults: list[Fault] = field(factory=list[Fault], init=False)
    records: list[RequestRecord] = field(factory=list[RequestRecord], init=False)
    violations: list[Violation] = field(factory=list[Violation], init=False)
    requests_checked: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    """Guards the logs and rules, so that a request is refused while another one holds the world."""

    def handle(self, request: Request) -> Reply:
        """Answer a request.

        Raises:
            ConnectionLost: a fault rule cut the connection.
        """
        request_id = self.world.ids.new("req", 14)
        with self._lock:
            fault = strike(self.faults, request.method, request.path)
        try:
            reply = self._struck(request, request_id, fault) if fault else self._serve(request, request_id)
        except ConnectionLost:
            self._record(request, request_id, None)
            raise
        self._record(request, request_id, reply.status)
        return reply

    def _struck(self, request: Request, request_id: str, fault: Fault) -> Reply:
        """Serve a request that a fault rule strikes."""
        if fault.kind == "timeout_before":
            raise ConnectionLost("timeout")
        if fault.kind == "html_502":
            return Reply(502, {"content-type": "text/html", "request-id": request_id}, _BAD_GATEWAY)
        if fault.kind in ("timeout_after", "reset_after"):
            self._serve(request, request_id)
            raise ConnectionLost(fault.kind.removesuffix("_after"))
        broken = _fault_error(fault)
        if not fault.sticky and not fault.apply:
            return self._with_fault_headers(self._error(broken, request, request_id), fault)

        def answer(work: Callable[[], Json]) -> Reply:
            if fault.apply:
                work()
            return self._error(broken, request, request_id)

        return self._with_fault_headers(self._serve(request, request_id, answer), fault)

    def _serve(
        self, request: Request, request_id: str, answer: Callable[[Callable[[], Json]], Reply] | None = None
    ) -> Reply:
        try:
            self._authenticate(request)
            version = _version(request)
            self._ask_oracle(request)
            route = self.router.find(request.method, request.path)
            call = self._read(route, request)
        except ApiError as refusal:
            return self._error(refusal, request, request_id)

        def work() -> Json:
            return self._work(route, call, version, Cause(request_id, request.headers.get("idempotency-key")))

        def execute() -> Reply:
            with self.world.lock:
                try:
                    return answer(work) if answer else self._ok(work(), request, request_id)
                except ApiError as refusal:
                    return self._error(refusal, request, request_id)

        return self._once(request, request_id, execute)

    def _read(self, route: Route, request: Request) -> Call:
        try:
            return route.call(request.path, _decode(request))
        except ApiError as refusal:
            if refusal.error["code"] == "parameter_unknown" and oracle.available():
                # The oracle let it pass, so that Stripe knows it.
                param = str(refusal.error["param"])
                raise not_modelled(f"the parameter {param}", param) from None
            raise

    def _once(self, request: Request, request_id: str, execute: Callable[[], Reply]) -> Reply:
        """Execute a POST once per idempotency key; other methods each time."""
        key = request.headers.get("idempotency-key")
        if request.method != "POST" or not key:
            return execute()
        fingerprint = f"{request.method} {request.path} {json.dumps(_decode(request), sort_keys=True)}"
        try:
            if len(key) > 255:
                raise invalid("Idempotency-Key must be at most 255 characters")
            kept = self.idempotency.begin(key, fingerprint, self.world.clock.seconds())
        except ApiError as refusal:
            return self._error(refusal, request, request_id)
        if kept is not None:
            return Reply(kept.status, {**kept.headers, "request-id": request_id}, kept.body)
        try:
            reply = execute()
        except BaseException:
            self.idempotency.abandon(key)
            raise
        self.idempotency.finish(key, fingerprint, self.world.clock.seconds(), reply)
        return reply

    def _work(self, route: Route, call: Call, version: str, cause: Cause) -> Json:
        world = self.world
        world.run_due(world.clock.seconds())
        world.events.cause = cause
        try:
            stored = route.handler(world, call)
            if stored.get("object") in ("list", "search_result"):
                shown = {**stored, "data": [render(world, item, version) for item in stored["data"]]}
            else:
                shown = render(world, stored, version)
        finally:
            world.events.cause = Cause()
        return world.check_object(expand(world, shown, call.expand))

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            message = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise ApiError(message, status=401)
        if key != self.key:
            raise ApiError(f"Invalid API Key provided: {key[:8]}{'*' * 8}{key[-4:]}", status=401)
        for header in ("stripe-account", "stripe-context"):
            if header in request.headers:
                raise not_modelled(f"connected accounts: the header {header}")

    def _ask_oracle(self, request: Request) -> None:
        judge = oracle.request_oracle()
        if judge is None:
            return
        report = judge.check_http(request.method, request.url, request.body, request.headers)
        with self._lock:
            self.requests_checked += 1
            oracle.totals["requests"] += 1
            if not report.ok:
                oracle.totals["refused_requests"] += 1
                self.violations.append(Violation(request.method, request.path, tuple(report.errors)))
        if not report.ok:
            raise _violation_error(report.errors[0])

    def _ok(self, shown: Json, request: Request, request_id: str) -> Reply:
        return self._reply(200, shown, request, request_id)

    def _error(self, error: ApiError, request: Request, request_id: str) -> Reply:
        return self._reply(error.status, error.body(request_id), request, request_id)

    def _reply(self, status: int, body: Json, request: Request, request_id: str) -> Reply:
        headers = {
            "content-type": "application/json",
            "request-id": request_id,
            "stripe-version": request.headers.get("stripe-version", CURRENT_VERSION),
        }
        key = request.headers.get("idempotency-key")
        if request.method == "POST" and key:
            headers |= {"idempotency-key": key, "original-request": request_id}
        return Reply(status, headers, json.dumps(body, indent=2).encode())

    def _with_fault_headers(self, reply: Reply, fault: Fault) -> Reply:
        more: dict[str, str] = {}
        if fault.retry_after is not None:
            more["retry-after"] = str(fault.retry_after)
        if fault.should_retry is not None:
            more["stripe-should-retry"] = str(fault.should_retry).lower()
        return Reply(reply.status, {**reply.headers, **more}, reply.body)

    def _record(self, request: Request, request_id: str, status: int | None) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        try:
            params = _decode(request)
        except ApiError:
            params = {}
        record = RequestRecord(request.method, request.path, params, headers, status, request_id)
        with self._lock:
            self.records.append(record)


def _decode(request: Request) -> dict[str, Any]:
    try:
        return decode_form(request.text)
    except ValueError as error:
        raise invalid(f"Invalid request: {error}") from None


def _version(request: Request) -> str:
    version = request.headers.get("stripe-version", CURRENT_VERSION)
    if version not in VERSIONS:
        raise invalid(f"Invalid Stripe API version: {version}")
    return version


def _fault_error(fault: Fault) -> ApiError:
    code = fault.code or _FAULT_CODES.get(fault.status)
    kind = "api_error" if fault.status >= 500 else "invalid_request_error"
    return ApiError("A simulated fault.", status=fault.status, type=kind, code=code)


def _violation_error(complaint: str) -> ApiError:
    """The refusal that Stripe would give for what the oracle complains about."""
    param, _, why = complaint.partition(": ")
    if why.startswith("unknown parameter"):
        if param == "payment_method_types":
            message = "`payment_method_types` is no longer supported; use `allowed_payment_method_types`."
            return ApiError(message, code="payment_method_types_no_longer_supported", param=param)
        return ApiError(f"Received unknown parameter: {param}. {why}", code="parameter_unknown", param=param)
    if why.startswith("required parameter missing"):
        return ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)
    if complaint.startswith("no such endpoint"):
        return ApiError(f"Unrecognized request URL: {complaint}", status=404)
    return invalid(f"Invalid {complaint}", param if why else None, "parameter_invalid")
