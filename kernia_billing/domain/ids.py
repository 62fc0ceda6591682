"""Ids, keys, quantities and properties, checked before anything else sees them.

Texts are compared as they are, byte by byte: nothing here normalises, trims or folds case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from ..errors import InvalidInput

Property = str | int | bool
"""What a property of a use may be."""

MAX_QUANTITY = 10**9
MAX_INTEGER = 2**53 - 1
"""The largest integer that a JSON number holds exactly."""

_STRIPE_ID = re.compile(r"[a-z]+_[A-Za-z0-9_]{1,250}")
_MAX_STRIPE_ID = 255
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_DATE_LIKE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[-][0-9]{2}:[0-9]{2})")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PROPERTY_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_MAX_REFERENCE = 255
_MAX_PROPERTIES = 50
_MAX_LINE = 500
_MAX_PROPERTY_TEXT = 500


def stripe_id(value: object, prefix: str | None = None, field: str = "id") -> str:
    """An id that Stripe generated, such as `sub_1Qx`, `cs_test_a1b2`: safe to put into a URL path.

    With `prefix` ("sub", without the underscore) the id must be of that kind. Ids that a Stripe account may choose
    freely (products, plans, coupons) do not have this form.

    Raises:
        InvalidInput: anything else; the message does not repeat the value.
    """
    text = _text(value, field)
    if len(text) > _MAX_STRIPE_ID or not _STRIPE_ID.fullmatch(text):
        raise InvalidInput("must be a Stripe id", field=field)
    if prefix is not None and not text.startswith(prefix + "_"):
        raise InvalidInput(f"must be a Stripe id that starts with {prefix}_", field=field)
    return text


def feature_key(value: object, field: str = "feature") -> str:
    """The key of a feature: 1 to 100 of `A-Z a-z 0-9 _ . : -`.

    A key that reads as an ISO date is refused, because the browser client turns every such text in an answer into a
    `Date`.

    Raises:
        InvalidInput: anything else.
    """
    return _key(value, field)


def plan_key(value: object, field: str = "plan") -> str:
    """The key (name) of a plan: the same form as a feature's key, with the same errors."""
    return _key(value, field)


def reference_id(value: object, field: str = "reference") -> str:
    """The host's own id of a user or an organization: 1 to 255 code points, at most 255 bytes in UTF-8.

    No control characters (NUL among them) and no lone surrogates. Two spellings of the same letter are two ids.

    Raises:
        InvalidInput: anything else.
    """
    text = _text(value, field)
    if not 1 <= len(text) <= _MAX_REFERENCE:
        raise InvalidInput(f"must have 1 to {_MAX_REFERENCE} characters", field=field)
    if text.isascii():
        if not text.isprintable():
            raise InvalidInput("must not contain control characters", field=field)
        return text
    if _CONTROL.search(text):
        raise InvalidInput("must not contain control characters", field=field)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("must be valid Unicode", field=field) from None
    if len(encoded) > _MAX_REFERENCE:
        raise InvalidInput(f"must have at most {_MAX_REFERENCE} bytes in UTF-8", field=field)
    return text


def entity_id(value: object, field: str = "entity") -> str:
    """The id of an entity within a reference, of the form of a reference id; None gives "", the reference itself.

    Raises:
        InvalidInput: anything else, the empty text included.
    """
    return "" if value is None else reference_id(value, field)


def idempotency_key(value: object, field: str = "idempotency_key") -> str:
    """A caller's idempotency key: 1 to 255 visible ASCII characters (no spaces), so that it fits a header.

    Raises:
        InvalidInput: anything else.
    """
    text = _text(value, field)
    if not _IDEMPOTENCY_KEY.fullmatch(text):
        raise InvalidInput("must have 1 to 255 visible ASCII characters", field=field)
    return text


def quantity(value: object, field: str = "quantity", minimum: int = 1, maximum: int = MAX_QUANTITY) -> int:
    """A whole number between `minimum` and `maximum`, both included.

    Exactly `int`: a bool, a text, a float (1.0 too) and a Decimal are refused, because a count is never rounded.

    Raises:
        InvalidInput: anything else.
    """
    if type(value) is not int:
        raise InvalidInput("must be an integer", field=field)
    if not minimum <= value <= maximum:
        raise InvalidInput(f"must be between {minimum} and {maximum}", field=field)
    return value


def printable(value: object, field: str) -> str:
    """What somebody says in a line of text: 1 to 500 printable characters.

    Raises:
        InvalidInput: anything else.
    """
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_LINE or not value.isprintable():
        raise InvalidInput(f"must be a text of 1 to {_MAX_LINE} printable characters", field=field)
    return str.__str__(value)


def event_properties(value: object, field: str = "properties") -> dict[str, Property]:
    """The properties of a usage event, as a new dict; None gives an empty one.

    Flat: at most 50 members, keys of 1 to 40 of `A-Z a-z 0-9 _ . -`, values texts of at most 500 code points, booleans,
    or integers within ±(2^53-1).

    Raises:
        InvalidInput: anything else; `field` names the member, as in `properties.model`.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput("must be an object", field=field)
    members = cast("Mapping[object, object]", value)
    if len(members) > _MAX_PROPERTIES:
        raise InvalidInput(f"must have at most {_MAX_PROPERTIES} members", field=field)
    return {
        (name := property_key(key, field)): _property_value(each, f"{field}.{name}") for key, each in members.items()
    }


def is_storable(text: str) -> bool:
    """Whether every database and UTF-8 can hold the text: no NUL and no lone surrogate."""
    return not _UNSTORABLE.search(text)


def _text(value: object, field: str) -> str:
    if type(value) is str:
        return value
    if isinstance(value, str):
        # A subclass (a str enum, a framework's "safe" text) may print otherwise than it compares.
        return str.__str__(value)
    raise InvalidInput("must be a text", field=field)


def _key(value: object, field: str) -> str:
    text = _text(value, field)
    if not _KEY.fullmatch(text):
        raise InvalidInput("must have 1 to 100 characters out of A-Z a-z 0-9 _ . : -", field=field)
    if _DATE_LIKE.fullmatch(text):
        raise InvalidInput("must not look like a date", field=field)
    return text


def property_key(value: object, field: str) -> str:
    """The name of a property of usage events.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(value, str) or not _PROPERTY_KEY.fullmatch(value):
        raise InvalidInput("must have keys of 1 to 40 characters out of A-Z a-z 0-9 _ . -", field=field)
    return value


def _property_value(value: object, field: str) -> Property:
    if type(value) is bool:
        return value
    if type(value) is int:
        return quantity(value, field, -MAX_INTEGER, MAX_INTEGER)
    if not isinstance(value, str):
        raise InvalidInput("must be a text, an integer or a boolean", field=field)
    if len(value) > _MAX_PROPERTY_TEXT:
        raise InvalidInput(f"must have at most {_MAX_PROPERTY_TEXT} characters", field=field)
    if not is_storable(value):
        raise InvalidInput("must be valid Unicode without NUL", field=field)
    return value
