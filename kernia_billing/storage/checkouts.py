"""billing_checkout_session: checkout sessions that we opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from ..domain.checkouts import CheckoutRow
from .db import Noun, Shape
from .dialects import plain_insert
from .tables import checkout as t
from .types import text_param

_SHAPE = Shape(CheckoutRow, t, group="plan_group", interval="billing_interval")
_OPEN = _SHAPE.select().where(
    t.c.customer_id == text_param("customer"), t.c.plan_group == text_param("group"), t.c.slot == "open"
)
_BY_ID = _SHAPE.select().where(t.c.id == text_param("id"))
_BY_SESSION = _SHAPE.select().where(t.c.stripe_session_id == text_param("session"))
_BY_SUBSCRIPTION = _SHAPE.select().where(t.c.subscription_id == text_param("subscription"))
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

    def add(self, row: CheckoutRow) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one in the group."""
        self._db.run(_ADD, _values(row))

    def put(self, row: CheckoutRow) -> None:
        """Overwrite by id."""
        self._db.run(_PUT, {**_values(row), "this": row.id})
