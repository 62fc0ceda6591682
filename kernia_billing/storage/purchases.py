"""billing_purchase: checkout sessions that sell no plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from ..domain.instants import Instant
from ..domain.purchases import PurchaseRow
from .db import Noun, Shape
from .dialects import plain_insert
from .overdue import overdue_purchases
from .tables import purchase as t
from .types import number_param, text_param

_SHAPE = Shape(PurchaseRow, t)
_OPEN = _SHAPE.select().where(t.c.customer_id == text_param("customer"), t.c.slot == text_param("slot"))
_OPEN_ONES = _SHAPE.select().where(t.c.customer_id == text_param("customer"), t.c.status == "open")
_BY_ID = _SHAPE.select().where(t.c.id == text_param("id"))
_BY_SESSION = _SHAPE.select().where(t.c.stripe_session_id == text_param("session"))
_BY_PAYMENT = _SHAPE.select().where(t.c.payment_intent_id == text_param("payment"))
_OVERDUE = overdue_purchases()
_UNFINISHED = (
    select(t.c.stripe_session_id)
    .where(t.c.status.in_(["open", "processing"]), t.c.stripe_session_id > text_param("after"))
    .order_by(t.c.stripe_session_id)
    .limit(number_param("limit"))
)
_ADD = plain_insert(t)
_PUT = update(t).where(t.c.id == text_param("this"))


def _values(row: PurchaseRow) -> dict[str, Any]:
    return {**_SHAPE.values(row), "slot": row.slot if row.status == "open" else row.id}


class Purchases(Noun):
    """The port of the same name."""

    __slots__ = ()

    def open(self, customer_id: str, slot: str) -> PurchaseRow | None:
        """The open one of a customer for a slot."""
        return _SHAPE.read_or_none(self._db.one(_OPEN, {"customer": customer_id, "slot": slot}))

    def open_ones(self, customer_id: str) -> Sequence[PurchaseRow]:
        """Every open one of a customer."""
        return _SHAPE.read_all(self._db.all(_OPEN_ONES, {"customer": customer_id}))

    def by_id(self, purchase_id: str) -> PurchaseRow | None:
        """One purchase."""
        return _SHAPE.read_or_none(self._db.one(_BY_ID, {"id": purchase_id}))

    def by_session(self, stripe_session_id: str) -> PurchaseRow | None:
        """The one that has this Stripe session."""
        return _SHAPE.read_or_none(self._db.one(_BY_SESSION, {"session": stripe_session_id}))

    def by_payment_intent(self, payment_intent_id: str) -> PurchaseRow | None:
        """The one that was paid by this payment intent."""
        return _SHAPE.read_or_none(self._db.one(_BY_PAYMENT, {"payment": payment_intent_id}))

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe sessions of unfinished ones that should have expired before an instant, as of checkouts."""
        rows = self._db.all(_OVERDUE, {"old": before, "now": now, "limit": limit})
        return [str(stripe_id) for (stripe_id,) in rows]

    def unfinished(self, limit: int, after: str | None) -> Sequence[str]:
        """The Stripe sessions of those that are open or wait for a payment, in the order of their ids."""
        rows = self._db.all(_UNFINISHED, {"limit": limit, "after": after or ""})
        return [str(session_id) for (session_id,) in rows]

    def add(self, row: PurchaseRow) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one of the slot."""
        self._db.run(_ADD, _values(row))

    def put(self, row: PurchaseRow) -> None:
        """Overwrite by id."""
        self._db.run(_PUT, {**_values(row), "this": row.id})
