"""billing_stripe_object: the tickets that keep old news from overwriting newer."""

from __future__ import annotations

from sqlalchemy import select, update

from .db import Noun
from .dialects import count_up, insert_new, locking
from .tables import stripe_object as t
from .types import number_param, text_param

_IS_IT = (t.c.kind == text_param("of")) & (t.c.stripe_id == text_param("stripe"))
_TAKE = count_up(t, "next_ticket", "kind", "stripe_id")
_NEXT = select(t.c.next_ticket).where(_IS_IT)
_APPLIED = locking(select(t.c.applied_ticket).where(_IS_IT), on_postgresql=True)
_ADD = insert_new(t, "kind", "stripe_id")
_APPLY = update(t).values(applied_ticket=number_param("ticket"), deleted=number_param("gone")).where(_IS_IT)


class Objects(Noun):
    """The port of the same name."""

    __slots__ = ()

    def take_ticket(self, kind: str, stripe_id: str) -> int:
        """A number greater than every one given out for this object."""
        self._db.run(_TAKE, _new(kind, stripe_id, 1))
        row = self._db.one(_NEXT, {"of": kind, "stripe": stripe_id})
        assert row is not None  # noqa: S101 - the statement before wrote it, and holds it
        return int(row[0])

    def applied(self, kind: str, stripe_id: str) -> int:
        """The ticket of the state that is stored, 0 before the first. Holds the object until the transaction ends."""
        key = {"of": kind, "stripe": stripe_id}
        row = self._db.one(_APPLIED, key)
        if row is None:
            # A row that is not there cannot be held.
            self._db.insert_new(_ADD, _new(kind, stripe_id, 0))
            row = self._db.one(_APPLIED, key)
        return 0 if row is None else int(row[0])

    def apply(self, kind: str, stripe_id: str, ticket: int, *, deleted: bool) -> None:
        """Note that the state fetched under this ticket is stored; `deleted` makes it a tombstone."""
        self._db.run(_APPLY, {"of": kind, "stripe": stripe_id, "ticket": ticket, "gone": int(deleted)})


def _new(kind: str, stripe_id: str, ticket: int) -> dict[str, str | int]:
    return {"kind": kind, "stripe_id": stripe_id, "next_ticket": ticket, "applied_ticket": 0, "deleted": 0}
