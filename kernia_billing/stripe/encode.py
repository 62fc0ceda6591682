"""Stripe's form encoding (https://docs.stripe.com/api: `application/x-www-form-urlencoded` with bracketed keys).

What goes out, by the type of the value:

    None                absent; a list must not hold it
    "" and other text   as it is ("" unsets a field)
    True, False         true, false
    int                 digits
    Decimal             plain digits, no exponent
    aware datetime      unix seconds, rounded down
    mapping             key[member]
    list or tuple       key[0], key[1], …

Anything else is refused, and so is what would vanish or change without a word: an empty list or mapping (send "" to
clear a field), a float, a naive datetime, a member name with brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeGuard
from urllib.parse import quote_plus

from ..errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD_IN_TEXT = re.compile("[\r\n\0\ud800-\udfff]")
_BAD_IN_NAME = re.compile("[\r\n\0\ud800-\udfff\\[\\]]")
_MAX_DEPTH = 16
_MAX_INTEGER = 2**63 - 1
_MAX_DECIMAL_EXPONENT = 30


def encode(params: Mapping[str, Any] | None) -> str:
    """Encode `params` as a form body or a query, brackets left readable as Stripe's own libraries leave them.

    Raises:
        InvalidInput: a value or a name that cannot be sent; `field` is its bracketed key.
    """
    return "&".join(f"{_quote(key)}={_quote(text)}" for key, text in flatten(params or {}))


def flatten(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the pairs of bracketed key and text that `params` stand for, in their order.

    Raises:
        InvalidInput: as `encode`.
    """
    for name, value in params.items():
        yield from _member(_name(name, "params"), value, 1)


def _member(key: str, value: object, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        _refuse(key, "must not be nested so deeply")
    if value is None:
        return
    if _is_mapping(value):
        if not value:
            _refuse(key, "must not be an empty mapping, which Stripe would never see: send '' to clear the field")
        for name, each in value.items():
            yield from _member(f"{key}[{_name(name, key)}]", each, depth + 1)
    elif _is_list(value):
        yield from _elements(key, value, depth)
    else:
        yield key, _text(key, value)


def _elements(key: str, values: list[object] | tuple[object, ...], depth: int) -> Iterator[tuple[str, str]]:
    if not values:
        _refuse(key, "must not be an empty list, which Stripe would never see: send '' to clear the field")
    for index, each in enumerate(values):
        pairs = list(_member(f"{key}[{index}]", each, depth + 1))
        if not pairs:
            _refuse(f"{key}[{index}]", "must not be empty: leave it out of the list")
        yield from pairs


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if _BAD_IN_TEXT.search(value):
            _refuse(key, "must not hold a line end, a NUL or half of a surrogate pair")
        return str.__str__(value)
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            _refuse(key, "must fit 64 bits")
        return int.__repr__(value)
    if isinstance(value, Decimal):
        return _decimal(key, value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            _refuse(key, "must be an aware datetime: give it a tzinfo, such as datetime.UTC")
        return str((value - _EPOCH) // timedelta(seconds=1))
    if isinstance(value, float):
        _refuse(key, "must not be a float, which has no exact text: use an int or a Decimal")
    raise InvalidInput(
        f"must be a text, a number, a bool, a datetime, a list or a mapping, not {type(value).__name__}", field=key
    )


def _decimal(key: str, value: Decimal) -> str:
    # The bound on the exponent keeps Decimal("1e999999") from becoming a megabyte of zeros.
    if not value.is_finite() or (value and abs(value.adjusted()) > _MAX_DECIMAL_EXPONENT):
        _refuse(key, "must be a number of reasonable size")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _MAX_DECIMAL_EXPONENT:
        _refuse(key, "must not have so many digits")
    return format(value, "f")


def _name(name: object, parent: str) -> str:
    if not isinstance(name, str) or not name:
        _refuse(parent, "must have members named by texts")
    if _BAD_IN_NAME.search(name):
        _refuse(parent, "must not have a bracket, a line end, a NUL or half of a surrogate pair in a member's name")
    return str.__str__(name)


def _is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    return isinstance(value, (list, tuple))


def _quote(text: str) -> str:
    return quote_plus(text, safe="[]")


def _refuse(field: str, why: str) -> NoReturn:
    raise InvalidInput(why, field=field)
