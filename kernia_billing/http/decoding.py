"""From a request to a wire type: content type, JSON, query string, then every failure of the schema at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from attrs import frozen

from . import guarded_json
from .messages import Request
from .refusals import RequestError
from .wire import Nothing, Scope

S = TypeVar("S", bound=msgspec.Struct)

_JSON = re.compile(r"application/json[ \t]*(?:;[ \t]*charset=\"?utf-8\"?[ \t]*)?", re.IGNORECASE)
_EXPECTED = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?(.*)")
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_MAX_FIELDS = 100
_TYPES = {"str": "string", "int": "integer", "bool": "boolean", "float": "number", "datetime": "date"}
_BOOLEANS: Mapping[str, bool] = {"true": True, "false": False}


@frozen
class Failure:
    """One member that does not fit, and where it stood: "body", "query", "header" or "path"."""

    place: str
    name: str
    text: str

    @property
    def where(self) -> str:
        """The member with its place, `body.plan`; the place alone where there is no member."""
        return f"{self.place}.{self.name}" if self.name else self.place


def refuse(failures: list[Failure]) -> None:
    """Raise VALIDATION_ERROR, 400, with every failure in one message; do nothing when there is none."""
    if failures:
        message = "; ".join(f"[{each.where}] {each.text}" for each in failures)
        raise RequestError(message, code="VALIDATION_ERROR", members={"field": failures[0].name or failures[0].place})


async def read_members(request: Request, limit: int) -> Mapping[str, Any]:
    """The members of a JSON body. An empty body has none, whatever its content type.

    Raises:
        PayloadTooLarge: more than `limit` bytes.
        RequestError: 415, another content type or an encoding; 400, malformed JSON or not an object.
    """
    body = await request.read_body(limit)
    return members_of(request, body) if body else {}


def members_of(request: Request, body: bytes) -> Mapping[str, Any]:
    """The members of a JSON body that was read and is not empty. Raises what `read_members` raises."""
    # A form, a text and a body without a type reach a server from any page without a preflight; JSON does not.
    if not _JSON.fullmatch(request.headers.get("content-type", "").strip()):
        raise RequestError(
            "Content-Type is not allowed. Allowed types: application/json", code="UNSUPPORTED_MEDIA_TYPE", status=415
        )
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise RequestError("Content-Encoding is not allowed", code="UNSUPPORTED_MEDIA_TYPE", status=415)
    value = guarded_json.loads(body)
    if not isinstance(value, dict):
        refuse([Failure("body", "", f"Invalid input: expected object, received {_json_type(value)}")])
    return cast("dict[str, Any]", value)


def read_query(query: str, wire: type[msgspec.Struct]) -> tuple[Mapping[str, Any], list[Failure]]:
    """The members of a query string that `wire` names, turned from text into what it expects.

    Others are ignored. A named member that is given twice is a failure: servers and proxies disagree on which counts.

    Raises:
        RequestError: 400, not UTF-8, or more than 100 members.
    """
    if not query:
        return {}, []
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise RequestError("Invalid query string", code="BAD_REQUEST") from None
    expected = {each.encode_name: each.type for each in fields_of(wire)}
    members: dict[str, Any] = {}
    failures: list[Failure] = []
    for name, text in pairs:
        if name not in expected:
            continue
        if name in members:
            failures.append(Failure("query", name, "Invalid input: given more than once"))
        elif "\x00" in text:
            failures.append(Failure("query", name, "Invalid input: holds NUL"))
        members[name] = _from_text(text, expected[name])
    return members, failures


def convert(wire: type[S], members: Mapping[str, Any], places: Callable[[str], str], failures: list[Failure]) -> S:
    """The wire type that the members make; `places` says where a member stood.

    Null means absent, unknown members are ignored, nothing is coerced: "5" and 5.0 are no integers.

    Raises:
        RequestError: 400, with the failures found before and all those found here.
    """
    values: dict[str, Any] = {}
    for each in fields_of(wire):
        value = members.get(each.encode_name)
        if value is None:
            if each.required:
                failures.append(Failure(places(each.encode_name), each.encode_name, "Invalid input: required"))
            continue
        try:
            values[each.name] = msgspec.convert(value, each.type)
        except msgspec.ValidationError as error:
            failures.append(Failure(places(each.encode_name), each.encode_name, _text(str(error), each.type)))
    refuse(failures)
    return wire(**values)


async def read_body_input(
    request: Request, wire: type[S], limit: int, headers: Mapping[str, str], *, scoped: bool
) -> S:
    """The input of a route that takes a body.

    `headers` maps header names to the members that they may stand for. With `scoped`, `referenceId` and `customerType`
    may stand in the query as well; where a member is given in two places, both must say the same.

    Raises:
        RequestError: 415, or 400 with every failure.
    """
    body = await read_members(request, limit)
    query, failures = read_query(request.query, Scope if scoped else Nothing)
    members, places = dict(body), dict[str, str]()
    given = {member: request.headers[name] for name, member in headers.items() if name in request.headers}
    for place, others in (("query", query), ("header", given)):
        for name, value in others.items():
            if members.get(name) not in (None, value):
                failures.append(Failure(place, name, "Invalid input: differs from the body"))
            members[name], places[name] = value, place
    return convert(wire, members, lambda name: places.get(name, "body"), failures)


def read_query_input(request: Request, wire: type[S], named: Mapping[str, str]) -> S:
    """The input of a route that takes a query string only; `named` are the members that stand in its path.

    Raises:
        RequestError: 400 with every failure.
    """
    members, failures = read_query(request.query, wire)
    return convert(wire, {**members, **named}, lambda name: "path" if name in named else "query", failures)


@cache
def fields_of(wire: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The members of a wire type."""
    return msgspec.structs.fields(wire)


@cache
def parts_of(annotation: Any) -> frozenset[Any]:
    """The plain types and literal values in an annotation."""
    if get_origin(annotation) is Literal:
        return frozenset(get_args(annotation))
    inner = get_args(annotation)
    return frozenset(part for each in inner for part in parts_of(each)) if inner else frozenset({annotation})


def _from_text(text: str, annotation: Any) -> Any:
    parts = parts_of(annotation)
    if bool in parts:
        return _BOOLEANS.get(text, text)
    if int in parts and _WHOLE.fullmatch(text):
        return int(text)
    if datetime in parts and len(text) > 2 and text[0] == text[-1] == '"':
        # The browser client writes a Date in a query as JSON, with its quotes.
        return text[1:-1]
    return text


def _text(message: str, annotation: Any) -> str:
    """What msgspec says, in the words of the browser client's world, and without the value itself."""
    if message.startswith("Invalid enum value"):
        options = sorted(str(each) for each in parts_of(annotation) if isinstance(each, str))
        return "Invalid option: expected one of " + "|".join(f'"{each}"' for each in options)
    found = _EXPECTED.match(message)
    if found is None:
        return "Invalid input: expected an ISO 8601 date with a time zone"
    expected, received, rest = found.groups()
    names = " or ".join(_TYPES.get(each, each) for each in expected.split(" | ") if each != "null")
    if received is not None:
        kind = "number" if received in ("int", "float") else _TYPES.get(received, received)
        return f"Invalid input: expected {names}, received {kind}"
    return f"Invalid input: expected {names}" + ("" if "regex" in rest else " " + _limits(rest))


def _limits(rest: str) -> str:
    return rest.partition(" - at ")[0].strip().replace("timezone component", "time zone")


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "array" if isinstance(value, list) else "string" if isinstance(value, str) else "number"
