"""Parse a client's JSON once, with limits, before anything trusts it.

Python's parser and others disagree on what lies outside of RFC 8259's safe ground: repeated members (the last one wins
silently), NaN, numbers of any length, 1e400 as infinity, lone surrogates. None of that is let in.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from .refusals import RequestError

MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_DIGITS = 19

# Matches at every quote, also one that is never closed, so that no text is scanned twice.
_STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def loads(body: bytes) -> Any:
    """The value that a JSON text in UTF-8 means.

    At most 32 levels deep, at most 10,000 values, integers of at most 19 digits, finite numbers, no member twice, no
    NUL and no lone surrogate in any text.

    Raises:
        RequestError: 400 BAD_REQUEST, anything else. The message never quotes the text.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    _bound(text)
    try:
        value = _decode(text)
    except (ValueError, RecursionError):
        raise RequestError("Invalid JSON in request body", code="BAD_REQUEST") from None
    if "\\" in text:
        _check_texts(value)
    return value


def _refuse(why: str) -> NoReturn:
    raise RequestError(f"Invalid JSON in request body: {why}", code="BAD_REQUEST")


def _bound(text: str) -> None:
    """Count levels and values without recursion; strings are skipped."""
    depth, values = 0, 1
    for found in _STRUCTURE.finditer(text):
        mark = found[0]
        if mark in ("[", "{"):
            depth += 1
            values += 1
        elif mark in ("]", "}"):
            depth -= 1
        elif mark == ",":
            values += 1
        if depth > MAX_DEPTH:
            _refuse(f"it is more than {MAX_DEPTH} levels deep")
        if values > MAX_VALUES:
            _refuse(f"it has more than {MAX_VALUES} values")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("a member is given twice")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        _refuse(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse("a number is too large")
    return number


# `json.loads` would make a decoder for every body.
_decode = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=lambda _: _refuse("NaN and Infinity are no numbers"),
).decode


def _check_texts(value: Any) -> None:
    """Escapes can write what UTF-8 cannot. The depth is bounded already."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            _refuse("a text holds NUL or half of a surrogate pair")
    elif isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]  # JSON of anybody
            _check_texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():  # pyright: ignore[reportUnknownVariableType]  # the same
            _check_texts(key)
            _check_texts(each)
