"""billing_payment_method: payment methods as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.payment_methods import PaymentMethodRow
from ..ports.mirror import Change
from .copies import Copies
from .db import Noun, Shape
from .tables import payment_method as t
from .types import text_param

_SHAPE = Shape(PaymentMethodRow, t, flags=("detached",), type="method_type")
_COPIES = Copies(_SHAPE, t)
_OF_CUSTOMER = (
    _SHAPE.select().where(t.c.customer_id == text_param("customer"), t.c.detached == 0).order_by(t.c.created_at, t.c.id)
)


class PaymentMethods(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, payment_method_id: str) -> PaymentMethodRow | None:
        """One payment method, by Stripe's id."""
        return _COPIES.get(self._db, payment_method_id)

    def put(self, row: PaymentMethodRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        return _COPIES.put(self._db, row)

    def of_customer(self, customer_id: str) -> Sequence[PaymentMethodRow]:
        """The payment methods that are attached to a customer, oldest first."""
        return _SHAPE.read_all(self._db.all(_OF_CUSTOMER, {"customer": customer_id}))
