"""Readers of request parameters: each takes what the form decoder gave and answers the typed value, or refuses.

An endpoint declares its parameters as one map of readers. What is not declared is refused, so that nothing a client
sends is silently ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from ..world.errors import ApiError, Json, invalid

Reader: TypeAlias = Callable[[Any, str], Any]
"""Takes a raw value and the name of its parameter, as `items[0][price]`."""

UNSET = ""
"""What an empty string means where a field may be unset."""

_CURRENCY = re.compile(r"^[a-z]{3}$")
_MAX_INT = 99_999_999_999_999


def read_params(raw: Mapping[str, Any], readers: Mapping[str, Reader], required: Sequence[str] = ()) -> Json:
    """Read all parameters of a request.

    Raises:
        ApiError: parameter_unknown, parameter_missing, or what the reader of a parameter says.
    """
    params: Json = fields(required=required, **readers)(raw, "")
    return params


def fields(*, required: Sequence[str] = (), **readers: Reader) -> Reader:
    """A map with known names."""

    def read(raw: Any, at: str) -> Json:
        if not isinstance(raw, Mapping):
            raise invalid(f"Invalid object: {at} must be a map", at)
        given = cast("Mapping[str, Any]", raw)
        names = {name: f"{at}[{name}]" if at else name for name in [*given, *required]}
        for name in given:
            if name not in readers:
                raise ApiError(
                    f"Received unknown parameter: {names[name]}", code="parameter_unknown", param=names[name]
                )
        for name in required:
            if name not in given:
                where = names[name]
                raise ApiError(f"Missing required param: {where}.", code="parameter_missing", param=where)
        return {name: readers[name](value, names[name]) for name, value in given.items()}

    return read


def text(raw: Any, at: str) -> str:
    """Text of 1 to 5,000 characters."""
    value = _string(raw, at)
    if value == "":
        raise ApiError(
            f"You passed an empty string for '{at}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{at}' cannot be unset. You should remove '{at}' from your request or supply a non-empty value.",
            code="parameter_invalid_empty",
            param=at,
        )
    return limited(value, at, 5_000)


def limited(value: str, at: str, most: int) -> str:
    """`value`, refused when it is longer than `most` characters."""
    if len(value) > most:
        message = f"Invalid string: {value[:20]}...; must be at most {most} characters"
        raise ApiError(message, code="parameter_invalid_string", param=at)
    return value


def text_up_to(most: int) -> Reader:
    """Text of 1 to `most` characters."""
    return lambda raw, at: limited(text(raw, at), at, most)


def clearable(reader: Reader) -> Reader:
    """What `reader` takes, or the empty string, which unsets the field."""
    return lambda raw, at: UNSET if raw == "" else reader(raw, at)


def one_of(*allowed: str) -> Reader:
    """One of these words."""

    def read(raw: Any, at: str) -> str:
        value = text(raw, at)
        if value not in allowed:
            raise invalid(f"Invalid {at}: must be one of {', '.join(allowed[:-1])}, or {allowed[-1]}", at)
        return value

    return read


def integer(least: int = -_MAX_INT, most: int = _MAX_INT) -> Reader:
    """A whole number of that range."""

    def read(raw: Any, at: str) -> int:
        value = text(raw, at)
        if not re.fullmatch(r"-?\d{1,18}", value):
            raise ApiError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=at)
        number = int(value)
        if number < least:
            message = f"This value must be greater than or equal to {least}."
            raise ApiError(message, code="parameter_invalid_integer", param=at)
        if number > most:
            message = f"This value must be less than or equal to {most}."
            raise ApiError(message, code="parameter_invalid_integer", param=at)
        return number

    return read


timestamp = integer(0, 99_999_999_999)
"""UTC seconds since 1970."""


def boolean(raw: Any, at: str) -> bool:
    """`true` or `false`."""
    if raw not in ("true", "false"):
        raise invalid(f"Invalid boolean: {raw}", at)
    return bool(raw == "true")


def decimal_text(raw: Any, at: str) -> str:
    """A non-negative decimal of at most 12 places, kept as text."""
    value = text(raw, at)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ApiError(f"Invalid decimal: {value}", code="parameter_invalid_integer", param=at) from None
    if not number.is_finite() or number < 0 or -int(number.as_tuple().exponent) > 12:
        raise invalid(f"Invalid decimal: {value}; must be non-negative with at most 12 decimal places", at)
    return value


def currency(raw: Any, at: str) -> str:
    """A three-letter code; lower case is what Stripe keeps."""
    value = text(raw, at).lower()
    if not _CURRENCY.match(value):
        raise invalid(f"Invalid currency: {value}. Stripe currently supports these currencies: usd, eur, gbp, …", at)
    return value


def url(raw: Any, at: str) -> str:
    """An absolute http or https URL."""
    value = text(raw, at)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or any(c.isspace() for c in value):
        code = "url_invalid"
        if "://" not in value:
            raise ApiError("Invalid URL: An explicit scheme (such as https) must be provided.", code=code, param=at)
        raise ApiError("Not a valid URL", code=code, param=at)
    return value


def email(raw: Any, at: str) -> str:
    """An e-mail address of at most 512 characters."""
    value = limited(text(raw, at), at, 512)
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise ApiError(f"Invalid email address: {value}", code="email_invalid", param=at)
    return value


def metadata(raw: Any, at: str) -> Json | str:
    """At most 50 keys of at most 40 characters, without brackets; values of at most 500; `''` unsets key or all."""
    if raw == "":
        return UNSET
    if not isinstance(raw, Mapping):
        raise invalid("Metadata must be a map of keys to values", at)
    given = cast("Mapping[str, Any]", raw)
    for key, value in given.items():
        if len(key) > 40:
            raise invalid(f"Metadata keys can't be longer than 40 characters: {key[:20]}…", at)
        if len(_string(value, f"{at}[{key}]")) > 500:
            raise invalid(f"Metadata values can have up to 500 characters; {key} is {len(value)} characters.", at)
    if len(given) > 50:
        raise invalid("You can only have up to 50 metadata keys", at)
    return dict(given)


def list_of(reader: Reader, most: int | None = None) -> Reader:
    """A list, `a[0]=…&a[1]=…` or `a[]=…`, of at most `most` entries."""

    def read(raw: Any, at: str) -> list[Any]:
        items = _items(raw, at)
        if most is not None and len(items) > most:
            raise invalid(f"Array {at} exceeded maximum {most} allowed elements.", at)
        return [reader(item, f"{at}[{index}]") for index, item in enumerate(items)]

    return read


def map_of(reader: Reader, name: Reader) -> Reader:
    """A map whose names and values both have a reader."""

    def read(raw: Any, at: str) -> Json:
        if not isinstance(raw, Mapping):
            raise invalid(f"Invalid object: {at} must be a map", at)
        given = cast("Mapping[str, Any]", raw)
        return {name(key, at): reader(value, f"{at}[{key}]") for key, value in given.items()}

    return read


def range_of_time(raw: Any, at: str) -> Json:
    """A timestamp, or a map of gt, gte, lt, lte; answered as the map."""
    if isinstance(raw, str):
        moment = timestamp(raw, at)
        return {"gte": moment, "lte": moment}
    bounds: Json = fields(gt=timestamp, gte=timestamp, lt=timestamp, lte=timestamp)(raw, at)
    return bounds


def in_range(moment: int, bounds: Mapping[str, int] | None) -> bool:
    """Whether a timestamp lies within what `range_of_time` read."""
    if not bounds:
        return True
    over = moment > bounds.get("gt", -1) and moment >= bounds.get("gte", 0)
    return over and moment < bounds.get("lt", moment + 1) and moment <= bounds.get("lte", moment)


def merge_metadata(current: Mapping[str, str], change: Json | str | None) -> Json:
    """Stripe's merge: keys given are set, keys given as `''` go, `''` for the whole map clears it.

    Raises:
        ApiError: more than 50 keys would be left.
    """
    if change is None:
        return dict(current)
    if isinstance(change, str):
        return {}
    merged = {**current, **change}
    kept = {key: value for key, value in merged.items() if value != ""}
    if len(kept) > 50:
        raise invalid("You can only have up to 50 metadata keys", "metadata")
    return kept


def _items(raw: Any, at: str) -> list[Any]:
    if isinstance(raw, list):
        return cast("list[Any]", raw)
    if isinstance(raw, Mapping):
        given = cast("Mapping[str, Any]", raw)
        if given and all(key.isdigit() for key in given):
            return [given[key] for key in sorted(given, key=int)]
    raise invalid("Invalid array", at)


def _string(raw: Any, at: str) -> str:
    if not isinstance(raw, str):
        raise invalid(f"Invalid string: {at} must be text", at)
    return raw
