"""From a request to a response: judge it in one fixed order, run one operation, encode what it answers.

The order: limits, path (404), method (405), origin (403), session (401), body and query (415, 400), schema (400),
reference (400, 401), redirect targets (403), operation.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from attrs import evolve

from ..domain.references import Identity, Reference
from ..errors import Forbidden, GuardError, IdempotencyMismatch, NotFound, Unauthorized
from ..ports.actor import acting_as, actor_of, current_actor
from . import kavach
from .authorize import resolve
from .call import Call
from .cors import preflight, share
from .decoding import read_body_input, read_query_input
from .messages import PayloadTooLarge, Request, Response, json_response
from .origin import check_origin
from .pacing import PACED
from .problems import is_unexpected, problem
from .refusals import RequestError
from .routes import Route, allow, find
from .service import Service
from .wire import Nothing, Scope

MAX_URL = 8 * 1024
MAX_HEADERS = 32 * 1024


async def dispatch(service: Service, request: Request) -> Response:
    """Answer one request. Raises no `Exception`: what nobody expected is reported and becomes a 500 with its id."""
    try:
        _check_limits(request)
        response = await _answer(service, request)
    except Exception as error:  # noqa: BLE001 - the last place where a client can still get an answer
        response = refusal(service, error, place="query" if request.method in ("GET", "HEAD") else "body")
        if kavach.is_kavach(service.settings, request.path):
            response = kavach.problem(error, response)
    response = share(service.settings, request, response)
    return evolve(response, body=b"") if request.method == "HEAD" else response


def refusal(service: Service, error: Exception, *, place: str = "body") -> Response:
    """The answer for an error, reported to the operator where it tells nothing to the client."""
    request_id = service.settings.ids.new("req")
    cause = error.__cause__ if isinstance(error, Unauthorized | Forbidden) else None
    culprit = error if is_unexpected(error) else cause
    if culprit is not None:
        service.settings.report(culprit, request_id)
    return problem(error, request_id, place=place)


def _check_limits(request: Request) -> None:
    if len(request.path) + len(request.query) > MAX_URL:
        raise RequestError("The URL is too long", code="URI_TOO_LONG", status=414)
    if sum(len(name) + len(value) for name, value in request.headers.items()) > MAX_HEADERS:
        raise RequestError("The headers are too large", code="HEADERS_TOO_LARGE", status=431)


async def _answer(service: Service, request: Request) -> Response:
    settings = service.settings
    found = find(
        request.path,
        has_webhook=settings.has_webhook,
        webhook_path=settings.webhook_path,
        kavach=settings.kavach_routes,
    )
    if found is None:
        raise NotFound("There is nothing at this path")
    methods, named = found
    asked = preflight(settings, request, allow(methods))
    if asked is not None:
        return asked
    return await _judged(service, _route(request, methods), request, named)


def _route(request: Request, methods: Mapping[str, Route]) -> Route:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max(each.limit for each in methods.values())):
        raise PayloadTooLarge
    route = methods.get(request.method)
    if route is None and request.method == "HEAD" and "GET" in methods and methods["GET"].safe:
        route = methods["GET"]
    if route is None:
        raise RequestError(
            _wrong_method(request, methods),
            code="METHOD_NOT_ALLOWED",
            status=405,
            headers={"allow": allow(methods)},
        )
    return route


def _wrong_method(request: Request, methods: Mapping[str, Route]) -> str:
    """Name the mistake: the browser client picks the method by whether it was given members."""
    path = next(iter(methods.values())).path
    if request.method == "POST":
        return f"{path} takes GET: put the members under `query`, as in {{ query: {{ referenceId }} }}"
    if request.method == "GET":
        return f"{path} takes POST: the client sends GET when it is called without members"
    return f"{path} takes {allow(methods)} only"


async def _judged(service: Service, route: Route, request: Request, named: Mapping[str, str]) -> Response:
    if route.origin_checked:
        check_origin(request.headers, service.settings.trusted)
    identity = await _identity(request) if route.needs_session else None
    actor = current_actor() if identity is None else actor_of("user", identity.user_id)
    try:
        with acting_as(actor):
            return await _operate(service, route, request, identity, named)
    except (Unauthorized, Forbidden, IdempotencyMismatch) as refused:
        _tell(service, "http.refused", route, actor, refused.code)
        raise


async def _operate(
    service: Service, route: Route, request: Request, identity: Identity | None, named: Mapping[str, str]
) -> Response:
    if identity is not None and route.action == "admin":
        await _require_admin(service, identity)
        _tell(service, "http.admin", route, current_actor(), None)
    if identity is not None and route.action in PACED:
        _check_pace(service, identity)
    found = await _input(route, request, named)
    reference = await _reference(service, route, identity, found)
    answer = await route.handler(Call(service, request, found, identity, reference))
    return answer if isinstance(answer, Response) else json_response(200, answer)


def _check_pace(service: Service, identity: Identity) -> None:
    pace = service.settings.pace
    wait = 0 if pace is None else pace.wait(identity.user_id)
    if wait:
        text = "Too many requests. Please try again later."
        raise RequestError(text, code="TOO_MANY_REQUESTS", status=429, headers={"retry-after": str(wait)})


def _tell(service: Service, event: str, route: Route, actor: str, code: str | None) -> None:
    """Note what an operator has to be able to look up: who was refused, and who acted as an administrator."""
    fields = {"route": f"{route.method} {route.path}", "actor": actor, "code": code}
    service.settings.telemetry.log("info", event, fields)


async def _identity(request: Request) -> Identity:
    identity: object = await request.identify()
    if identity is None:
        raise Unauthorized("Unauthorized")
    if not isinstance(identity, Identity):
        raise GuardError(f"identify() gave a {type(identity).__name__}; it must give an Identity or None")
    return identity


async def _require_admin(service: Service, identity: Identity) -> None:
    try:
        allowed: object = await service.is_admin(identity)
    except Exception as error:
        raise Forbidden from error
    if allowed is not True:
        raise Forbidden


async def _input(route: Route, request: Request, named: Mapping[str, str]) -> msgspec.Struct:
    if route.handler_reads:
        return Nothing()
    if route.method == "GET":
        return read_query_input(request, route.wire, named)
    return await read_body_input(request, route.wire, route.limit, route.headers, scoped=route.scoped is not None)


async def _reference(
    service: Service, route: Route, identity: Identity | None, found: msgspec.Struct
) -> Reference | None:
    action = route.scoped
    if action is None:
        return None
    if identity is None or not isinstance(found, Scope):
        raise GuardError(f"{route.path} is about a reference, so it needs a session and a Scope")
    return await resolve(service, identity, action, found.customer_type, found.reference_id)
