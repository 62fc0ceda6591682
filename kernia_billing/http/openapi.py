"""The OpenAPI 3.1 description, made from the route table and the wire types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from .answers import KavachProblemView, ProblemView
from .decoding import fields_of
from .examples import BODIES
from .routes import KAVACH_ROUTES, ROUTES, Route, path_members
from .wire import Nothing, Scope

_REF = "#/components/schemas/{name}"
_QUOTAS = {
    "RateLimit-Policy": "Every quota that concerns the request, as draft-ietf-httpapi-ratelimit-headers-11 has it.",
    "RateLimit": "What is left of them, and for how long. What is missing has no quota.",
    "Retry-After": "After so many seconds a refusal will have healed by itself. Missing where it never does.",
}
_SECURITY = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "session",
        "description": "The application's own session, under its own name. Writes need a trusted Origin beside it.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The application's own token, where it has them."},
}
_SIGNATURE = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "description": "Stripe's signature over the bytes of the body.",
    "schema": {"type": "string"},
}


@cache
def document(server: str, *, has_webhook: bool, kavach: bool = False) -> Mapping[str, Any]:
    """The description of the surface that is mounted at the URL `server`."""
    all_routes = (*ROUTES, *KAVACH_ROUTES) if kavach else ROUTES
    routes = [route for route in all_routes if has_webhook or route.action != "signed"]
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip((str(each) for each in types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Billing", "version": "1"},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }


def _types(routes: Sequence[Route]) -> list[Any]:
    found: list[Any] = [ProblemView, KavachProblemView, Scope]
    for route in routes:
        found += [each for each in (route.wire, route.answer) if each is not None and each not in found]
    return found


def _operation(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()} {route.path}".replace("/", " ").title().replace(" ", ""),
        "security": [{name: []} for name in _SECURITY] if route.needs_session else [],
        "responses": _responses(route, schemas),
        "x-kernia-action": route.action,
    }
    if route.method == "POST" and route.wire is not Nothing:
        required = any(each.required for each in fields_of(route.wire))
        content = _content(schemas[str(route.wire)], BODIES.get(route.path))
        operation["requestBody"] = {"required": required, **content}
    if route.action == "signed":
        operation["requestBody"] = {"required": True, **_content({"type": "object"})}
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    """The path, the query, and the headers that stand for members."""
    wire = route.wire if route.method == "GET" else Scope if route.scoped else Nothing
    members = _properties(wire)
    in_path = path_members(route.path)
    found = [
        {
            "name": each.encode_name,
            "in": "path" if each.encode_name in in_path else "query",
            "required": each.required,
            "schema": members[each.encode_name],
        }
        for each in fields_of(wire)
    ]
    body = _properties(route.wire)
    found += [
        {"name": header, "in": "header", "required": False, "schema": body[member]}
        for header, member in route.headers.items()
    ]
    return [*found, _SIGNATURE] if route.action == "signed" else found


def _properties(wire: type[msgspec.Struct]) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = msgspec.json.schema(wire)["$defs"][wire.__name__].get("properties", {})
    return properties


def _responses(route: Route, schemas: Mapping[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if 302 in route.refusals:
        responses["302"] = {"description": "Found", "headers": {"Location": {"schema": {"type": "string"}}}}
    else:
        answer = {"type": "object"} if route.answer is None else schemas[str(route.answer)]
        responses["200"] = {"description": "OK", **_content(answer), **_told(route)}
    refusal = schemas[str(KavachProblemView if route in KAVACH_ROUTES else ProblemView)]
    for status in sorted({*_common(route), *route.refusals} - {302}):
        told = _told(route) if status == HTTPStatus.PAYMENT_REQUIRED else {}
        responses[str(status)] = {"description": _phrase(status), **_content(refusal), **told}
    return responses


def _told(route: Route) -> dict[str, Any]:
    """The headers that tell of quotas."""
    if not route.tells_quotas:
        return {}
    return {"headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _QUOTAS.items()}}


def _common(route: Route) -> set[int]:
    """What any route of this kind may answer."""
    statuses = {405, 414, 431, 500}
    if route.method == "POST":
        statuses |= {400, 408, 411, 413}
    if route.method == "POST" and route.action != "signed":
        statuses.add(415)
    if route.needs_session:
        statuses |= {400, 401, 503}
    if route.origin_checked or route.action == "admin":
        statuses.add(403)
    return statuses


def _content(schema: Mapping[str, Any], example: Mapping[str, Any] | None = None) -> dict[str, Any]:
    shown = {} if example is None else {"example": dict(example)}
    return {"content": {"application/json": {"schema": schema, **shown}}}


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
