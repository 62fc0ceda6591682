"""billing_checkout_session: checkout sessions that we opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from ..domain.checkouts import CheckoutRow
from ..domain.instants import Instant
from .db import Noun, Shape
from .dialects import plain_insert
from .overdue import overdue_checkouts
from .tables import checkout as t
from .types import number_param, text_param

_SHAPE = Shape(CheckoutRow, t, group="plan_group", interval="billing_interval")
_OPEN = _SHAPE.select().where(
    t.c.customer_id == text_param("customer"), t.c.plan_group == text_param("group"), t.c.slot == "open"
)
_BY_ID = _SHAPE.select().where(t.c.id == text_param("id"))
_BY_SESSION = _SHAPE.select().where(t.c.stripe_session_id == text_param("session"))
_BY_SUBSCRIPTION = _SHAPE.select().where(t.c.subscription_id == text_param("subscription"))
_OVERDUE = overdue_checkouts()
_UNFINISHED = (
    select(t.c.stripe_session_id)
    .where(t.c.status.in_(["open", "processing"]), t.c.stripe_session_id > text_param("after"))
    .order_by(t.c.stripe_session_id)
    .limit(number_param("limit"))
)
_ADD = plain_insert(t)
_PUT = update(t).where(t.c.id == text_param("this"))


def _values(row: CheckoutRow) -> dict[str, Any]:
    return {**_SHAPE.values(row), "slot": "open" if row.status == "open" else row.id}


class Checkouts(Noun):
    """The port of the same name."""

    __slots__ = ()

    def open(self, customer_id: str, group: str) -> CheckoutRow | None:
        """The open checkout of a customer in a plan group."""
        return _SHAPE.read_or_none(self._db.one(_OPEN, {"customer": customer_id, "group": group}))

    def by_id(self, checkout_id: str) -> CheckoutRow | None:
        """One checkout."""
        return _SHAPE.read_or_none(self._db.one(_BY_ID, {"id": checkout_id}))

    def by_session(self, stripe_session_id: str) -> CheckoutRow | None:
        """The checkout that has this Stripe session."""
        return _SHAPE.read_or_none(self._db.one(_BY_SESSION, {"session": stripe_session_id}))

    def by_subscription(self, subscription_id: str) -> CheckoutRow | None:
        """The checkout whose subscription has this local id."""
        return _SHAPE.read_or_none(self._db.one(_BY_SUBSCRIPTION, {"subscription": subscription_id}))

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe sessions of unfinished ones that should have expired before an instant.

        Those that were looked at since come again after as long a time as they were overdue then, a day at most.
        """
        rows = self._db.all(_OVERDUE, {"old": before, "now": now, "limit": limit})
        return [str(stripe_id) for (stripe_id,) in rows]

    def unfinished(self, limit: int, after: str | None) -> Sequence[str]:
        """The Stripe sessions of those that are open or wait for a payment, in the order of their ids."""
        rows = self._db.all(_UNFINISHED, {"limit": limit, "after": after or ""})
        return [str(session_id) for (session_id,) in rows]

    def add(self, row: CheckoutRow) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one in the group."""
        self._db.run(_ADD, _values(row))

    def put(self, row: CheckoutRow) -> None:
        """Overwrite by id."""
        self._db.run(_PUT, {**_values(row), "this": row.id})
