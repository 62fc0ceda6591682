"""Parameters as Stripe reads them: form text, where `items[0][price]=p&expand[]=customer` becomes nested, or JSON."""

from __future__ import annotations

import json
import re
from typing import Any, cast
from urllib.parse import parse_qsl

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def split_key(key: str) -> list[str]:
    """`items[0][price]` -> ['items', '0', 'price'];  `expand[]` -> ['expand', ''].

    Raises:
        ValueError: brackets do not match, or nothing stands before them.
    """
    head = key.split("[", 1)[0]
    rest = key[len(head) :]
    parts = _BRACKETS.findall(rest)
    if "".join(f"[{part}]" for part in parts) != rest or not head:
        raise ValueError(f"malformed parameter name {key!r}")
    return [head, *parts]


def decode_form(text: str | bytes) -> dict[str, Any]:
    """Decode form text into nested maps whose leaves are strings.

    `a[0]` stays a map keyed '0', because only the expected type tells a list from a map; `a[]` becomes a list.

    Raises:
        ValueError: malformed text, a parameter given twice, or one that is both a value and a map.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    decoded: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        _put(decoded, key, split_key(key), value)
    return decoded


def decode_json(text: str | bytes) -> dict[str, Any]:
    """Decode the JSON object of a request body; nothing at all is an empty one.

    Raises:
        ValueError: it is not a JSON object.
    """
    decoded: object = json.loads(text) if text else {}
    if not isinstance(decoded, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - it is the text that is wrong
    return cast("dict[str, Any]", decoded)


def _put(decoded: dict[str, Any], key: str, parts: list[str], value: str) -> None:
    node: dict[str, Any] = decoded
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if following is None:
            if part in node:
                raise ValueError(f"parameter {key!r} given twice")
            node[part] = value
        elif following == "" and parts[-2:] == [part, ""]:
            values: Any = node.setdefault(part, [])
            if not isinstance(values, list):
                raise ValueError(f"parameter {key!r} mixes list and map")
            node[part] = [*values, value]
            return
        else:
            deeper: Any = node.setdefault(part, {})
            if not isinstance(deeper, dict):
                raise ValueError(f"parameter {key!r} is both a value and a map")
            node = node[part]
