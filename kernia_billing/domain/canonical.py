"""JSON of which equal values have one text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

_any = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical(value: object) -> str:
    """Compact JSON in ASCII with sorted keys, of texts, integers, booleans, None, and lists and dicts of these."""
    try:
        text = _fast()(value).decode()
    except (UnicodeEncodeError, OverflowError):
        # Of a lone surrogate, and of what takes more than 64 bits.
        return _any(value)
    return text if text.isascii() else _any(value)


@cache
def _fast() -> Callable[[object], bytes]:
    # An application that only names its plans has no need of it.
    import msgspec

    return msgspec.json.Encoder(order="sorted").encode
