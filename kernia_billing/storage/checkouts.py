"""billing_checkout_session: checkout sessions that sell a plan."""

from __future__ import annotations

from sqlalchemy import and_

from ..domain.checkouts import CheckoutRow
from .db import Shape
from .overdue import overdue_checkouts
from .selling import CheckoutSessions, Statements
from .tables import checkout as t
from .types import text_param

_SHAPE = Shape(CheckoutRow, t, group="plan_group", interval="billing_interval")
_BY_SUBSCRIPTION = _SHAPE.select().where(t.c.subscription_id == text_param("subscription"))


class Checkouts(CheckoutSessions[CheckoutRow]):
    """The port of the same name."""

    __slots__ = ()
    _said = Statements(
        _SHAPE,
        t,
        is_open=and_(t.c.plan_group == text_param("slot"), t.c.slot == "open"),
        slot_of=lambda row: "open" if row.status == "open" else row.id,
        overdue=overdue_checkouts(),
    )

    def by_subscription(self, subscription_id: str) -> CheckoutRow | None:
        """The checkout whose subscription has this local id."""
        return self._one(_BY_SUBSCRIPTION, subscription=subscription_id)
