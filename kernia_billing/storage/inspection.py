"""The rules that hold for the billing tables, asked of the database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import func, select

from ..domain.instants import Instant
from ..ports.inspection import Breach
from .db import Noun
from .dialects import AnySelect
from .revision import CURRENT, HEAD
from .types import number_param


@cache
def _rules() -> Sequence[tuple[str, str, AnySelect, AnySelect]]:
    """Every rule with the query for its first breaches, and the one for their number; built when first asked for."""
    from .invariants import RULES

    limit = number_param("limit")
    return [
        (check, title, found.limit(limit), select(func.count()).select_from(found.subquery()))
        for check, title, found in RULES
    ]


class Inspection(Noun):
    """The port of the same name."""

    __slots__ = ()

    @property
    def checks(self) -> Sequence[str]:
        """The ids of all rules, in the order in which they are looked at."""
        return tuple(dict.fromkeys(check for check, *_ in _rules()))

    def breaches(self, check: str, now: Instant, limit: int) -> Sequence[Breach]:
        """What breaks a rule, with at most `limit` ids each; nothing where it holds."""
        found: list[Breach] = []
        for named, title, first, count in _rules():
            rows = self._db.all(first, {"now": now, "limit": limit}) if named == check else ()
            if rows:
                number = self._db.one(count, {"now": now}) if len(rows) == limit else None
                total = len(rows) if number is None else int(number[0])
                found.append(Breach(check, title, total, tuple(str(stripe_id) for (stripe_id,) in rows)))
        return found

    def schema(self) -> tuple[str | None, str]:
        """The revision that the tables are at, None where there is none, and the one that this library wants."""
        row = self._db.one(CURRENT, {})
        return (None if row is None else str(row[0])), HEAD
