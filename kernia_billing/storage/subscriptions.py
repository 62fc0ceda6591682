"""billing_subscription: subscriptions as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update

from ..domain.subscriptions import SubscriptionRow
from .db import Noun, Shape
from .dialects import plain_insert
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

    def put(self, row: SubscriptionRow) -> None:
        """Insert or overwrite by local id."""
        values = _SHAPE.values(row)
        if not self._db.run(_OVERWRITE, {**values, "this": row.id}):
            self._db.run(_ADD, values)
