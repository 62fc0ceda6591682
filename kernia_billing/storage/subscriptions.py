"""billing_subscription: subscriptions as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update

from ..domain.instants import Instant
from ..domain.subscriptions import SubscriptionRow
from .db import Noun, Shape
from .dialects import plain_insert
from .overdue import overdue_subscriptions
from .tables import subscription as t
from .types import text_param

_SHAPE = Shape(
    SubscriptionRow,
    t,
    flags=("cancel_at_period_end", "duplicate"),
    group="plan_group",
    interval="billing_interval",
)
_BY_STRIPE_ID = _SHAPE.select().where(t.c.stripe_subscription_id == text_param("stripe"))
_OF_CUSTOMER = _SHAPE.select().where(t.c.customer_id == text_param("customer")).order_by(t.c.created_at, t.c.id)
_OVERDUE = overdue_subscriptions()
_OVERWRITE = update(t).where(t.c.id == text_param("this"))
_ADD = plain_insert(t)


class Subscriptions(Noun):
    """The port of the same name."""

    __slots__ = ()

    def by_stripe_id(self, stripe_subscription_id: str) -> SubscriptionRow | None:
        """The row of a Stripe subscription."""
        return _SHAPE.read_or_none(self._db.one(_BY_STRIPE_ID, {"stripe": stripe_subscription_id}))

    def of_customer(self, customer_id: str) -> Sequence[SubscriptionRow]:
        """Every subscription a customer ever had, oldest first."""
        return _SHAPE.read_all(self._db.all(_OF_CUSTOMER, {"customer": customer_id}))

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe ids of live ones whose period, trial, pause or time should have ended before an instant.

        Those that were looked at since come again after as long a time as they were overdue then, a day at most.
        """
        rows = self._db.all(_OVERDUE, {"old": before, "now": now, "limit": limit})
        return [str(stripe_id) for (stripe_id,) in rows]

    def put(self, row: SubscriptionRow) -> None:
        """Insert or overwrite by local id."""
        values = _SHAPE.values(row)
        if not self._db.run(_OVERWRITE, {**values, "this": row.id}):
            self._db.run(_ADD, values)
