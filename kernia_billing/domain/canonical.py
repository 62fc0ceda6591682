"""JSON of which equal values have one text."""

from __future__ import annotations

import json

import msgspec

_fast = msgspec.json.Encoder(order="sorted").encode
_any = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def canonical(value: object) -> str:
    """Compact JSON in ASCII with sorted keys, of texts, integers, booleans, None, and lists and dicts of these."""
    try:
        text = _fast(value).decode()
    except (UnicodeEncodeError, OverflowError):
        # Of a lone surrogate, and of what takes more than 64 bits.
        return _any(value)
    return text if text.isascii() else _any(value)
