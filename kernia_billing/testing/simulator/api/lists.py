"""Stripe's lists: newest first, `limit` of 1 to 100 (10 unless told), cursors by id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..world.errors import Json, invalid, missing
from . import fields

PARAMS: dict[str, fields.Reader] = {
    "limit": fields.integer(1, 100),
    "starting_after": fields.text,
    "ending_before": fields.text,
}
"""What every list takes besides its own filters."""


class ListCall(Protocol):
    """What a list needs of a request: its typed parameters and its path."""

    @property
    def path(self) -> str:
        """The path asked for, which becomes the list's `url`."""
        ...

    @property
    def params(self) -> Json:
        """The typed parameters."""
        ...


def page(found: Iterable[Json], call: ListCall, *, kind: str = "object") -> Json:
    """One page of `found`, which comes newest first, as a list object of stored objects.

    Raises:
        ApiError: both cursors, or a cursor that names no object of the list.
    """
    params: Json = call.params
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You can only use one of `starting_after` and `ending_before`.", "ending_before")
    items, limit = list(found), params.get("limit", 10)
    if "ending_before" in params:
        end = _position(items, params["ending_before"], "ending_before", kind)
        start = max(0, end - limit)
        return _list(items[start:end], call.path, has_more=start > 0)
    start = 0
    if "starting_after" in params:
        start = _position(items, params["starting_after"], "starting_after", kind) + 1
    return _list(items[start : start + limit], call.path, has_more=len(items) > start + limit)


def embedded(items: list[Json], url: str) -> Json:
    """A complete list object inside another object."""
    return _list(items, url, has_more=False)


def filtered(rows: Iterable[Json], **wanted: Any) -> list[Json]:
    """The rows whose fields have those values; None stands for any."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    return [row for row in rows if all(row.get(name) == value for name, value in asked.items())]


def created_in(rows: Iterable[Json], params: Json) -> list[Json]:
    """The rows whose `created` lies in the range of the request."""
    return [row for row in rows if fields.in_range(row["created"], params.get("created"))]


def _position(items: list[Json], id: str, param: str, kind: str) -> int:
    for index, item in enumerate(items):
        if item["id"] == id:
            return index
    raise missing(kind, id, param)


def _list(items: list[Json], url: str, *, has_more: bool) -> Json:
    return {"object": "list", "data": items, "has_more": has_more, "url": url}
