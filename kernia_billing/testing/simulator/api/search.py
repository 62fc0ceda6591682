"""Search: eventually consistent, so that it must not be read right after a write.

Source: Stripe, "Search": data is normally searchable in less than a minute, in an outage much later. Here it takes
exactly `LAG_SECONDS` of the simulator's clock, and an object is found by what it was at that time.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from ..world.errors import Json, invalid

if TYPE_CHECKING:
    from ..world.world import World
    from .router import Call

LAG_SECONDS = 60

_TERM = re.compile(
    r"""\s*(?P<not>-)?(?P<field>\w+)(?:\[(?P<kq>['"])(?P<key>[^'"]*)(?P=kq)\])?"""
    r"""(?P<op>:|~|>=|<=|>|<)(?:(?P<vq>['"])(?P<text>(?:\\.|(?!(?P=vq))[^\\])*)(?P=vq)|(?P<number>\d+)|(?P<null>null))\s*"""
)
_FIELDS = {"customer": ("created", "email", "metadata", "name", "phone")}


def remember(world: World, stored: Json) -> None:
    """Note how an object looks now, for searches a minute from now."""
    past = world.searchable.setdefault(str(stored["object"]), {}).setdefault(str(stored["id"]), [])
    past.append((world.clock.seconds(), world.render(stored)))


def search(world: World, kind: str, call: Call) -> Json:
    """Answer a search request: one page, with `next_page` when there is more.

    Raises:
        ApiError: the query is malformed or names a field that cannot be searched.
    """
    terms, any_of = _parse(call.params["query"], _FIELDS[kind])
    horizon = world.clock.seconds() - LAG_SECONDS
    found: list[Json] = []
    for id, past in reversed(world.searchable.get(kind, {}).items()):
        known = [shown for at, shown in past if at <= horizon]
        if known and not known[-1].get("deleted"):
            fits = [term.fits(known[-1]) for term in terms]
            if any(fits) if any_of else all(fits):
                found.append(world.table(kind).get(id))
    start, limit = _start(call.params.get("page")), call.params.get("limit", 10)
    more = start + limit < len(found)
    return {
        "object": "search_result",
        "data": found[start : start + limit],
        "has_more": more,
        "next_page": str(start + limit) if more else None,
        "url": call.path,
    }


@frozen
class _Term:
    negated: bool
    field: str
    key: str | None
    operator: str
    value: str | int | None

    def fits(self, shown: Json) -> bool:
        found: Any = shown["metadata"].get(self.key) if self.field == "metadata" else shown.get(self.field)
        return self._compare(found) is not self.negated

    def _compare(self, found: Any) -> bool:
        if self.operator == "~":
            return isinstance(found, str) and str(self.value).lower() in found.lower()
        if self.operator == ":":
            return _folded(found) == _folded(self.value)
        return isinstance(found, int) and _ORDERINGS[self.operator](found, int(self.value or 0))


_ORDERINGS: dict[str, Callable[[int, int], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def _folded(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _parse(query: str, searchable: tuple[str, ...]) -> tuple[list[_Term], bool]:
    joiners = {word.upper() for word in re.findall(r"\s(AND|OR|and|or)\s", query)}
    if len(joiners) > 1:
        raise invalid("You can't mix AND and OR in one query.", "query")
    terms: list[_Term] = []
    for part in re.split(r"\s(?:AND|OR|and|or)\s", query):
        found = _TERM.fullmatch(part)
        if found is None:
            raise invalid(f"We were unable to parse your search query: {query}", "query")
        if found["field"] not in searchable or (found["key"] is None) == (found["field"] == "metadata"):
            raise invalid(f"Field `{found['field']}` is an unsupported search field.", "query")
        value = int(found["number"]) if found["number"] else _unescaped(found["text"])
        terms.append(_Term(bool(found["not"]), found["field"], found["key"], found["op"], value))
    return terms, joiners == {"OR"}


def _unescaped(text: str | None) -> str | None:
    """A value without the backslashes before quotes and backslashes (Stripe, "Search query language")."""
    return None if text is None else re.sub(r"\\(.)", r"\1", text)


def _start(page: str | None) -> int:
    if page is None:
        return 0
    if not page.isdigit():
        raise invalid("Invalid page", "page")
    return int(page)
