"""One value at a time: what an option may hold, and its one stored form. All raise `Wrong`, without the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeGuard, cast

from ..domain.host_columns import host_column, host_table
from ..errors import InvalidInput
from ..ports.telemetry import Telemetry
from .problems import Wrong

_DURATION = re.compile(r"([0-9]{1,9})\s?([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = timedelta(days=3650)
_SHORTEST_RETENTION = timedelta(days=4)
_LONGEST_SNAPSHOT = timedelta(hours=1)
_SHORTEST_USAGE_RETENTION = timedelta(days=36)
_IMPORT_PATH = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)[.:](?P<name>[A-Za-z_]\w*)", re.ASCII)
_MAX_TEXT = 255
_TELEMETRY = ("auto", "logging", "opentelemetry", "off")


def text(value: object) -> str:
    """A text that is not blank, of at most 255 characters, all of them printable."""
    if not isinstance(value, str):
        raise Wrong("must be a text")
    if not value.strip():
        raise Wrong("must not be blank")
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise Wrong(f"must be at most {_MAX_TEXT} printable characters")
    return str.__str__(value)


def boolean(value: object) -> bool:
    """True or False and nothing that merely counts as such."""
    if type(value) is not bool:
        raise Wrong("must be true or false")
    return value


def integer(minimum: int, maximum: int) -> Callable[[object], int]:
    """A whole number in a range: exactly `int`, since True, 1.0 and "1" would be counted as something."""

    def convert(value: object) -> int:
        if type(value) is not int:
            raise Wrong("must be a whole number")
        if not minimum <= value <= maximum:
            raise Wrong(f"must be between {minimum} and {maximum}")
        return value

    return convert


def one_of(*names: str) -> Callable[[object], str]:
    """One of these texts, exactly."""

    def convert(value: object) -> str:
        for name in names:
            if isinstance(value, str) and value == name:
                return name
        raise Wrong(f"must be one of {', '.join(names)}")

    return convert


def duration(value: object) -> timedelta:
    """A timedelta, whole seconds, or a text such as "7d", "12h", "90s"; from 0 to 3650 days."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = int(match[1]) * _SECONDS[match[2]]
    elif type(value) is int:
        seconds = value
    else:
        raise Wrong("must be a timedelta, whole seconds, or a text such as 7d, 12h, 90s")
    if not 0 <= seconds <= _LONGEST.total_seconds():
        raise Wrong("must be between 0 and 3650 days")
    return value if isinstance(value, timedelta) else timedelta(seconds=seconds)


def retention(value: object) -> timedelta:
    """A duration of at least four days: an event that Stripe repeats, for up to three, must be known still."""
    length = duration(value)
    if length < _SHORTEST_RETENTION:
        raise Wrong("must be at least 4 days: Stripe repeats events for three")
    return length


def snapshot_age(value: object) -> timedelta:
    """A duration above 0 and up to an hour: what is no older is still called current."""
    length = duration(value)
    if not timedelta(0) < length <= _LONGEST_SNAPSHOT:
        raise Wrong("must be above 0, and an hour at most")
    return length


def usage_retention(value: object) -> timedelta:
    """A duration of at least 36 days: a use may be told of for 35, and repeated until then."""
    length = duration(value)
    if length < _SHORTEST_USAGE_RETENTION:
        raise Wrong("must be at least 36 days: a use may be told of for 35")
    return length


def function(value: object) -> Callable[..., Any]:
    """Something that can be called, or the dotted path of it: "shop.auth.may_act" or "shop.auth:may_act"."""
    found = _imported(value) if isinstance(value, str) else value
    if not callable(found):
        raise Wrong("must be callable, or the dotted path of something callable")
    return cast("Callable[..., Any]", found)


def telemetry(value: object) -> Telemetry | str:
    """One of the names, something with the methods of the port, or the dotted path of it."""
    if isinstance(value, str) and value in _TELEMETRY:
        return value
    found = _imported(value) if isinstance(value, str) and _IMPORT_PATH.fullmatch(value) else value
    if isinstance(found, (str, type)) or not all(
        callable(getattr(found, name, None)) for name in ("span", "count", "record", "log")
    ):
        raise Wrong(f"must be one of {', '.join(_TELEMETRY)}, or have the methods span, count, record and log")
    return cast("Telemetry", found)


def _imported(path: str) -> object:
    match = _IMPORT_PATH.fullmatch(path)
    if match is None:
        raise Wrong("must be callable, or a dotted path such as shop.auth.may_act")
    try:
        found: object = getattr(import_module(match["module"]), match["name"])
    except (ImportError, AttributeError):
        raise Wrong("cannot be imported") from None
    return found


def host_columns(value: object) -> dict[str, str]:
    """Columns of the host's, by the type of customer.

    Raises:
        Wrong: it is no mapping, names something else, or a text does not name a column.
    """
    if not is_mapping(value):
        raise Wrong("must be a mapping of 'user' and 'organization' to columns")
    found: dict[str, str] = {}
    for kind, column in value.items():
        if kind not in ("user", "organization"):
            raise Wrong("must be a mapping of 'user' and 'organization' to columns")
        found[kind] = text(column)
        try:
            host_column(found[kind])
        except InvalidInput as wrong:
            raise Wrong(str(wrong)) from None
    return found


def users_table(value: object) -> str:
    """The host's table of users, and its key.

    Raises:
        Wrong: it is no text, or names no table.
    """
    found = text(value)
    try:
        host_table(found)
    except InvalidInput as wrong:
        raise Wrong(str(wrong)) from None
    return found


def is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether the value is a mapping whose keys are all texts."""
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in cast("Mapping[object, object]", value))


def as_mapping(value: object) -> Mapping[str, object]:
    """A mapping with texts as keys."""
    if not is_mapping(value):
        raise Wrong("must be a mapping with texts as keys")
    return value


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether the value is a sequence of things, which a text is not."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def as_list(value: object) -> Sequence[object]:
    """A list, a tuple, or another sequence; a text is none."""
    if not is_list(value):
        raise Wrong("must be a list")
    return value
