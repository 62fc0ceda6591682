"""Arguments from JSON, held against the annotations of what takes them, so that a slip is named and nothing is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from ..world.errors import SimulatorError

_WORDS: dict[object, str] = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text",
    tuple: "a list",
}


def arguments(of: Callable[..., object], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a function, or of a class of attrs, from the members of a JSON object.

    Raises:
        SimulatorError: one is missing, unknown, or of a type that does not fit.
    """
    hints = get_type_hints(of)
    parameters = inspect.signature(of).parameters.values()
    named = {each.name: each for each in parameters if each.name in hints and each.kind is not each.VAR_KEYWORD}
    named = {name: each for name, each in named.items() if each.kind is not each.POSITIONAL_ONLY}
    others = next((hints[each.name] for each in parameters if each.kind is each.VAR_KEYWORD), None)
    if others is None:
        refuse_unknown(given, named)
    missing = next((name for name, each in named.items() if each.default is each.empty and name not in given), None)
    if missing is not None:
        raise SimulatorError(f"{missing}: is needed")
    return {name: converted(name, value, hints[name] if name in named else others) for name, value in given.items()}


def refuse_unknown(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Say which member is not known, and which are.

    Raises:
        SimulatorError: there is one.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SimulatorError(f"{unknown[0]}: unknown; there are {', '.join(known) or 'no arguments'}")


def converted(name: str, value: object, hint: Any) -> Any:
    """A value of JSON as the annotation wants it: a list becomes a tuple, all else stays as it is.

    Raises:
        SimulatorError: it does not fit.
    """
    kind = get_origin(hint)
    if kind is Literal:
        if value in get_args(hint):
            return value
        raise SimulatorError(f"{name}: must be one of {', '.join(map(str, get_args(hint)))}")
    if kind in (Union, UnionType):
        (inner,) = (each for each in get_args(hint) if each is not NoneType)
        return None if value is None else converted(name, value, inner)
    if kind is tuple and isinstance(value, list):
        return tuple(converted(name, each, get_args(hint)[0]) for each in cast("list[object]", value))
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise SimulatorError(f"{name}: must be {_WORDS.get(kind or hint, 'left out')}")
