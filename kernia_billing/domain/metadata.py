"""Metadata on Stripe objects: what a client may add, and what only this library writes.

Stripe allows 50 keys of 40 characters with values of 500 (https://docs.stripe.com/api/metadata). A client gets 20 of
them, so that our own always fit beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from ..errors import InvalidInput

_RESERVED = (
    *("userid", "organizationid", "referenceid", "subscriptionid", "customertype", "kernia_"),
    # Names that corrupt objects in JavaScript, which reads this metadata too.
    *("__proto__", "constructor", "prototype"),
)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
# CR, LF and NUL must not reach a form field, and a lone surrogate cannot be encoded for one.
_UNSENDABLE = re.compile(r"[\x00\r\n\ud800-\udfff]")
_MAX_CLIENT_KEYS = 20
_MAX_KEYS = 50
_MAX_VALUE = 500


def is_reserved(key: str) -> bool:
    """Whether a key equals or starts with a name that only this library may write, whatever its case."""
    return key.lower().startswith(_RESERVED)


def client_metadata(value: object, field: str = "metadata") -> dict[str, str]:
    """The metadata that a client sent, as a new dict; None gives an empty one.

    Flat, text to text: at most 20 members, keys of 1 to 40 of `A-Z a-z 0-9 _ -` that are not reserved, values of at
    most 500 code points without line breaks or NUL.

    Raises:
        InvalidInput: anything else; `field` names the member where there is one.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput("must be an object", field=field)
    members = cast("Mapping[object, object]", value)
    if len(members) > _MAX_CLIENT_KEYS:
        raise InvalidInput(f"must have at most {_MAX_CLIENT_KEYS} members", field=field)
    return {(name := _key(key, field)): _value(each, f"{field}.{name}") for key, each in members.items()}


def merge(client: Mapping[str, str], internal: Mapping[str, str], field: str = "metadata") -> dict[str, str]:
    """What is sent to Stripe: the client's or a hook's members first, ours last.

    A member of theirs with a reserved name, or with one of our names in any case, is dropped, so that ours always win
    and nothing can pass for one of ours.

    Raises:
        InvalidInput: together they break Stripe's limits (50 members, keys of 40 and values of 500 characters).
    """
    ours = {key.lower() for key in internal}
    merged = {key: value for key, value in client.items() if not is_reserved(key) and key.lower() not in ours}
    merged.update(internal)
    if len(merged) > _MAX_KEYS:
        raise InvalidInput(f"must have at most {_MAX_KEYS} members", field=field)
    for key, value in merged.items():
        if not 1 <= len(key) <= 40:
            raise InvalidInput("must have keys of 1 to 40 characters", field=field)
        _value(value, f"{field}.{key}")
    return merged


def _key(value: object, field: str) -> str:
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise InvalidInput("must have keys of 1 to 40 characters out of A-Z a-z 0-9 _ -", field=field)
    if is_reserved(value):
        raise InvalidInput("is reserved", field=f"{field}.{value}")
    return value


def _value(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput("must be a text", field=field)
    if len(value) > _MAX_VALUE:
        raise InvalidInput(f"must have at most {_MAX_VALUE} characters", field=field)
    if _UNSENDABLE.search(value):
        raise InvalidInput("must be valid Unicode without line breaks or NUL", field=field)
    return value
