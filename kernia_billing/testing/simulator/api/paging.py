"""Lists of the v2 API: pages that name the next one by its URL. They do not say that they are lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast
from urllib.parse import urlencode

from ..world.errors import ApiError, Json
from . import fields
from .router import Call

PAGE = "v2.page"
"""Marks a page inside the simulator; it is taken off before the page is shown."""

PARAMS: dict[str, fields.Reader] = {"limit": fields.integer(1, 100), "page": fields.text}
"""What every list of the v2 API takes besides its own filters; `page` comes from a URL that a page gave."""

DEFAULT_LIMIT = 20


def page(found: Iterable[Json], call: Call) -> Json:
    """One page of `found`, in its order.

    Raises:
        ApiError: `page` is none that was given out.
    """
    items: Sequence[Json] = list(found)
    limit, text = call.params.get("limit", DEFAULT_LIMIT), call.params.get("page", "0")
    if not text.isdecimal():
        raise ApiError(f"Invalid page: {text}", code="invalid_page", param="page")
    start = int(text)
    return {
        "object": PAGE,
        "data": items[start : start + limit],
        "next_page_url": _url(call, start + limit, limit) if start + limit < len(items) else None,
        "previous_page_url": _url(call, max(0, start - limit), limit) if start else None,
    }


def bare(shown: Json) -> Json:
    """A page without its mark; anything else as it is."""
    return {name: value for name, value in shown.items() if name != "object"} if shown.get("object") == PAGE else shown


def _url(call: Call, start: int, limit: int) -> str:
    own = {name: value for name, value in call.params.items() if name not in PARAMS}
    return f"{call.path}?{urlencode([('page', str(start)), ('limit', str(limit)), *_pairs(own, '')])}"


def _pairs(value: object, at: str) -> Iterator[tuple[str, str]]:
    """The parameters of a request as form text names them."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, object]", value).items():
            yield from _pairs(inner, f"{at}[{name}]" if at else name)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from _pairs(inner, f"{at}[{index}]")
    else:
        yield at, str(value)
