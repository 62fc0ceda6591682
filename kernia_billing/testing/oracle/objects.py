"""Is this an object that Stripe gives out in the current version?

Checks decoded JSON objects (answers of the API, `data.object` of events) against the response classes of the installed
`stripe` package: unknown fields, wrong types, values outside an enum, missing required fields, nested ones included.
Enums typed `Literal[...] | str` are held to their literals.

    errors = ObjectOracle().check(customer)      # customer["object"] picks the class
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

from .classes import ResponseClass, ResponseClasses

Check: TypeAlias = Callable[[Any, str], list[str]]
"""Takes a value and its place, gives complaints."""


THIN = "v2.core.event"
"""What events of the v2 API say that they are."""


class ObjectOracle:
    """Judges objects by the installed `stripe` package. Raises `ImportError` where it is not installed."""

    def __init__(self) -> None:
        stripe = importlib.import_module("stripe")
        self.classes = ResponseClasses(Path(str(stripe.__file__)).resolve().parent)
        self._checks: dict[ResponseClass, dict[str, Check]] = {}

    def check(self, value: Mapping[str, Any], *, object_name: str | None = None) -> list[str]:
        """The complaints about one object, each beginning with the place."""
        name = object_name or value.get("object")
        found = self.classes.of(str(name))
        if found is None:
            return [f"no class for object {name!r}"]
        if name == THIN:
            return self._thin(found, value)
        if str(name).startswith("v2.") and set(value) == {"id", "object"}:
            return []  # what a deletion of the v2 API answers
        return self._object(found, value, "")

    def check_event(self, event: Mapping[str, Any]) -> list[str]:
        """The complaints about an event and about the object in it."""
        errors = self.check(event, object_name="event")
        data: Mapping[str, Any] = event.get("data") or dict[str, Any]()
        inner: Any = data.get("object")
        if isinstance(inner, dict):
            complaints = self.check(cast("dict[str, Any]", inner))
            errors += [f"data.object{e}" if e.startswith("[") else f"data.object.{e}" for e in complaints]
        return errors

    def _thin(self, common: ResponseClass, event: Mapping[str, Any]) -> list[str]:
        """The complaints about an event of the v2 API: its type has a class of its own beside the common one."""
        own = self.classes.event(str(event.get("type")))
        if own is None:
            return [f"no class for events of type {event.get('type')!r}"]
        shared = {key: value for key, value in event.items() if key in common.fields or key not in own.fields}
        special = {key: value for key, value in event.items() if key in own.fields}
        return self._object(common, shared, "") + self._object(own, special, "")

    def _object(self, expected: ResponseClass, value: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{at or 'value'}: expected an object ({expected.name}), got {value!r}"]
        given = cast("dict[str, Any]", value)
        prefix = f"{at}." if at else ""
        checks = self._checks_of(expected)
        errors: list[str] = []
        for key, inner in given.items():
            if key in checks:
                errors += checks[key](inner, prefix + key)
            else:
                errors.append(f"{prefix}{key}: unknown field")
        if given.get("deleted") is True:
            return errors
        missing = [key for key in expected.fields if key not in given and key not in expected.optional]
        return errors + [f"{prefix}{key}: required field missing" for key in missing]

    def _checks_of(self, expected: ResponseClass) -> dict[str, Check]:
        if expected not in self._checks:
            self._checks[expected] = {
                name: self._compile(expected, annotation) for name, annotation in expected.fields.items()
            }
        return self._checks[expected]

    def _compile(self, scope: ResponseClass, annotation: ast.expr) -> Check:
        """The check of one annotation; nested classes are looked up when a value first needs them."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.Subscript):
            return self._compile_generic(scope, annotation)
        name = ast.unparse(annotation).rsplit(".", 1)[-1]
        if name in ("Any", "None"):
            return _anything
        if name in _SCALARS:
            return _not_null(_SCALARS[name])
        return _not_null(self._nested(scope, name))

    def _compile_generic(self, scope: ResponseClass, annotation: ast.Subscript) -> Check:
        head = ast.unparse(annotation.value).rsplit(".", 1)[-1]
        argument = annotation.slice
        branches = list(argument.elts) if isinstance(argument, ast.Tuple) else [argument]
        if head == "Optional":
            inner = self._compile(scope, argument)
            return lambda value, at: [] if value is None else inner(value, at)
        if head == "Union":
            return _not_null(self._union(scope, branches))
        if head == "Literal":
            return _not_null(_literal([b.value for b in branches if isinstance(b, ast.Constant)]))
        if head == "List":
            return _not_null(_list_of(self._compile(scope, argument)))
        if head == "ListObject":
            return _not_null(_list_object(self._compile(scope, argument)))
        if head == "ExpandableField":
            whole = self._compile(scope, argument)
            return _not_null(lambda value, at: [] if isinstance(value, str) else whole(value, at))
        if head in ("UntypedStripeObject", "Dict"):
            return _not_null(_map_of(self._compile(scope, branches[-1])))
        return lambda _value, at: [f"{at}: unknown generic {head}"]

    def _nested(self, scope: ResponseClass, name: str) -> Check:
        @cache
        def target() -> ResponseClass | None:
            return scope.find(name)

        def check(value: Any, at: str) -> list[str]:
            expected = target()
            return [f"{at}: unknown type {name}"] if expected is None else self._object(expected, value, at)

        return check

    def _union(self, scope: ResponseClass, branches: Sequence[ast.expr]) -> Check:
        texts = [ast.unparse(branch) for branch in branches]
        if "str" in texts and any(text.startswith("Literal[") for text in texts):
            branches = [branch for branch, text in zip(branches, texts, strict=True) if text != "str"]
        choices = [(ast.unparse(branch).strip("'\""), self._compile(scope, branch)) for branch in branches]

        def check(value: Any, at: str) -> list[str]:
            complaints: list[list[str]] = []
            for name, choice in choices:
                if isinstance(value, dict) and _is_other(scope.find(name), cast("dict[str, Any]", value)):
                    continue
                complaints.append(choice(value, at))
                if not complaints[-1]:
                    return []
            return min(complaints, key=len, default=[f"{at}: fits no branch of the union"])

        return check


