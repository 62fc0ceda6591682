"""Lists that are longer than a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..domain.answers import Page
from .application import Application

if TYPE_CHECKING:
    from .. import Billing

T = TypeVar("T")
LARGEST = 200


def up_to(app: Application, limit: int, page: Callable[[Billing, int, str | None], Page[T]]) -> list[T]:
    """So many items at most, asked for page by page: `page` takes the billing object, a limit and a cursor."""

    def ask(wanted: int, cursor: str | None) -> Page[T]:
        return app.call(lambda billing: page(billing, wanted, cursor))

    found: list[T] = []
    cursor: str | None = None
    while len(found) < limit:
        answer = ask(min(limit - len(found), LARGEST), cursor)
        found += answer.items
        cursor = answer.next_cursor
        if cursor is None:
            break
    return found
