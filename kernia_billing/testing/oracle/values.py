"""Walk a decoded request along the TypedDict that describes it, and say where they part."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Union, cast, get_args, get_origin

from attrs import frozen

_INT = re.compile(r"^-?\d+$")
_UNIONS = (Union, types.UnionType)
_QUALIFIERS = ("typing.NotRequired", "typing_extensions.NotRequired", "typing.Required", "typing_extensions.Required")


def check_params(
    typed_dict: type, params: Mapping[str, Any], *, hints: Callable[[type], Mapping[str, Any]], form: bool
) -> list[str]:
    """The complaints about `params`, each beginning with the place, as `items[0][price]: …`.

    `hints` resolves a TypedDict's annotations; with `form` leaves are text, else JSON values.
    """
    return _Walk(hints, form).typed_dict(typed_dict, params, "")


@frozen
class _Walk:
    hints: Callable[[type], Mapping[str, Any]]
    form: bool

    def typed_dict(self, expected: type, value: Any, at: str) -> list[str]:
        if not isinstance(value, Mapping):
            return [f"{at or 'params'}: expected a map ({expected.__name__}), got {value!r}"]
        hints = self.hints(expected)
        errors: list[str] = []
        given = cast("Mapping[str, Any]", value)
        for key, inner in given.items():
            where = f"{at}[{key}]" if at else str(key)
            if key in hints:
                errors.extend(self.value(hints[key], inner, where))
            else:
                close = difflib.get_close_matches(str(key), list(hints), 1, 0.75)
                errors.append(f"{where}: unknown parameter" + (f"; did you mean {close[0]!r}" if close else ""))
        required: frozenset[str] = getattr(expected, "__required_keys__", frozenset())
        missing = [key for key in sorted(required) if key not in value]
        return [
            *errors,
            *(
                f"{at}[{key}]: required parameter missing" if at else f"{key}: required parameter missing"
                for key in missing
            ),
        ]

    def value(self, expected: Any, value: Any, at: str) -> list[str]:
        origin = get_origin(expected)
        if origin in _UNIONS:
            return self._union(expected, value, at)
        if str(origin) in _QUALIFIERS:
            return self.value(get_args(expected)[0], value, at)
        if value is None:
            why = "null is never encoded by a form; leave the key out or send an empty string"
            return [f"{at}: {why}" if self.form else f"{at}: null not accepted"]
        if origin is Literal:
            return self._literal(get_args(expected), value, at)
        if origin is list:
            return self._list(get_args(expected)[0], value, at)
        if origin is dict:
            if not isinstance(value, Mapping):
                return [f"{at}: expected a map, got {value!r}"]
            inner = (get_args(expected) or (str, Any))[1]
            given = cast("Mapping[str, Any]", value)
            return [error for key, item in given.items() for error in self.value(inner, item, f"{at}[{key}]")]
        if isinstance(expected, type) and hasattr(expected, "__required_keys__"):
            return self.typed_dict(expected, value, at)
        return self._scalar(expected, value, at)

    def _literal(self, allowed: tuple[Any, ...], value: Any, at: str) -> list[str]:
        if value in allowed:
            return []
        if self.form and any(isinstance(a, bool) and value == str(a).lower() for a in allowed):
            return []
        return [f"{at}: {value!r} is not one of {_short(allowed)}"]

    def _list(self, inner: Any, value: Any, at: str) -> list[str]:
        if self.form and isinstance(value, Mapping):
            given = cast("Mapping[str, Any]", value)
            if not given or not all(key.isdigit() for key in given):
                return [f"{at}: expected a list, got a map with keys {_short(tuple(given))}"]
            indexes = sorted(int(key) for key in given)
            gaps = [] if indexes == list(range(len(indexes))) else [f"{at}: list indexes {indexes} have gaps"]
            return gaps + [e for i in indexes for e in self.value(inner, given[str(i)], f"{at}[{i}]")]
        if not isinstance(value, list | tuple):
            return [f"{at}: expected a list, got {value!r}"]
        items = cast("Sequence[Any]", value)
        return [error for i, item in enumerate(items) for error in self.value(inner, item, f"{at}[{i}]")]

    def _scalar(self, expected: Any, value: Any, at: str) -> list[str]:
        name = _name(expected)
        if expected is Any or expected is object or name == "IO":
            return []
        if isinstance(value, Mapping | list | tuple):
            return [f"{at}: expected {name}, got {'a map' if isinstance(value, Mapping) else 'a list'}"]
        if expected in _SCALARS:
            return [] if _SCALARS[expected](value, form=self.form) else [f"{at}: {value!r} is not a valid {name}"]
        if name in ("UntypedStripeObject", "StripeObject"):
            # An in-process alternative to a plain dict, never on the wire.
            return [f"{at}: {value!r} is not a valid {name}"]
        return [f"{at}: the oracle does not know type {expected!r}"]

    def _union(self, expected: Any, value: Any, at: str) -> list[str]:
        branches = list(get_args(expected))
        literals = [v for branch in branches if get_origin(branch) is Literal for v in get_args(branch)]
        if str in branches and any(v != "" for v in literals):
            branches.remove(str)  # the opened enum of stripe >= 15.4
        if self.form and value == "" and "" not in literals and str not in branches:
            return [f"{at}: an empty string (unset) is not accepted here"]
        tried: list[tuple[int, list[str]]] = []
        for branch in branches:
            if branch is type(None):
                if value is None:
                    return []
                continue
            errors = self.value(branch, value, at)
            if not errors:
                return []
            tried.append((_likeness(branch, value), errors))
        likest = max((likeness for likeness, _ in tried), default=0)
        if likest:
            return min((errors for likeness, errors in tried if likeness == likest), key=len)
        return [f"{at}: {value!r} fits none of {' | '.join(_name(branch) for branch in branches)}"]


def _likeness(branch: Any, value: Any) -> int:
    """How much a branch has the shape of the value: the complaints of the likest branch are the telling ones."""
    if isinstance(value, Mapping):
        return 2 if hasattr(branch, "__required_keys__") or get_origin(branch) in (dict, list) else 0
    return 1 if isinstance(value, list) and get_origin(branch) is list else 0


def _is_bool(value: Any, *, form: bool) -> bool:
    return isinstance(value, bool) or (form and value in ("true", "false"))


def _is_int(value: Any, *, form: bool) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return form and isinstance(value, str) and bool(_INT.match(value))


def _is_float(value: Any, *, form: bool) -> bool:
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    return form and _is_number(value)


def _is_decimal(value: Any, *, form: bool) -> bool:
    if isinstance(value, Decimal | int):
        return not isinstance(value, bool)
    return isinstance(value, str) and _is_number(value)


def _is_text(value: Any, *, form: bool) -> bool:
    if isinstance(value, str):
        return True
    return form and isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    try:
        return Decimal(str(value)).is_finite()
    except (InvalidOperation, ValueError):
        return False


_SCALARS: dict[Any, Callable[..., bool]] = {
    bool: _is_bool,
    int: _is_int,
    float: _is_float,
    Decimal: _is_decimal,
    str: _is_text,
}


def _name(expected: Any) -> str:
    if get_origin(expected) is Literal:
        return f"enum{_short(get_args(expected))}"
    name: str | None = getattr(get_origin(expected) or expected, "__name__", None)
    return name or str(expected)


def _short(values: tuple[Any, ...]) -> str:
    shown = [repr(value) for value in values[:8]]
    more = [f"... {len(values) - 8} more"] if len(values) > 8 else []
    return f"({', '.join(shown + more)})"
