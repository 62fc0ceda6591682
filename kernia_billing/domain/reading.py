"""Reading JSON that somebody else wrote: each value by the type that is wanted, junk of other types as if absent.

Only what money or identity hangs on is refused: an object without an id, an amount that is no integer, a time beyond
all time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from ..errors import InvalidInput
from .ids import MAX_INTEGER, is_storable, quantity
from .instants import Instant, from_seconds

Json = Mapping[str, Any]
"""A JSON object as it was decoded."""

_DECIMAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_MAX_ID = 255


def members(value: object) -> Json:
    """A JSON object, empty where there is something else."""
    return cast("Json", value) if isinstance(value, Mapping) else {}


def entries(value: object) -> Sequence[object]:
    """What stands in an array, or in Stripe's list object; nothing where there is something else."""
    inner: object = cast("Json", value).get("data") if isinstance(value, Mapping) else value
    return cast("Sequence[object]", inner) if isinstance(inner, list | tuple) else ()


def listed(value: object) -> Sequence[Json]:
    """The objects in an array, or in Stripe's list object; what is no object among them is left out."""
    return [cast("Json", each) for each in entries(value) if isinstance(each, Mapping)]


def is_cut(value: object) -> bool:
    """Whether one of Stripe's list objects shows its first page only."""
    return members(value).get("has_more") is True


def id_of(value: object) -> str | None:
    """The id of something that Stripe sends as an id or, expanded, as an object; None for everything else."""
    found = value if isinstance(value, str) else members(value).get("id")
    return found if isinstance(found, str) and 0 < len(found) <= _MAX_ID and is_storable(found) else None


def own_id(subject: Json, field: str = "id") -> str:
    """The id of an object that must have one.

    Raises:
        InvalidInput: it has none; `field` names it.
    """
    found = id_of(subject)
    if found is None:
        raise InvalidInput("must be an id", field=field)
    return found


def text(value: object) -> str | None:
    """A text that every database can hold; None for everything else."""
    return value if isinstance(value, str) and is_storable(value) else None


def texts(value: object) -> dict[str, str]:
    """Metadata: the members that are texts, numbers or booleans, as texts."""
    return {
        key: str(each)
        for key, each in members(value).items()
        if isinstance(key, str) and is_storable(key) and isinstance(each, str | int) and is_storable(str(each))
    }


def flag(value: object) -> bool:
    """Whether it is `true`, and nothing that is merely like it."""
    return value is True


def whole(value: object) -> int | None:
    """An integer that JSON and every database hold exactly; None for everything else."""
    return value if type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER else None


def amount(subject: Json, name: str) -> int:
    """An amount in minor units; 0 where it is null, or of a version that has no such member.

    Raises:
        InvalidInput: it is something else than an integer; `field` names it.
    """
    value = subject.get(name)
    return 0 if value is None else quantity(value, name, -MAX_INTEGER, MAX_INTEGER)


def decimal(value: object) -> Decimal | None:
    """A decimal, which Stripe writes as a text so that nothing is lost; never by way of a float."""
    if type(value) is int:
        value = str(value) if whole(value) is not None else None
    return Decimal(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def instant(value: object, field: str = "timestamp") -> Instant | None:
    """A Unix time in seconds; None for what is no integer.

    Raises:
        InvalidInput: it is outside of the years 1685 to 2255.
    """
    return from_seconds(value, field) if type(value) is int else None
