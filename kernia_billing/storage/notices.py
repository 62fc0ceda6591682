"""billing_notice: what hooks were told of once."""

from __future__ import annotations

from sqlalchemy import delete, select

from ..domain.instants import Instant
from .db import Noun
from .dialects import insert_new
from .tables import notice as t
from .types import number_param, text_param

_ADD = insert_new(t, "kind", "subject", "mark")
_FIND = select(t.c.kind).where(t.c.kind == text_param("of"), t.c.subject == text_param("about")).limit(1)
_OLD = (
    select(t.c.kind, t.c.subject, t.c.mark)
    .where(t.c.kept_until < number_param("old"))
    .order_by(t.c.kept_until, t.c.kind)
    .limit(number_param("limit"))
)
_PRUNE = delete(t).where(t.c.kind == text_param("of"), t.c.subject == text_param("about"), t.c.mark == text_param("at"))


class Notices(Noun):
    """The port of the same name."""

    __slots__ = ()

    def add(self, kind: str, subject: str, mark: str, *, now: Instant, until: Instant) -> bool:
        """Note that something is told of now; says whether it is the first time."""
        values = {"kind": kind, "subject": subject, "mark": mark, "told_at": now, "kept_until": until}
        return self._db.insert_new(_ADD, values)

    def told(self, kind: str, subject: str) -> bool:
        """Whether anything of a kind was told of a subject."""
        return self._db.one(_FIND, {"of": kind, "about": subject}) is not None

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what had to be remembered until before an instant, oldest first, so many at most; how many."""
        rows = self._db.all(_OLD, {"old": before, "limit": limit})
        self._db.run_all(_PRUNE, [dict(zip(("of", "about", "at"), row, strict=True)) for row in rows])
        return len(rows)
