"""The front door: a request comes in, passes every gate that Stripe has, is served under the lock, and is logged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, field

from ... import oracle
from ...oracle.forms import decode_form, decode_json
from ..versions import CURRENT_VERSION, VERSIONS
from ..world.errors import ApiError, ConnectionLost, Json, invalid, not_modelled
from ..world.events import Cause
from ..world.ownership import clock_named
from ..world.rendering import expand, render
from ..world.world import World
from . import paging
from .faults import Fault, broken, strike
from .idempotency import IdempotencyStore
from .limits import Limits
from .router import Call, Route, Router
from .stream_tokens import STREAM_PATH, check_token
from .wire import Reply, Request, RequestRecord, Violation


@define(eq=False)
class Api:
    """Serves requests against a world."""

    world: World
    router: Router
    key: str = field(repr=False)
    limits: Limits = field(init=False)
    idempotency: IdempotencyStore = field(factory=IdempotencyStore, init=False)
    faults: list[Fault] = field(factory=list[Fault], init=False)
    records: list[RequestRecord] = field(factory=list[RequestRecord], init=False)
    violations: list[Violation] = field(factory=list[Violation], init=False)
    requests_checked: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    """Guards the logs and rules, so that a request is refused while another one holds the world."""

    def __attrs_post_init__(self) -> None:
        self.limits = Limits(self.world)

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
        if fault.kind == "ok":
            return self._serve(request, request_id)
        if fault.kind != "status":
            return broken(fault, request, request_id, lambda: self._serve(request, request_id))
        if not fault.sticky and not fault.apply:
            return fault.on(self._error(fault.error(), request, request_id))

        def answer(work: Callable[[], Json]) -> Reply:
            if fault.apply:
                work()
            return self._error(fault.error(), request, request_id)

        return fault.on(self._serve(request, request_id, answer))

    def _serve(
        self, request: Request, request_id: str, answer: Callable[[Callable[[], Json]], Reply] | None = None
    ) -> Reply:
        try:
            self._authenticate(request)
            version = self._version(request)
            self._ask_oracle(request)
            route = self.router.find(request.method, request.path)
            call = self._read(route, request)
            with self._lock:
                self.limits.count(route, call)
        except ApiError as refusal:
            return self._error(refusal, request, request_id)

        def work() -> Json:
            return self._work(route, call, version, Cause(request_id, request.headers.get("idempotency-key")))

        def execute() -> Reply:
            with self.limits.holding(route, call), self.world.lock:
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
        """Execute a request once per idempotency key; without one each time."""
        key = request.key
        if key is None:
            return self._unkept(request, request_id, execute)
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
        except ApiError as refusal:  # the work did not begin, so that there is nothing to keep
            self.idempotency.abandon(key)
            return self._error(refusal, request, request_id)
        except BaseException:
            self.idempotency.abandon(key)
            raise
        self.idempotency.finish(key, fingerprint, self.world.clock.seconds(), reply)
        return reply

    def _unkept(self, request: Request, request_id: str, execute: Callable[[], Reply]) -> Reply:
        try:
            return execute()
        except ApiError as refusal:
            return self._error(refusal, request, request_id)

    def _work(self, route: Route, call: Call, version: str, cause: Cause) -> Json:
        world = self.world
        world.run_due(world.clock.seconds())
        world.events.cause = cause
        try:
            with world.on_clock(clock_named(world, (call.ids, call.params))):
                stored = route.handler(world, call)
            shown = self._shown(stored, version)
        finally:
            world.events.cause = Cause()
        expanded = expand(world, shown, call.expand, version)
        if route.template.startswith("/v1/events"):  # checked when they were emitted, and perhaps of an older version
            return expanded
        world.check_object(expanded if version == CURRENT_VERSION else self._shown(stored, CURRENT_VERSION))
        return paging.bare(expanded)

    def _shown(self, stored: Json, version: str) -> Json:
        if stored.get("object") in ("list", "search_result", paging.PAGE):
            return {**stored, "data": [self._shown(item, version) for item in stored["data"]]}
        if stored.get("object") == "event":  # an event has the version that it was emitted in
            return dict(stored)
        return render(self.world, stored, version)

    def _authenticate(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            message = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise ApiError(message, status=401)
        if request.path == STREAM_PATH:
            check_token(self.world, key)
        elif key != self.key:
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

    def _version(self, request: Request) -> str:
        """The version that the request names, else the account's."""
        version = request.headers.get("stripe-version", self.world.event_version)
        if version not in VERSIONS:
            raise invalid(f"Invalid Stripe API version: {version}")
        return version

    def _ok(self, shown: Json, request: Request, request_id: str) -> Reply:
        return self._reply(200, shown, request, request_id)

    def _error(self, error: ApiError, request: Request, request_id: str) -> Reply:
        return self._reply(error.status, error.body(request_id), request, request_id)

    def _reply(self, status: int, body: Json, request: Request, request_id: str) -> Reply:
        headers = {
            "content-type": "application/json",
            "request-id": request_id,
            "stripe-version": request.headers.get("stripe-version", self.world.event_version),
        }
        if request.key is not None:
            headers |= {"idempotency-key": request.key, "original-request": request_id}
        return Reply(status, headers, json.dumps(body, indent=2).encode())

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
        return decode_json(request.text) if request.has_json else decode_form(request.text)
    except ValueError as error:
        raise invalid(f"Invalid request: {error}") from None


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