def _is_other(candidate: ResponseClass | None, value: Mapping[str, Any]) -> bool:
    if "object" not in value or candidate is None or candidate.object_name is None:
        return False
    return bool(candidate.object_name != value["object"])


def _anything(value: Any, at: str) -> list[str]:
    return []


def _not_null(check: Check) -> Check:
    return lambda value, at: [f"{at}: null, but the field is not nullable"] if value is None else check(value, at)


def _literal(allowed: list[Any]) -> Check:
    def check(value: Any, at: str) -> list[str]:
        good = isinstance(value, str | bool) and value in allowed
        return [] if good else [f"{at}: {value!r} not in {allowed[:12]}"]

    return check


def _list_of(inner: Check) -> Check:
    def check(value: Any, at: str) -> list[str]:
        if not isinstance(value, list):
            return [f"{at}: expected a list, got {type(value).__name__!r}"]
        return [e for i, item in enumerate(cast("list[Any]", value)) for e in inner(item, f"{at}[{i}]")]

    return check


def _list_object(inner: Check) -> Check:
    def check(value: Any, at: str) -> list[str]:
        if not isinstance(value, dict) or cast("dict[str, Any]", value).get("object") != "list":
            return [f"{at}: expected a list object"]
        page = cast("dict[str, Any]", value)
        errors = [f"{at}.{key}: required field missing" for key in ("data", "has_more", "url") if key not in page]
        return errors + [e for i, item in enumerate(page.get("data") or []) for e in inner(item, f"{at}.data[{i}]")]

    return check


def _map_of(inner: Check) -> Check:
    def check(value: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{at}: expected a map, got {value!r}"]
        return [e for key, item in cast("dict[str, Any]", value).items() for e in inner(item, f"{at}.{key}")]

    return check


def _scalar(accepts: Callable[[Any], bool], what: str) -> Check:
    return lambda value, at: [] if accepts(value) else [f"{at}: {value!r} is not {what}"]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_decimal(value: Any) -> bool:
    try:
        return isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        return False


_SCALARS: dict[str, Check] = {
    "str": _scalar(lambda value: isinstance(value, str), "a string"),
    "bool": _scalar(lambda value: isinstance(value, bool), "a bool"),
    "int": _scalar(_is_int, "an integer"),
    "float": _scalar(_is_float, "a number"),
    "Decimal": _scalar(_is_decimal, "a decimal string"),
}
