"""billing_stripe_object: the tickets that keep old news from overwriting newer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select, update

from ..domain.instants import FOREVER, Instant
from .db import Noun
from .dialects import count_up, insert_new, locking, returning
from .tables import stripe_object as t
from .types import number_param, text_param, texts_param

_KIND = t.c.kind == text_param("of")
_IS_IT = _KIND & (t.c.stripe_id == text_param("stripe"))
_ARE_THEY = _KIND & t.c.stripe_id.in_(texts_param("these"))
_NOW = number_param("now")

_TAKE = count_up(t, "next_ticket", "kind", "stripe_id")
_TAKE_ONE = returning(_TAKE, t.c.next_ticket)
_NEXT = select(t.c.next_ticket).where(_IS_IT)
_APPLIED = locking(select(t.c.applied_ticket).where(_IS_IT), on_postgresql=True)
_ADD = insert_new(t, "kind", "stripe_id")
_APPLY = (
    update(t).values(applied_ticket=number_param("ticket"), deleted=number_param("gone"), checked_at=_NOW).where(_IS_IT)
)
_TICKETS = select(t.c.stripe_id, t.c.next_ticket, t.c.applied_ticket, t.c.deleted).where(_ARE_THEY)
_FIRST = select(t.c.stripe_id).where(_ARE_THEY, t.c.next_ticket == 1)
_APPLY_FIRST = update(t).values(applied_ticket=1, deleted=0, checked_at=_NOW).where(_ARE_THEY, t.c.next_ticket == 1)
_CHECK = update(t).values(checked_at=_NOW).where(_ARE_THEY, t.c.applied_ticket > 0)
_STALE = (
    select(t.c.stripe_id)
    .where(_KIND, t.c.deleted == 0, t.c.checked_at < number_param("old"), t.c.applied_ticket > 0)
    .order_by(t.c.checked_at, t.c.stripe_id)
    .limit(number_param("limit"))
)


class Objects(Noun):
    """The port of the same name."""

    __slots__ = ()

    def take_ticket(self, kind: str, stripe_id: str) -> int:
        """A number greater than every one given out for this object."""
        if self._db.flavour == "mysql":
            self._db.run(_TAKE, _new(kind, stripe_id, 1))
            row = self._db.only(_NEXT, {"of": kind, "stripe": stripe_id})
        else:
            row = self._db.only(_TAKE_ONE, _new(kind, stripe_id, 1))
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

    def apply(self, kind: str, stripe_id: str, ticket: int, *, deleted: bool, now: Instant) -> None:
        """Note that the state fetched under this ticket is stored; `deleted` makes it a tombstone."""
        values = {"of": kind, "stripe": stripe_id, "ticket": ticket, "gone": int(deleted), "now": now}
        self._db.run(_APPLY, values)

    def tickets(self, kind: str, stripe_ids: Sequence[str]) -> Mapping[str, tuple[int, int, bool]]:
        """For those of these objects that were ever fetched: the last ticket given out, the one applied, deleted.

        A plain read, in one statement.
        """
        rows = self._db.all(_TICKETS, {"of": kind, "these": list(stripe_ids)}) if stripe_ids else ()
        return {str(stripe_id): (int(last), int(applied), bool(gone)) for stripe_id, last, applied, gone in rows}

    def first_tickets(self, kind: str, stripe_ids: Sequence[str]) -> set[str]:
        """Take a ticket for each of these objects, and give those whose first one it is, in two statements.

        Nobody ever fetched these, so that a state read before may be written. They are held until the transaction
        ends; `apply_first` notes that it was.
        """
        if not stripe_ids:
            return set()
        # In one order everywhere: two that import the same page must not wait for each other.
        ids = sorted(set(stripe_ids))
        self._db.run(_TAKE, [_new(kind, stripe_id, 1) for stripe_id in ids])
        return {str(stripe_id) for (stripe_id,) in self._db.all(_FIRST, {"of": kind, "these": ids})}

    def apply_first(self, kind: str, stripe_ids: Sequence[str], now: Instant) -> None:
        """`apply` for objects whose first ticket was taken in this transaction, in one statement."""
        if stripe_ids:
            self._db.run(_APPLY_FIRST, {"of": kind, "these": list(stripe_ids), "now": now})

    def check(self, kind: str, stripe_ids: Sequence[str], now: Instant) -> None:
        """Note that these were seen at Stripe as they are stored, in one statement."""
        if stripe_ids:
            self._db.run(_CHECK, {"of": kind, "these": list(stripe_ids), "now": now})

    def stale(self, kind: str, before: Instant, limit: int) -> Sequence[str]:
        """Stored objects that nobody compared with Stripe since an instant, the longest unseen first; no tombstones."""
        rows = self._db.all(_STALE, {"of": kind, "old": before, "limit": limit})
        return [str(stripe_id) for (stripe_id,) in rows]


def _new(kind: str, stripe_id: str, ticket: int) -> dict[str, str | int]:
    return {
        "kind": kind,
        "stripe_id": stripe_id,
        "next_ticket": ticket,
        "applied_ticket": 0,
        "deleted": 0,
        # Nothing is stored that could be stale.
        "checked_at": FOREVER,
    }
