"""Pages by position: statements for every combination of optional filters, built once."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from sqlalchemy import Column, ColumnElement, func, literal, or_

from .dialects import AnySelect
from .types import Id, number_param, text_param


class Pages:
    """A SELECT of at most `:limit` rows, narrowed by those of its named filters that a caller gives."""

    def __init__(self, statement: AnySelect, **filters: ColumnElement[bool]) -> None:
        limited = statement.limit(number_param("limit"))
        self._statements = {
            frozenset(names): limited.where(*(filters[name] for name in names))
            for size in range(len(filters) + 1)
            for names in combinations(filters, size)
        }

    def given(self, **filters: object) -> AnySelect:
        """The statement for the filters that are not None."""
        return self._statements[frozenset(name for name, value in filters.items() if value is not None)]


def before(at: Column[Any], id_: Column[Any]) -> ColumnElement[bool]:
    """Newest first: whether a row comes after the position (`:before`, `:before_id`)."""
    position = number_param("before")
    # The first condition tells the database where in the index to begin.
    return (at <= position) & or_(at < position, id_ < text_param("before_id"))


def joined(column: ColumnElement[Any], none: str = "") -> ColumnElement[Any]:
    """A column of a table that a list is joined with, `none` where it has no row.

    In this form no database begins with that table, after which it would have to sort the list for every page.
    """
    return func.coalesce(column, literal(none, Id()))
