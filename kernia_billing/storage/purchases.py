"""billing_purchase: checkout sessions that sell no plan."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.purchases import PurchaseRow
from .db import Shape
from .overdue import overdue_purchases
from .selling import CheckoutSessions, Statements
from .tables import purchase as t
from .types import text_param

_SHAPE = Shape(PurchaseRow, t)
_OPEN_ONES = _SHAPE.select().where(t.c.customer_id == text_param("customer"), t.c.status == "open")
_BY_PAYMENT = _SHAPE.select().where(t.c.payment_intent_id == text_param("payment"))


class Purchases(CheckoutSessions[PurchaseRow]):
    """The port of the same name."""

    __slots__ = ()
    _said = Statements(
        _SHAPE,
        t,
        is_open=t.c.slot == text_param("slot"),
        slot_of=lambda row: row.slot if row.status == "open" else row.id,
        overdue=overdue_purchases(),
    )

    def open_ones(self, customer_id: str) -> Sequence[PurchaseRow]:
        """Every open one of a customer."""
        return _SHAPE.read_all(self._db.all(_OPEN_ONES, {"customer": customer_id}))

    def by_payment_intent(self, payment_intent_id: str) -> PurchaseRow | None:
        """The one that was paid by this payment intent."""
        return self._one(_BY_PAYMENT, payment=payment_intent_id)
